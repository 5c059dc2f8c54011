"""Make a CT study of a body that never was: an oblique stack, organs with known voxels, and contours round them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage

from dicomnode.dicom.uids import uid_of
from dicomnode.domain import IMPLEMENTATION_CLASS_UID

SHAPE = (32, 192, 224)  # planes, rows, columns
SPACING = (4.0, 1.6, 1.5)  # mm between planes, rows, columns
_TURNS = (9.0, -6.0)  # degrees about the patient's x and z axes: nothing lies along them
_DATE, _TIME = "20260101", "120000"
_POINTS = 90  # of a contour
_NOISE_HU = 14.0
_AIR_HU = -1000.0

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Organ:
    """A part of the phantom: where it is, how bright, and how the RTSTRUCT calls it.

    `centre` and `radii` are mm along columns, rows and planes from the stack's middle, `turn` degrees in the plane;
    `waves` is how far its surface swings in and out, as a share of its radius.
    """

    name: str
    hu: float
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn: float = 0.0
    waves: float = 0.0
    kind: str = "ORGAN"
    colour: tuple[int, int, int] = (200, 200, 200)


_MUSCLE = Organ(name="muscle", hu=55, centre=(0, 4, 0), radii=(134, 118, 900))
_SPINE = Organ(name="spine", hu=420, centre=(4, 82, 0), radii=(24, 22, 900), waves=0.1)
_GAS = Organ(name="gas", hu=-850, centre=(34, -70, 10), radii=(22, 12, 40), turn=15, waves=0.1)
BODY = Organ(name="BODY", hu=-95, centre=(0, 0, 0), radii=(152, 136, 900), kind="EXTERNAL")
ORGANS = tuple(
    Organ(name=name, hu=hu, centre=centre, radii=radii, turn=turn, waves=waves, kind=kind, colour=colour)
    for name, hu, centre, radii, turn, waves, kind, colour in (
        ("Liver", 130, (-62, -22, 14), (60, 50, 42), 28, 0.07, "ORGAN", (160, 80, 40)),
        ("Kidney_L", 190, (72, 50, -8), (22, 33, 46), -32, 0.05, "ORGAN", (230, 180, 30)),
        ("Kidney_R", 185, (-66, 58, -16), (21, 32, 40), 30, 0.05, "ORGAN", (200, 220, 30)),
        ("Spleen", 140, (88, -14, 26), (27, 42, 30), 20, 0.06, "ORGAN", (150, 60, 150)),
        ("Aorta", 260, (12, 34, 0), (11, 11, 900), 0, 0, "ORGAN", (220, 30, 30)),
        ("GTV_1", -20, (14, -22, -20), (24, 19, 20), 50, 0.12, "GTV", (30, 200, 220)),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Phantom:
    """The study's files, and what is true in it: organ name -> (plane, row, column) bool, planes ascending."""

    images: tuple[Path, ...]
    structure_set: Path
    truth: Mapping[str, NDArray[np.bool_]]


def write_phantom(folder: Path) -> Phantom:
    """Write the study into `folder`: a CT series, and an RTSTRUCT with several organs and the body's outline."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [_image(index, plane) for index, plane in enumerate(_hounsfield())]
    return Phantom(
        images=tuple(_write(ds, folder / f"CT_{index:03d}") for index, ds in enumerate(images)),
        structure_set=_write(_structure_set(images), folder / "RTSTRUCT"),
        truth={organ.name: _inside(organ) for organ in ORGANS},
    )


def _axes() -> tuple[Numbers, Numbers, Numbers]:
    """Return the mm from the stack's middle along planes, rows and columns, each (n,) float64."""
    along = [
        np.asarray((np.arange(size) - (size - 1) / 2) * step, np.float64)
        for size, step in zip(SHAPE, SPACING, strict=True)
    ]
    return along[0], along[1], along[2]


def _inside(organ: Organ) -> NDArray[np.bool_]:
    """Return the voxels whose centres lie in `organ`, (plane, row, column) bool, on the planes that have a contour."""
    z, y, x = _axes()
    angle = np.radians(organ.turn)
    dx, dy = x[None, :] - organ.centre[0], y[:, None] - organ.centre[1]
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / organ.radii[0]
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / organ.radii[1]
    w = (z - organ.centre[2]) / organ.radii[2]
    reach = _reach(organ, np.arctan2(v, u)[None], w[:, None, None])
    drawn = np.array([bool((_reach(organ, _angles(), height) > 0).all()) for height in w])
    return np.asarray((u * u + v * v <= reach) & drawn[:, None, None])


def _reach(organ: Organ, angle: Numbers, w: Numbers) -> Numbers:
    """Return the squared radius, in units of the organ's own, that its surface has at `angle` and height `w`."""
    surface = 1 + organ.waves * np.sin(3 * angle + 2 * w)
    return np.asarray(surface**2 - w**2)


def _angles() -> Numbers:
    return np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)


def _outline(organ: Organ, height: float) -> Numbers | None:
    """Return the surface of `organ` at `height` mm, (point, 2) float64 mm along columns and rows; None off it."""
    reach = _reach(organ, _angles(), np.asarray((height - organ.centre[2]) / organ.radii[2]))
    if not (reach > 0).all():
        return None
    u, v = np.sqrt(reach) * np.cos(_angles()) * organ.radii[0], np.sqrt(reach) * np.sin(_angles()) * organ.radii[1]
    turn = np.radians(organ.turn)
    x, y = u * np.cos(turn) - v * np.sin(turn), u * np.sin(turn) + v * np.cos(turn)
    return np.column_stack([x + organ.centre[0], y + organ.centre[1]])


def _hounsfield() -> Numbers:
    """Return the image, (plane, row, column) float64 HU: tissues, a slow drift, and noise of a fixed seed."""
    image = np.full(SHAPE, _AIR_HU)
    for part in (BODY, _MUSCLE, _SPINE, _GAS, *ORGANS):
        image[_inside(part)] = part.hu
    noise = np.random.default_rng(1).normal(0, _NOISE_HU, SHAPE)
    drift = 8 * np.sin(np.linspace(0, 5, SHAPE[1]))[None, :, None]
    return np.asarray(_partial_volume(image) + noise + drift)


def _partial_volume(image: Numbers) -> Numbers:
    """Return `image` averaged over neighbouring pixels of a plane, as a scanner's point spread does."""
    for axis in (1, 2):
        image = (np.roll(image, 1, axis) + 2 * image + np.roll(image, -1, axis)) / 4
    return image


def _directions() -> tuple[Numbers, Numbers, Numbers]:
    """Return the directions of columns, rows and planes in the patient, each (3,) float64."""
    about_x, about_z = np.radians(_TURNS)
    first = np.array([[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]])
    second = np.array([[np.cos(about_z), -np.sin(about_z), 0], [np.sin(about_z), np.cos(about_z), 0], [0, 0, 1]])
    turned = np.asarray(np.round(second @ first, 12), np.float64)
    return turned[:, 0], turned[:, 1], turned[:, 2]


def _to_patient(points: Numbers, height: float) -> Numbers:
    """Return `points`, (point, 2) mm along columns and rows on the plane at `height`, as (point, 3) patient mm."""
    columns, rows, planes = _directions()
    return np.asarray(points[:, :1] * columns + points[:, 1:] * rows + height * planes)


def _image(index: int, hounsfield: Numbers) -> Dataset:
    z, y, x = _axes()
    columns, rows, _ = _directions()
    ds = _object(CTImageStorage, "ct", index)
    ds.Modality, ds.Manufacturer, ds.ImageType = "CT", "dicomnode phantom", ["DERIVED", "PRIMARY", "AXIAL"]
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber, ds.KVP = 1, index + 1, 1, None
    ds.ContentDate, ds.ContentTime = _DATE, _TIME
    ds.PatientPosition, ds.Laterality = "HFS", ""
    ds.SliceThickness, ds.PixelSpacing = SPACING[0], list(SPACING[1:])
    ds.ImageOrientationPatient = [*columns, *rows]
    ds.ImagePositionPatient = [round(value, 9) for value in _to_patient(np.array([[x[0], y[0]]]), z[index])[0]]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = SHAPE[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
    ds.PixelData = np.clip(np.round(hounsfield) + 1024, 0, 4095).astype("<u2").tobytes()
    return ds


def _structure_set(images: Sequence[Dataset]) -> Dataset:
    ds = _object(RTStructureSetStorage, "rtstruct", 0)
    ds.Modality, ds.Manufacturer, ds.StructureSetLabel = "RTSTRUCT", "dicomnode phantom", "Phantom"
    ds.SeriesNumber, ds.InstanceNumber = 2, 1
    ds.StructureSetDate, ds.StructureSetTime = _DATE, _TIME
    series = _item(SeriesInstanceUID=images[0].SeriesInstanceUID, ContourImageSequence=[_names(one) for one in images])
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=ds.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    frame = images[0].FrameOfReferenceUID
    ds.ReferencedFrameOfReferenceSequence = [_item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])]
    numbered = list(enumerate((BODY, *ORGANS), start=1))
    ds.StructureSetROISequence = [
        _item(
            ROINumber=number,
            ReferencedFrameOfReferenceUID=frame,
            ROIName=organ.name,
            ROIGenerationAlgorithm="MANUAL",
        )
        for number, organ in numbered
    ]
    ds.ROIContourSequence = [
        _item(ReferencedROINumber=number, ROIDisplayColor=list(organ.colour), ContourSequence=_contours(organ, images))
        for number, organ in numbered
    ]
    ds.RTROIObservationsSequence = [
        _item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType=organ.kind, ROIInterpreter="")
        for number, organ in numbered
    ]
    return ds


def _contours(organ: Organ, images: Sequence[Dataset]) -> list[Dataset]:
    contours = []
    for height, image in zip(_axes()[0], images, strict=True):
        outline = _outline(organ, float(height))
        if outline is not None:
            points = _to_patient(outline, float(height))
            contours.append(
                _item(
                    ContourImageSequence=[_names(image)],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourData=[round(float(value), 6) for value in points.ravel()],
                )
            )
    return contours


def _object(sop_class: UID, series: str, index: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid_of("phantom", series, index)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of("phantom", "study"), uid_of("phantom", series)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Demo", "DICOMNODE-DEMO", "", "O"
    ds.StudyID, ds.StudyDate, ds.StudyTime = "DEMO", _DATE, _TIME
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.OperatorsName = "", "", ""
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid_of("phantom", "frame"), ""
    return ds


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _names(image: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _write(ds: Dataset, path: Path) -> Path:
    dcmwrite(path, ds, enforce_file_format=True)
    return path
