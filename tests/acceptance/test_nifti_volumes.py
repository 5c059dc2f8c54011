"""`dicomnode segment --nifti` on real scans: the masks lie where dcm2niix has the images, and are those of the SEG."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from tests.builders import ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.reading import Told, Volume, dice, on_grid, read_nifti, segment, voxels_of_seg

pytestmark = [pytest.mark.data, pytest.mark.peer]

REAL = {  # the truth of each, where there is one
    "ibsi_sts/dicom/STS_019/CT": "ibsi_sts/nifti/STS_019/CT_mask.nii.gz",
    "ibsi_sts/dicom/STS_019/PET": "ibsi_sts/nifti/STS_019/PET_mask.nii.gz",
    "sts_raw_STS_001/STS_001/MR_T2": None,  # oblique
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What was made of one series, its truth if there is one, and its result in the document."""

    truth: Path | None
    source: Path
    told: Told
    folder: Path

    @property
    def result(self) -> Mapping[str, Any]:
        (result,) = self.told.document["results"]
        found: Mapping[str, Any] = result
        return found


@pytest.fixture(scope="module", params=REAL)
def made(
    request: pytest.FixtureRequest,
    data_dir: Path,
    everything_of: Callable[[str], Told],
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    folder = tmp_path_factory.mktemp("volumes")
    source = data_dir / request.param
    told = everything_of(request.param)
    truth = REAL[request.param]
    return Made(truth=data_dir / truth if truth else None, source=source, told=told, folder=folder)


def ascending(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the affine (column, row, plane, 1) to mm (LPS) of the series in `folder`, and its values likewise."""
    images = [dcmread(path) for path in folder.iterdir()]
    row, column = (np.array(images[0].ImageOrientationPatient[start : start + 3], dtype=float) for start in (0, 3))
    images.sort(key=lambda image: float(np.cross(row, column) @ np.array(image.ImagePositionPatient, dtype=float)))
    places = np.array([image.ImagePositionPatient for image in images], dtype=float)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack(
        [row * images[0].PixelSpacing[1], column * images[0].PixelSpacing[0], (places[-1] - places[0])]
    ) / (1, 1, len(images) - 1)
    affine[:3, 3] = places[0]
    slopes = [(float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))) for image in images]
    values = [image.pixel_array * slope + intercept for image, (slope, intercept) in zip(images, slopes, strict=True)]
    return affine, np.array(values).transpose(2, 1, 0)


def converted(images: Path, folder: Path) -> Volume:
    """Return what dcm2niix makes of the series in `images`."""
    folder.mkdir()
    command: Sequence[str | Path] = [require_program("dcm2niix"), "-b", "n", "-f", "image", "-o", folder, images]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.nii")
    image: Any = nibabel.load(path)
    return Volume(voxels=np.asarray(image.get_fdata()), affine=read_nifti(path).affine)


def test_every_voxel_has_the_place_and_value_that_dcm2niix_gives_it(made: Made) -> None:
    affine, values = ascending(made.source / "image")
    image = converted(made.source / "image", made.folder / "dcm2niix")
    for one in made.result["segments"]:
        volume = read_nifti(Path(one["nifti"]))
        assert volume.affine == pytest.approx(affine, abs=1e-3)
        inside = np.argwhere(volume.voxels)
        assert len(inside) == one["voxels"]
        exact = image.indices_of(inside @ affine[:3, :3].T + affine[:3, 3])
        there = np.rint(exact).astype(int)
        assert np.abs(exact - there).max() < 0.01
        assert image.voxels[tuple(there.T)] == pytest.approx(values[tuple(inside.T)], rel=1e-4, abs=1e-3)


def test_the_voxels_are_those_of_the_seg_and_overlap_the_truth_as_it_does(made: Made) -> None:
    (seg,) = made.told.made("SEG")
    volumes = {one["number"]: read_nifti(Path(one["nifti"])) for one in made.result["segments"]}
    by_seg = voxels_of_seg(seg)
    assert volumes.keys() == by_seg.keys()
    for number, points in by_seg.items():
        assert np.array_equal(on_grid(points, volumes[number]), volumes[number].voxels > 0)
    if made.truth:
        truth = read_nifti(made.truth)
        inside = np.argwhere(volumes[1].voxels) @ volumes[1].affine[:3, :3].T + volumes[1].affine[:3, 3]
        overlap = dice(on_grid(inside, truth), truth.voxels > 0)
        assert overlap == dice(on_grid(by_seg[1], truth), truth.voxels > 0) > 0.8


def test_a_stack_with_a_gap_gives_its_seg_and_says_why_there_is_no_volume(tmp_path: Path) -> None:
    images = ct_series()
    save([*images[:3], images[4], rtstruct(images, {"Liver": [square(10, 8, 20, 16, 5.0)]})], tmp_path / "in")
    told = segment(tmp_path / "in", output=tmp_path / "out", options=("--nifti",))
    assert told.code == 4
    assert [one["reason"] for one in told.document["refused"]] == ["NOT_REGULAR"]
    (result,) = told.document["results"]
    assert [one["nifti"] for one in result["segments"]] == [None]
    assert [Path(one["path"]).is_file() for one in result["objects"]] == [True]
