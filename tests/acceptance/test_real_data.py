"""The installed command on real scans, against truths that were not read by the product."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from tests.reading import (
    Told,
    Volume,
    contours_of,
    dice,
    ellipses,
    on_grid,
    planes_of,
    read_nifti,
    segment,
    voxels_by_dcmqi,
    voxels_of_seg,
)
from tests.validation import split_errors

pytestmark = [pytest.mark.data, pytest.mark.peer]

PATIENTS = ("STS_002", "STS_005", "STS_008", "STS_019", "STS_025", "STS_029")
LEAST_MEAN_DICE = {"CT": 0.915, "MR_T1": 0.914, "PET": 0.913}
BELOW_THE_ELLIPSE = 0.003
# dicomnode writes the source's identifiers unchanged: here a StudyID of 17 to 20 characters where 16 are allowed
WRONG_IN_THE_SOURCE = {"ibsi_sts": {"StudyID"}, "sts_raw": set()}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One series with its structure set, what the command made of them, and its truth if there is one."""

    source: Path
    told: Told
    seg: Path
    found: NDArray[np.bool_]
    truth: Volume

    @property
    def inside(self) -> NDArray[np.bool_]:
        return np.asarray(self.truth.voxels > 0)

    def ellipse(self) -> NDArray[np.bool_]:
        (contours,) = contours_of(dcmread(next((self.source / "mask").iterdir()))).values()
        return ellipses(contours, self.truth)


Cases = Mapping[tuple[str, str], Case]


@pytest.fixture(scope="module")
def cases(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    made = {}
    for modality in LEAST_MEAN_DICE:
        for patient in PATIENTS:
            source = data_dir / "ibsi_sts" / "dicom" / patient / modality
            told = segment(source, output=tmp_path_factory.mktemp("segmentations"))
            truth = read_nifti(data_dir / "ibsi_sts" / "nifti" / patient / f"{modality}_mask.nii.gz")
            seg = told.only_seg()
            found = on_grid(voxels_of_seg(seg)[1], truth)
            made[modality, patient] = Case(source=source, told=told, seg=seg, found=found, truth=truth)
    return made


@pytest.mark.parametrize("modality", LEAST_MEAN_DICE)
def test_the_masks_are_not_worse_than_the_ellipse_in_each_box(cases: Cases, modality: str) -> None:
    ours = {patient: dice(cases[modality, patient].found, cases[modality, patient].inside) for patient in PATIENTS}
    oval = [dice(cases[modality, patient].ellipse(), cases[modality, patient].inside) for patient in PATIENTS]
    mean = float(np.mean(list(ours.values())))
    assert mean >= LEAST_MEAN_DICE[modality]
    assert mean >= float(np.mean(oval)) - BELOW_THE_ELLIPSE
    assert min(ours.values()) >= 0.80, ours


@pytest.mark.parametrize("modality", LEAST_MEAN_DICE)
def test_no_plane_is_missed_or_invented(cases: Cases, modality: str) -> None:
    for patient in PATIENTS:
        case = cases[modality, patient]
        assert planes_of(case.found) == planes_of(case.inside), patient


@pytest.mark.parametrize("modality", LEAST_MEAN_DICE)
def test_dcmqi_reads_the_same_voxels(cases: Cases, modality: str, tmp_path: Path) -> None:
    for patient in PATIENTS:
        case = cases[modality, patient]
        (by_dcmqi,) = voxels_by_dcmqi(case.seg, tmp_path / patient).values()
        assert np.array_equal(on_grid(by_dcmqi, case.truth), case.found), patient


@pytest.mark.parametrize("modality", LEAST_MEAN_DICE)
def test_dciodvfy_finds_nothing_wrong_but_what_is_wrong_in_the_source(cases: Cases, modality: str) -> None:
    for patient in PATIENTS:
        case = cases[modality, patient]
        copied, own = split_errors(case.seg, first_image(case.source / "image"))
        assert (copied, own) == (WRONG_IN_THE_SOURCE["ibsi_sts"], []), patient


@pytest.mark.parametrize("modality", LEAST_MEAN_DICE)
def test_the_document_says_what_was_made(cases: Cases, modality: str) -> None:
    for patient in PATIENTS:
        case = cases[modality, patient]
        assert case.told.code == 0
        assert_document(case.told.document)
        (result,) = case.told.document["results"]
        (one,) = result["segments"]
        image, rtstruct = first_image(case.source / "image"), dcmread(next((case.source / "mask").iterdir()))
        assert result["series_uid"] == image.SeriesInstanceUID
        assert result["stack"] == f"{image.SeriesInstanceUID}/1"
        assert (result["annotation_uid"], result["annotation_kind"]) == (rtstruct.SOPInstanceUID, "RTSTRUCT")
        assert result["model"] == "box-unet"
        assert one["label"] == rtstruct.StructureSetROISequence[0].ROIName
        assert (one["number"], one["voxels"]) == (1, np.count_nonzero(case.found))
        assert one["planes"] == len(planes_of(case.found))
        assert one["volume_ml"] == pytest.approx(one["voxels"] * abs(np.linalg.det(case.truth.affine)) / 1000, rel=1e-3)


def test_three_views_of_one_3_d_box_find_more_than_its_ellipsoid(data_dir: Path, tmp_path: Path) -> None:
    truth = read_nifti(data_dir / "ibsi_sts" / "nifti" / "STS_025" / "PET_mask.nii.gz")
    source = data_dir / "ibsi_sts" / "dicom" / "STS_025" / "PET"
    told = segment(source, output=tmp_path, options=("--strategy", "three-view"))
    assert told.document["results"][0]["segments"][0]["made_with"]["strategy"] == "three-view"
    found = on_grid(voxels_of_seg(told.only_seg())[1], truth)
    inside = np.asarray(truth.voxels > 0)
    assert dice(found, inside) > dice(ellipsoid_in_box_of(inside), inside)


@pytest.mark.parametrize("series", ["MR_T1", "MR_T2"])
def test_oblique_originals_give_a_mask_on_every_plane_that_was_drawn_on(
    data_dir: Path, tmp_path: Path, series: str
) -> None:
    source = data_dir / "sts_raw_STS_001" / "STS_001" / series
    told = segment(source, output=tmp_path / "segmentations")
    assert told.code == 0
    seg = told.only_seg()
    grid = grid_of(source / "image")
    drawn = contours_of(dcmread(next((source / "mask").iterdir())))
    found = {number: on_grid(points, grid) for number, points in voxels_of_seg(seg).items()}
    labels = {item.SegmentNumber: item.SegmentLabel for item in dcmread(seg).SegmentSequence}
    by_dcmqi = voxels_by_dcmqi(seg, tmp_path / "dcmqi")
    assert set(labels.values()) == set(drawn)
    for number, mask in found.items():
        wanted = {round(float(grid.indices_of(contour)[:, 2].mean())) for contour in drawn[labels[number]]}
        assert planes_of(mask) == wanted
        assert np.array_equal(on_grid(by_dcmqi[number], grid), mask)
        oval = ellipses(drawn[labels[number]], grid)
        assert dice(mask, oval) > 0.8
    assert split_errors(seg, first_image(source / "image")) == (WRONG_IN_THE_SOURCE["sts_raw"], [])


def test_a_second_run_sets_its_own_result_aside_and_makes_the_same_bytes(data_dir: Path, tmp_path: Path) -> None:
    source, output = data_dir / "ibsi_sts" / "dicom" / "STS_019" / "MR_T1", tmp_path / "study" / "segmentations"
    tmp_path.joinpath("study").mkdir()
    for file in source.rglob("*"):
        if file.is_file():
            (tmp_path / "study" / f"{file.parent.name}-{file.name}").write_bytes(file.read_bytes())
    first = segment(tmp_path / "study", output=output)
    content = first.only_seg().read_bytes()
    second = segment(tmp_path / "study", output=output)
    assert second.code == 0
    assert [(one["what"], one["reason"]) for one in second.document["set_aside"]] == [
        (str(first.only_seg()), "OWN_RESULT")
    ]
    assert second.only_seg() == first.only_seg()
    assert second.only_seg().read_bytes() == content


def first_image(folder: Path) -> Dataset:
    return dcmread(min(folder.iterdir()), stop_before_pixels=True)


def grid_of(folder: Path) -> Volume:
    """Return the grid of the regular series in `folder`: voxels (column, row, plane)."""
    images = [dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    row, column = (np.array(images[0].ImageOrientationPatient[start : start + 3], dtype=float) for start in (0, 3))
    normal = np.cross(row, column)
    positions = np.array(
        sorted((np.array(image.ImagePositionPatient, float) for image in images), key=lambda one: float(one @ normal))
    )
    affine = np.eye(4)
    affine[:3, 0] = row * images[0].PixelSpacing[1]
    affine[:3, 1] = column * images[0].PixelSpacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    shape = (images[0].Columns, images[0].Rows, len(images))
    return Volume(voxels=np.zeros(shape, dtype=np.uint8), affine=affine)


def assert_document(document: Mapping[str, Any]) -> None:
    """Check the document's keys and that its paths are absolute and there."""
    assert set(document) == {"results", "refused", "set_aside"}
    for left_out in (*document["refused"], *document["set_aside"]):
        assert set(left_out) == {"what", "reason", "detail"}
        assert left_out["reason"] == left_out["reason"].upper()
    for result in document["results"]:
        assert {"stack", "series_uid", "annotation_uid", "annotation_kind", "model", "objects", "segments"} < set(
            result
        )
        assert set(result["seconds"]) == {"read", "prompts", "segment", "write", "total"}
        for made in result["objects"]:
            assert set(made) == {"kind", "path", "sop_instance_uid"}
            assert Path(made["path"]).is_absolute()
            assert dcmread(made["path"]).SOPInstanceUID == made["sop_instance_uid"]
            tail = Path(made["path"]).parent.name
            assert f"{result['series_uid']}-{result['stack'].rpartition('/')[2]}".endswith(tail)
            assert result["annotation_uid"].endswith(Path(made["path"]).name.removesuffix("_SEG.dcm"))
        for one in result["segments"]:
            assert set(one) == {"number", "label", "voxels", "volume_ml", "planes", "quality", "made_with", "nifti"}


def ellipsoid_in_box_of(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ellipsoid that touches the six sides of the box of `inside`, (i, j, k) bool, as such a mask."""
    squares = np.zeros(inside.shape)
    for axis, indices in enumerate(np.nonzero(inside)):
        middle, radius = (indices.max() + indices.min()) / 2, (indices.max() - indices.min() + 1) / 2
        squares += ((np.indices(inside.shape)[axis] - middle) / radius) ** 2
    return squares <= 1
