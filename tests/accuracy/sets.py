"""The real sets that accuracy is measured on: volumes with label maps, read by other libraries than the product's."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own usage
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

Volume = NDArray[np.float32]
Labels = NDArray[np.int32]

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENTS = ("STS_002", "STS_005", "STS_008", "STS_019", "STS_025", "STS_029")
MODALITIES = {"CT": "CT", "MR_T1": "MR", "PET": "PT"}  # the folder, and as DICOM has it
LESIONS = ("CT_Lesion_000001_02_01_008-023", "CT_Lesion_000002_03_01_035-047")
HEADS = tuple(f"{number:03d}_HC" for number in range(10))
VERTEBRAE = {
    "CT": ("sample_ct", "sub-ct", "label-22_ct", "seg-vert_label-22_msk"),
    "MR": ("sample_mri", "sub-mri", "label-6_T2w", "seg-vert_label-6_msk"),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One volume with the truth about its objects.

    `image` is (plane, row, column) float32, `labels` the same shape int32, 0 where nothing is; `spacing` is in mm
    (between planes, rows, columns), `modality` as DICOM has it.
    """

    set: str
    name: str
    modality: str
    image: Volume
    labels: Labels
    spacing: tuple[float, float, float]

    @property
    def objects(self) -> list[int]:
        """Return the labels that there are, ascending."""
        return [int(label) for label in np.unique(self.labels) if label]


def data_folder() -> Path:
    """Return the folder of real data: DICOMNODE_TEST_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("DICOMNODE_TEST_DATA") or CHECKOUT.parent / "shared" / "data")


def cases_of(name: str, data: Path) -> list[Case]:
    """Return the cases of the set `name` in the folder `data`; they are read once."""
    return list(_read(name, data))


@cache
def _read(name: str, data: Path) -> tuple[Case, ...]:
    return tuple(READERS[name](data))


def _organs(data: Path) -> Iterator[Case]:
    """Yield the CT with 31 organs; its data sets lack the UIDs, so its files are sorted by position alone."""
    image = _series(data / "totalseg" / "example_ct_dicom")
    labels = _onto(sitk.ReadImage(str(data / "totalseg" / "example_seg_dicom.nii.gz")), image)
    yield _case("organs", "example_ct_dicom", "CT", image, labels)


def _small(modality: str, image: str, labels: str) -> Callable[[Path], Iterator[Case]]:
    """Return the reader of a volume of TotalSegmentator at 3 mm, turned to axial planes as DICOM has them."""

    def read(data: Path) -> Iterator[Case]:
        volumes = [sitk.DICOMOrient(sitk.ReadImage(str(data / "totalseg" / name)), "LPS") for name in (image, labels)]
        yield _case(f"totalseg {modality} 3 mm", image.removesuffix(".nii.gz"), modality, *volumes)

    return read


def _brain(data: Path) -> Iterator[Case]:
    folder = data / "acc_pyradiomics" / "data"
    image, labels = (sitk.ReadImage(str(folder / f"brain1_{part}.nrrd")) for part in ("image", "label"))
    yield _case("brain", "brain1", "MR", image, labels)


def _sarcomas(modality: str) -> Callable[[Path], Iterator[Case]]:
    """Return the reader of one modality of `ibsi_sts`, with the independent masks beside its RTSTRUCTs."""

    def read(data: Path) -> Iterator[Case]:
        for patient in PATIENTS:
            image = _series(data / "ibsi_sts" / "dicom" / patient / modality / "image")
            mask = sitk.ReadImage(str(data / "ibsi_sts" / "nifti" / patient / f"{modality}_mask.nii.gz"))
            yield _case(f"ibsi_sts {modality}", patient, MODALITIES[modality], image, _onto(mask, image))

    return read


def _lesions(data: Path) -> Iterator[Case]:
    for name in LESIONS:
        with np.load(data / "acc_recist_ct" / "data" / "RECIST_train_npz" / f"{name}.npz") as arrays:
            across, down, along = (float(size) for size in arrays["spacing"])  # x, y, z
            yield Case(
                set="lesions",
                name=name,
                modality="CT",
                image=arrays["imgs"].astype(np.float32),
                labels=arrays["gts"].astype(np.int32),
                spacing=(along, down, across),
            )


def _heads(data: Path) -> Iterator[Case]:
    """Yield fetal heads; the truth is drawn as an outline, which is filled here."""
    sizes = _pixel_sizes(data / "acc_hc18_us" / "training_set_pixel_size_and_HC.csv")
    for name in HEADS:
        folder = data / "acc_hc18_us" / "training_set"
        image = np.asarray(Image.open(folder / f"{name}.png").convert("L"), np.float32)
        outline = np.asarray(Image.open(folder / f"{name}_Annotation.png").convert("L")) > 0
        filled = sitk.BinaryFillhole(sitk.GetImageFromArray(outline.astype(np.uint8)))
        yield Case(
            set="fetal heads",
            name=name,
            modality="US",
            image=image[np.newaxis],
            labels=sitk.GetArrayFromImage(filled)[np.newaxis].astype(np.int32),
            spacing=(1.0, sizes[name], sizes[name]),
        )


def _pixel_sizes(path: Path) -> dict[str, float]:
    """Return the pixel size in mm of each image by its name."""
    rows = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    return {name.removesuffix(".png"): float(size) for name, size, *_ in rows}


def _vertebrae(modality: str) -> Callable[[Path], Iterator[Case]]:
    """Return the reader of vertebrae, in sagittal planes as stored; those of MR have discs and endplates, too."""
    folder, subject, image, labels = VERTEBRAE[modality]

    def read(data: Path) -> Iterator[Case]:
        place = data / "acc_tptbox" / "tests" / folder
        volumes = [sitk.ReadImage(str(place / f"{subject}_{name}.nii.gz")) for name in (image, labels)]
        yield _case(f"vertebrae {modality}", subject, modality, *volumes)

    return read


READERS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "organs": _organs,
    "brain": _brain,
    "ibsi_sts CT": _sarcomas("CT"),
    "ibsi_sts MR_T1": _sarcomas("MR_T1"),
    "ibsi_sts PET": _sarcomas("PET"),
    "lesions": _lesions,
    "fetal heads": _heads,
    "vertebrae CT": _vertebrae("CT"),
    "vertebrae MR": _vertebrae("MR"),
    "totalseg CT 3 mm": _small("CT", "example_ct_sm.nii.gz", "example_seg.nii.gz"),
    "totalseg MR 3 mm": _small("MR", "example_mr_sm.nii.gz", "example_seg_mr.nii.gz"),
}
SETS = tuple(READERS)


def _case(name: str, case: str, modality: str, image: sitk.Image, labels: sitk.Image) -> Case:
    across, down, along = image.GetSpacing()
    return Case(
        set=name,
        name=case,
        modality=modality,
        image=sitk.GetArrayFromImage(image).astype(np.float32),
        labels=sitk.GetArrayFromImage(labels).astype(np.int32),
        spacing=(along, down, across),
    )


def _series(folder: Path) -> sitk.Image:
    """Return the parallel slices in `folder` as one image in the modality's values, sorted along their normal."""
    slices = [dcmread(path) for path in sorted(folder.iterdir()) if path.is_file()]
    directions = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(*directions)
    slices.sort(key=lambda ds: float(np.dot(ds.ImagePositionPatient, normal)))
    origin, last = (np.array(ds.ImagePositionPatient, float) for ds in (slices[0], slices[-1]))
    image = sitk.GetImageFromArray(np.stack([_values(ds) for ds in slices]))
    down, across = (float(size) for size in slices[0].PixelSpacing)
    image.SetSpacing((across, down, float((last - origin) @ normal) / (len(slices) - 1)))
    image.SetOrigin(origin.tolist())
    image.SetDirection(np.stack([*directions, normal], axis=1).ravel().tolist())
    return image


def _values(ds: Dataset) -> NDArray[Any]:
    """Return the modality's values; the slope of PET differs from slice to slice."""
    values = ds.pixel_array * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
    return np.asarray(values, np.float32)


def _onto(labels: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Return `labels` on the voxels of `image`, each with the label that lies nearest; outside them there is none."""
    return sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, labels.GetPixelID())
