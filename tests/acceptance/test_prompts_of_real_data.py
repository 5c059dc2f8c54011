"""The boxes of real structure sets beside truth masks that nobody here drew, and of broken ones."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicomnode.dicom.instances import describe
from dicomnode.dicom.prompts.rtstruct import regions_of_rtstruct
from dicomnode.dicom.reading import read_dataset
from dicomnode.dicom.scan import scan
from dicomnode.domain import Annotation, Job, JobOptions, PairingRule, Prompt, Stack
from dicomnode.errors import Reason
from dicomnode.geometry import affine_of
from dicomnode.planning import job_of, plan
from tests.builders import ct_series, save
from tests.fakes import FillsTheBox
from tests.folders import planes_of, prompts_in
from tests.reading import Volume, contours_of, read_nifti, segment
from tests.values import stack_at

pytestmark = pytest.mark.data

PATIENTS = ("STS_002", "STS_005", "STS_008", "STS_019", "STS_025", "STS_029")
SERIES = [(patient, modality) for patient in PATIENTS for modality in ("CT", "MR_T1", "PET")]
HALF_PIXEL, ONE_PIXEL = 0.5, 1.0


def job_in(*paths: Path, options: JobOptions | None = None) -> Job:
    instances, _ = scan(paths)
    (pair,) = plan(instances).pairs
    return job_of(pair, options or JobOptions(), FillsTheBox().identity)


def extents_of(truth: Volume, stack: Stack) -> dict[int, tuple[float, float, float, float]]:
    """Return plane index -> the extent of the mask there, pixel edges included, on the grid of `stack`."""
    affine = affine_of(stack)
    assert affine is not None
    points = np.argwhere(truth.voxels > 0) @ truth.affine[:3, :3].T + truth.affine[:3, 3]
    indices = Volume(voxels=np.empty(0), affine=affine).indices_of(points)
    found = {}
    for plane in np.unique(np.rint(indices[:, 2]).astype(int)):
        there = indices[np.rint(indices[:, 2]).astype(int) == plane]
        (x0, y0), (x1, y1) = there[:, :2].min(axis=0) - 0.5, there[:, :2].max(axis=0) + 0.5
        found[int(plane)] = (float(x0), float(y0), float(x1), float(y1))
    return found


def boxes_of(prompt: Prompt, stack: Stack) -> dict[int, tuple[float, float, float, float]]:
    index_of = {plane.key: index for index, plane in enumerate(stack.planes)}
    return {index_of[key]: (box.x0, box.y0, box.x1, box.y1) for key, box in prompt.boxes.items()}


@pytest.mark.parametrize(("patient", "modality"), SERIES)
def test_boxes_hold_the_truth_within_a_pixel_on_every_plane_and_on_no_other(
    data_dir: Path, patient: str, modality: str
) -> None:
    job = job_in(data_dir / "ibsi_sts" / "dicom" / patient / modality)
    stack = planes_of(job.images)
    (prompt,) = prompts_in(job).prompts
    truth = extents_of(read_nifti(data_dir / "ibsi_sts" / "nifti" / patient / f"{modality}_mask.nii.gz"), stack)
    boxes = boxes_of(prompt, stack)
    assert set(boxes) == set(truth)
    for plane, (x0, y0, x1, y1) in truth.items():
        left, top, right, bottom = boxes[plane]
        told = (plane, boxes[plane], truth[plane])
        assert max(left - x0, top - y0, x1 - right, y1 - bottom) <= HALF_PIXEL, told  # missing
        assert max(x0 - left, y0 - top, right - x1, bottom - y1) <= ONE_PIXEL, told  # too much


def test_all_series_of_a_patient_are_told_apart_though_no_image_reference_resolves(data_dir: Path) -> None:
    instances, _ = scan([data_dir / "ibsi_sts" / "dicom"])
    found = plan(instances)
    assert len(found.pairs) == len(SERIES)
    assert {pair.rule for pair in found.pairs} == {PairingRule.SERIES}
    assert len({pair.images.key for pair in found.pairs}) == len(SERIES)


@pytest.mark.parametrize("series", ["MR_T1", "MR_T2"])
def test_boxes_of_oblique_scans_hold_their_contours_on_every_plane_drawn(data_dir: Path, series: str) -> None:
    source = data_dir / "sts_raw_STS_001" / "STS_001" / series
    job = job_in(source)
    stack = planes_of(job.images)
    drawn = contours_of(dcmread(next((source / "mask").iterdir())))
    affine = affine_of(stack)
    assert affine is not None
    grid = Volume(voxels=np.empty(0), affine=affine)
    prompts = prompts_in(job).prompts
    assert sorted(prompt.label for prompt in prompts) == sorted(drawn)
    for prompt in prompts:
        boxes = boxes_of(prompt, stack)
        wanted = defaultdict(list)
        for contour in drawn[prompt.label]:
            indices = grid.indices_of(contour)
            wanted[round(float(indices[:, 2].mean()))].append(indices[:, :2])
        assert set(boxes) == set(wanted)
        for plane, parts in wanted.items():
            points = np.concatenate(parts)
            extent = (*points.min(axis=0), *points.max(axis=0))
            assert np.allclose(boxes[plane], extent, atol=0.01), (prompt.label, plane)


IMAGES = ("ct_1.dcm", "ct_2.dcm")


@pytest.fixture
def mock(data_dir: Path) -> Path:
    return data_dir / "rt_utils" / "mock_data"


def test_a_structure_set_in_a_random_frame_of_reference_is_accepted_by_its_images(mock: Path) -> None:
    job = job_in(*(mock / name for name in (*IMAGES, "rt.dcm")))
    found = prompts_in(job)
    assert [len(prompt.boxes) for prompt in found.prompts] == [1]
    assert all(any(note.startswith("FOR_OVERRIDDEN") for note in prompt.notes) for prompt in found.prompts)


def test_the_same_without_the_contours_references_is_refused(mock: Path, tmp_path: Path) -> None:
    objects = [dcmread(mock / name) for name in (*IMAGES, "rt.dcm")]
    for roi in objects[-1].ROIContourSequence:
        for contour in roi.get("ContourSequence") or ():
            contour.pop("ContourImageSequence", None)
    save(objects, tmp_path)
    found = prompts_in(job_in(tmp_path))
    assert found.prompts == ()
    assert {one.reason for one in found.exclusions} == {Reason.FOR_MISMATCH}


def test_contours_that_name_images_which_are_not_here_are_placed_by_geometry(mock: Path) -> None:
    job = job_in(*(mock / name for name in (*IMAGES, "invalid_reference_rt.dcm")))
    stack = planes_of(job.images)
    found = prompts_in(job)
    first = found.prompts[0]
    assert boxes_of(first, stack) == {
        0: pytest.approx((130.5, 150.5, 182.5, 224.5), abs=0.01),
        1: pytest.approx((136.5, 156.5, 176.5, 218.5), abs=0.01),
    }
    assert any("name images that are not of the stack" in note for note in first.notes)
    assert Reason.CONTOUR_OFF_STACK in {one.reason for one in found.exclusions}


def test_contours_on_an_image_that_is_not_here_say_so_and_the_others_are_used(mock: Path) -> None:
    found = prompts_in(job_in(*(mock / name for name in (*IMAGES, "non_existent_reference_rt.dcm"))))
    assert [(prompt.label, len(prompt.boxes)) for prompt in found.prompts] == [(f"ROI-{n}", 2) for n in range(1, 5)]
    assert [one.reason for one in found.exclusions] == [Reason.CONTOUR_OFF_STACK] * 4
    for one in found.exclusions:
        assert one.detail.endswith("contour 1 is 5.00 mm from the nearest, and the image that it names is not here")


def test_a_structure_set_without_any_image_is_told_what_it_refers_to(data_dir: Path) -> None:
    instances, _ = scan([data_dir / "rt_utils" / "empty"])
    found = plan(instances)
    assert (found.pairs, [one.reason for one in found.exclusions]) == ((), [Reason.NO_IMAGES])
    assert "it refers to 3 images, series 2.16.840.1.114362.1" in found.exclusions[0].detail


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("rt.dcm", 0),
        ("invalid_reference_rt.dcm", 4),
        ("non_existent_reference_rt.dcm", 4),
        ("../empty/dummy_rt.dcm", 4),
    ],
)
def test_broken_references_end_in_the_exit_code_that_is_documented(
    mock: Path, tmp_path: Path, name: str, code: int
) -> None:
    told = segment(*(mock / one for one in (*IMAGES, name)), output=tmp_path)
    assert (told.code, len(told.document["results"])) == (code, 1)


def test_a_structure_set_whose_images_never_came_has_each_region_refused(data_dir: Path) -> None:
    found = prompts_in(job_in(data_dir / "dicompyler_rtss_missing_images"))
    assert found.prompts == ()
    assert [one.reason for one in found.exclusions] == [Reason.NOT_A_PROMPT] * 2 + [Reason.CONTOUR_OFF_STACK] * 8


def test_a_structure_set_of_an_outline_and_isocentres_has_no_prompts(data_dir: Path) -> None:
    (path,) = (data_dir / "pydicom_testfiles").rglob("rtstruct.dcm")
    found = describe(path, path=path, digest="")
    assert isinstance(found, Annotation)
    here = replace(stack_at(0, 2.5, 5), frame_of_reference_uid=found.frames_of_reference[0])
    regions = regions_of_rtstruct(read_dataset(path, str(path), pixels=False)[0], found, here, JobOptions())
    assert regions.regions == ()
    assert {one.reason for one in regions.exclusions} == {Reason.NOT_A_PROMPT}


def test_an_outline_and_isocentres_alone_are_nothing_to_do_and_no_error(data_dir: Path, tmp_path: Path) -> None:
    (path,) = (data_dir / "pydicom_testfiles").rglob("rtstruct.dcm")
    drawn, _ = read_dataset(path, str(path), pixels=False)
    images = ct_series(FrameOfReferenceUID=drawn.StructureSetROISequence[0].ReferencedFrameOfReferenceUID)
    for image in images:
        image.StudyInstanceUID = drawn.StudyInstanceUID
    save(images, tmp_path / "in")
    told = segment(tmp_path / "in", path, output=tmp_path / "out")
    assert (told.code, told.document["results"], told.document["refused"]) == (3, [], [])
    assert {one["reason"] for one in told.document["set_aside"]} == {"NOT_A_PROMPT"}
