"""The installed command on scans of odd geometry and on folders in which something is wrong or missing."""

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.scan import scan
from dicomnode.domain import Fact, ImageInstance
from dicomnode.errors import Reason, Refused
from dicomnode.planning import plan
from tests.builders import Contour, rtstruct, save
from tests.folders import planes_of
from tests.places import decimals, headers_in, height, to_patient
from tests.reading import Volume, dice, on_grid, read_nifti, segment, voxels_of_seg
from tests.validation import errors_of, split_errors

pytestmark = [pytest.mark.data]


def outline(inside: NDArray[np.bool_], image: Dataset) -> Contour:
    """Return the contour in patient mm along the pixel edges of `inside`, (row, column) bool, on `image`."""
    rows = np.flatnonzero(inside.any(axis=1))
    ends = [(row, *np.flatnonzero(inside[row])[[0, -1]]) for row in rows]
    right = [(last + 0.5, edge) for row, _, last in ends for edge in (row - 0.5, row + 0.5)]
    left = [(first - 0.5, edge) for row, first, _ in reversed(ends) for edge in (row + 0.5, row - 0.5)]
    return to_patient(np.array([*right, *left]), image)


def to_image(points: NDArray[np.float64], image: Dataset) -> NDArray[np.float64]:
    """Return those of `points`, (point, 3) in patient mm, that lie on `image`, (point, 2) float64 x, y in pixels."""
    orientation = np.array(image.ImageOrientationPatient, float)
    row_gap, column_gap = (float(value) for value in image.PixelSpacing)
    offsets = points - np.array(image.ImagePositionPatient, float)
    offsets = offsets[np.abs(offsets @ np.cross(orientation[:3], orientation[3:])) < 1e-3]
    return np.column_stack([offsets @ orientation[:3] / column_gap, offsets @ orientation[3:] / row_gap])


def read_series(folder: Path, pattern: str = "*") -> list[Dataset]:
    """Return the images in `folder` without pixels, ascending along the normal; empty UIDs come from the file meta."""
    images = list(headers_in(folder, pattern))
    for image in images:
        image.SOPInstanceUID, image.SOPClassUID = (
            image.file_meta.MediaStorageSOPInstanceUID,
            image.file_meta.MediaStorageSOPClassUID,
        )
        image.SeriesInstanceUID, image.StudyInstanceUID = (
            image.SeriesInstanceUID or "1.2.3",
            image.StudyInstanceUID or "1.2.4",
        )
    return sorted(images, key=height)


def positions_in(seg: Dataset) -> list[tuple[int, tuple[str, ...]]]:
    """Return the segment of each frame of `seg` and its position as the decimal texts that stand in the file."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    return [
        (
            (group if "SegmentIdentificationSequence" in group else shared)
            .SegmentIdentificationSequence[0]
            .ReferencedSegmentNumber,
            decimals(group.PlanePositionSequence[0], "ImagePositionPatient"),
        )
        for group in seg.PerFrameFunctionalGroupsSequence
    ]


@pytest.mark.peer
def test_images_without_uids_get_masks_within_half_a_voxel_of_the_truth(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "totalseg" / "example_ct_dicom"
    images, truth = read_series(folder), read_nifti(data_dir / "totalseg" / "example_seg_dicom.nii.gz")
    organs = organs_on(images, truth)
    contours = {
        f"organ {label}": [outline(inside, images[index]) for index, inside in planes.items()]
        for label, planes in organs.items()
    }
    ds = rtstruct(images, contours, frame_of_reference=images[0].FrameOfReferenceUID)
    told = segment(folder, *save([ds], tmp_path / "annotation"), output=tmp_path / "segmentations")
    assert (told.code, told.document["refused"]) == (0, [])
    seg = dcmread(told.only_seg())
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert decimals(shared.PlaneOrientationSequence[0], "ImageOrientationPatient") == decimals(
        images[0], "ImageOrientationPatient"
    )
    assert decimals(shared.PixelMeasuresSequence[0], "PixelSpacing") == decimals(images[0], "PixelSpacing")
    position = {decimals(image, "ImagePositionPatient"): index for index, image in enumerate(images)}
    numbers = {item.SegmentLabel: item.SegmentNumber for item in seg.SegmentSequence}
    found = voxels_of_seg(told.only_seg())
    scores = []
    for label, planes in organs.items():
        number = numbers[f"organ {label}"]
        assert sorted(position[text] for segment_number, text in positions_in(seg) if segment_number == number) == list(
            planes
        )
        mask, inside = on_grid(found[number], truth), truth.voxels == label
        assert_within_the_boxes(mask, inside)
        scores.append(dice(mask, inside))
    assert len(scores) == 31
    assert float(np.mean(scores)) >= 0.75
    assert split_errors(told.only_seg(), images[0]) == (set(), [])


def organs_on(images: Sequence[Dataset], truth: Volume) -> Mapping[int, Mapping[int, NDArray[np.bool_]]]:
    """Return label -> plane index -> (row, column) bool, each image's pixels looked up in `truth` by their place."""
    organs: dict[int, dict[int, NDArray[np.bool_]]] = defaultdict(dict)
    for index, image in enumerate(images):
        y, x = np.indices((image.Rows, image.Columns))
        points = np.array(to_patient(np.column_stack([x.ravel(), y.ravel()]).astype(float), image))
        nearest = np.rint(truth.indices_of(points)).astype(int)
        labels = truth.voxels[tuple(nearest.T)].reshape(image.Rows, image.Columns)
        for label in np.unique(labels[labels > 0]):
            organs[int(label)][index] = labels == label
    return organs


def assert_within_the_boxes(mask: NDArray[np.bool_], inside: NDArray[np.bool_]) -> None:
    """Check that on each plane k `mask`, (i, j, k) bool, lies within the extent of `inside`."""
    for plane in range(mask.shape[2]):
        for axis in (0, 1):
            ours, true = (np.flatnonzero(one[:, :, plane].any(axis=axis)) for one in (mask, inside))
            assert not len(ours) or (ours[0] >= true[0] and ours[-1] <= true[-1])


@pytest.mark.peer
def test_tilted_planes_at_uneven_distances_are_written_where_they_lie(data_dir: Path, tmp_path: Path) -> None:
    """dcmqi is no witness here: it reads only what fits a regular grid without tilt."""
    folder = uneven_series(data_dir / "dcm_qa_ct_variable_and_plain")
    images = read_series(folder)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.column_stack([250 + 60 * np.cos(angles), 230 + 40 * np.sin(angles)])
    drawn = images[4:24]
    ds = rtstruct(
        images,
        {"brain": [to_patient(circle, image) for image in drawn]},
        frame_of_reference=images[0].FrameOfReferenceUID,
    )
    told = segment(folder, *save([ds], tmp_path / "annotation"), output=tmp_path / "segmentations")
    assert (told.code, told.document["refused"]) == (0, [])
    seg = dcmread(told.only_seg())
    assert sorted(text for _, text in positions_in(seg)) == sorted(
        decimals(image, "ImagePositionPatient") for image in drawn
    )
    measures = [frame.PixelMeasuresSequence[0] for frame in seg.PerFrameFunctionalGroupsSequence]
    assert not any("SpacingBetweenSlices" in one for one in measures)
    assert sorted(one.SliceThickness for one in measures) == sorted(image.SliceThickness for image in drawn)
    (points,) = voxels_of_seg(told.only_seg()).values()
    on_planes = [to_image(points, image) for image in drawn]
    assert sum(map(len, on_planes)) == len(points)
    for pixels in on_planes:
        assert np.abs(pixels - np.rint(pixels)).max() < 1e-3
        assert (pixels.min(axis=0) >= (189.5, 189.5)).all()
        assert (pixels.max(axis=0) <= (310.5, 270.5)).all()
    assert split_errors(told.only_seg(), images[0]) == (set(), [])


def uneven_series(root: Path) -> Path:
    """Return the folder of the series in `root` that is tilted and uneven."""
    instances, _ = scan([root])
    stacks = plan(instances).stacks
    (uneven,) = [stack for stack in stacks if {Fact.IRREGULAR, Fact.SHEARED} <= planes_of(stack).facts]
    return uneven.images[0].path.parent


def test_a_truncated_image_is_named_and_the_rest_is_segmented(data_dir: Path, tmp_path: Path) -> None:
    study = shutil.copytree(data_dir / "ibsi_sts" / "dicom" / "STS_019" / "PET", tmp_path / "study")
    whole = segment(study, output=tmp_path / "whole")
    first = dcmread(whole.only_seg()).PerFrameFunctionalGroupsSequence[0]
    uid = first.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    (broken,) = [path for path in (study / "image").iterdir() if dcmread(path).SOPInstanceUID == uid]
    broken.write_bytes(broken.read_bytes()[:-1000])
    told = segment(study, output=tmp_path / "segmentations")
    assert told.code == 4
    assert {(one["what"], one["reason"]) for one in told.document["refused"]} >= {(str(broken), "TRUNCATED")}
    assert (
        told.document["results"][0]["segments"][0]["planes"]
        == whole.document["results"][0]["segments"][0]["planes"] - 1
    )
    lost = decimals(first.PlanePositionSequence[0], "ImagePositionPatient")
    assert lost not in {text for _, text in positions_in(dcmread(told.only_seg()))}


def test_images_without_annotation_end_with_3_and_a_sentence(data_dir: Path, tmp_path: Path) -> None:
    told = segment(data_dir / "crlm_ct_1004", output=tmp_path / "segmentations")
    assert (told.code, told.document["results"], told.document["refused"]) == (3, [], [])
    assert "Nothing written. Found 1 stack of 41 images (CT), but no annotation" in told.stderr


def test_a_structure_set_whose_images_never_came_is_refused_by_contour(data_dir: Path, tmp_path: Path) -> None:
    told = segment(data_dir / "dicompyler_rtss_missing_images", output=tmp_path / "segmentations")
    assert told.code == 4
    assert {"CONTOUR_OFF_STACK"} == {one["reason"] for one in told.document["refused"]}
    assert "NOT_A_PROMPT" in {one["reason"] for one in told.document["set_aside"]}


@pytest.mark.peer
def test_a_structure_set_in_another_frame_of_reference_that_names_the_images_is_used(
    data_dir: Path, tmp_path: Path
) -> None:
    mock = data_dir / "rt_utils" / "mock_data"
    told = segment(*mock.glob("ct*.dcm"), mock / "rt.dcm", output=tmp_path / "segmentations")
    assert told.code == 0
    assert [one["planes"] for one in told.document["results"][0]["segments"]] == [1]
    assert errors_of(told.only_seg()) == []


def test_contours_beyond_the_end_of_the_stack_are_refused_and_the_others_used(data_dir: Path, tmp_path: Path) -> None:
    mock = data_dir / "rt_utils" / "mock_data"
    told = segment(*mock.glob("ct*.dcm"), mock / "invalid_reference_rt.dcm", output=tmp_path / "segmentations")
    assert told.code == 4
    assert [(one["reason"], one["detail"][:15]) for one in told.document["refused"]] == [
        ("CONTOUR_OFF_STACK", "1 of 3 contours")
    ] * 4
    images = read_series(mock, "ct*.dcm")
    points = voxels_of_seg(told.only_seg())[1]
    for image, (x0, y0, x1, y1) in zip(
        images, ((130.5, 150.5, 182.5, 224.5), (136.5, 156.5, 176.5, 218.5)), strict=True
    ):
        pixels = to_image(points, image)
        assert len(pixels)
        assert (pixels.min(axis=0) >= (x0, y0)).all()
        assert (pixels.max(axis=0) <= (x1, y1)).all()


def test_every_real_file_is_described_and_every_stack_read(data_dir: Path) -> None:
    """What is refused names its reason; anything else that is raised fails here."""
    instances, _ = scan([data_dir])
    images = [one for one in instances if isinstance(one, ImageInstance)]
    found = plan(instances)
    assert len(images) > 1400
    assert len(found.pairs) > 20
    unread: dict[str, Reason] = {}
    for stack in found.stacks:
        try:
            unread |= {Path(one.what).name: one.reason for one in planes_of(stack).exclusions}
        except Refused as error:
            unread[stack.planes[0].image.path.name] = error.reason
    assert unread == {
        "JPEG-lossy.dcm": Reason.NO_DECODER,  # 12 bits
        "chrJapMulti.dcm": Reason.TRUNCATED,  # no pixel data
        "chrKoreanMulti.dcm": Reason.TRUNCATED,
    }
