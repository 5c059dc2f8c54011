"""Structure sets in files become boxes on planes, and what does not become one is told."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UltrasoundImageStorage

from dicomnode.dicom.prompts.rtstruct import regions_of_rtstruct
from dicomnode.domain import JobOptions, Prompt, Stack
from dicomnode.errors import Reason, Refused
from tests.builders import Contour, ct_series, rtstruct, square
from tests.folders import prompts_of
from tests.multiframe import enhanced
from tests.values import FRAME_OF_REFERENCE, annotation, stack_at

OBLIQUE = (0.8660254037844387, 0.0, -0.5, 0.0, 1.0, 0.0)  # 30 degrees about the y axis


def boxes_of(prompt: Prompt, stack: Stack) -> dict[int, tuple[float, ...]]:
    """Return plane index -> x0, y0, x1, y1."""
    index = {plane.key: number for number, plane in enumerate(stack.planes)}
    return {
        index[key]: tuple(round(float(value), 4) for value in (box.x0, box.y0, box.x1, box.y1))
        for key, box in prompt.boxes.items()
    }


def on_oblique(orientation: Sequence[float], corners: Sequence[tuple[float, float]], height: float) -> Contour:
    """Return `corners` x, y in mm on the plane at `height`, in patient mm."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    points = [x * row + y * column + height * np.cross(row, column) for x, y in corners]
    return [(float(x), float(y), float(z)) for x, y, z in points]


def contour(structure_set: Dataset, roi: int = 0, number: int = 0) -> Dataset:
    found: Dataset = structure_set.ROIContourSequence[roi].ContourSequence[number]
    return found


def reference(image: Dataset, frame: int | None = None) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    if frame:
        made.ReferencedFrameNumber = frame
    return made


def test_pixels_that_are_not_square_have_their_own_scale_on_each_axis(tmp_path: Path) -> None:
    images = ct_series(planes=10, spacing=(1.0, 0.5), origin=(-10.0, -10.0, 0.0))
    found, stack = prompts_of(images, rtstruct(images, {"A": [square(-5, -5, 0, 0, 5.0)]}), tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (10, 5, 20, 10)}
    assert found.exclusions == ()


def test_an_oblique_stack_has_its_boxes_on_its_own_planes(tmp_path: Path) -> None:
    images = ct_series(planes=8, orientation=OBLIQUE)
    drawn = on_oblique(OBLIQUE, [(10, 3), (30, 3), (30, 13), (10, 13)], 4 * 2.5)
    found, stack = prompts_of(images, rtstruct(images, {"A": [drawn]}, references=False), tmp_path)
    assert boxes_of(found.prompts[0], stack) == {4: (10, 3, 30, 13)}


def test_a_coronal_contour_on_an_axial_stack_is_a_box_on_every_plane_it_crosses(tmp_path: Path) -> None:
    images = ct_series(planes=6)
    drawn = [(5.0, 9.0, 2.0), (20.0, 9.0, 2.0), (20.0, 9.0, 8.0), (5.0, 9.0, 8.0)]
    found, stack = prompts_of(images, rtstruct(images, {"A": [drawn]}), tmp_path)
    assert boxes_of(found.prompts[0], stack) == {1: (5, 8.5, 20, 9.5), 2: (5, 8.5, 20, 9.5), 3: (5, 8.5, 20, 9.5)}
    assert any("runs across planes" in note for note in found.prompts[0].notes)


def test_a_contour_exactly_half_a_gap_off_goes_to_the_lower_plane_with_a_note(tmp_path: Path) -> None:
    images = ct_series()
    found, stack = prompts_of(images, rtstruct(images, {"A": [square(5, 5, 9, 9, 3.75)]}), tmp_path)
    assert boxes_of(found.prompts[0], stack) == {1: (5, 5, 9, 9)}
    assert found.prompts[0].notes == ("contour 1 lies 1.25 mm off its plane",)


def test_a_contour_beyond_the_end_is_refused_and_the_others_are_used(tmp_path: Path) -> None:
    images = ct_series()
    drawn = [square(5, 5, 9, 9, 10.0), square(5, 5, 9, 9, 10 + 0.51 * 2.5)]
    found, stack = prompts_of(images, rtstruct(images, {"A": drawn}), tmp_path)
    assert boxes_of(found.prompts[0], stack) == {4: (5, 5, 9, 9)}
    assert [one.reason for one in found.exclusions] == [Reason.CONTOUR_OFF_STACK]
    assert "1 of 2 contours" in found.exclusions[0].detail


def test_holes_islands_and_keyholes_count_with_their_whole_extent(tmp_path: Path) -> None:
    images = ct_series()
    keyhole = [(5, 5), (25, 5), (25, 20), (15, 20), (15, 15), (12, 15), (12, 10), (15, 10), (15, 20), (5, 20)]
    rois: dict[str, list[Contour]] = {
        "keyhole": [[(float(x), float(y), 5.0) for x, y in keyhole]],
        "hole": [square(5, 5, 25, 20, 5.0), square(10, 10, 12, 12, 5.0)],
        "islands": [square(5, 5, 8, 8, 5.0), square(20, 15, 25, 20, 5.0)],
    }
    found, stack = prompts_of(images, rtstruct(images, rois), tmp_path)
    assert [boxes_of(prompt, stack) for prompt in found.prompts] == [{2: (5, 5, 25, 20)}] * 3


def test_contours_of_one_or_two_points_are_points_and_no_box(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [[(5.0, 5.0, 5.0), (9.0, 9.0, 5.0)], [(1.0, 2.0, 7.5)]]})
    found, stack = prompts_of(images, drawn, tmp_path)
    (prompt,) = found.prompts
    assert prompt.boxes == {}
    assert prompt.points == {stack.planes[2].key: ((5.0, 5.0), (9.0, 9.0)), stack.planes[3].key: ((1.0, 2.0),)}
    assert found.exclusions == ()


def test_a_region_without_contours_leaves_the_next_ones_name_alone(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"first": [], "second": [square(5, 5, 9, 9, 5.0)], "third": [square(1, 1, 4, 4, 5.0)]})
    del drawn.ROIContourSequence[0]
    drawn.ROIContourSequence.reverse()
    found, stack = prompts_of(images, drawn, tmp_path)
    assert {prompt.label: boxes_of(prompt, stack) for prompt in found.prompts} == {
        "second": {2: (5, 5, 9, 9)},
        "third": {2: (1, 1, 4, 4)},
    }
    assert [(one.reason, "'first'" in one.what) for one in found.exclusions] == [(Reason.NOT_A_PROMPT, True)]


def test_contours_of_one_region_in_two_items_are_all_used(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)], "B": [square(5, 5, 9, 9, 7.5)]})
    drawn.ROIContourSequence[1].ReferencedROINumber = 1
    found, stack = prompts_of(images, drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (5, 5, 9, 9), 3: (5, 5, 9, 9)}


def test_regions_that_share_a_number_are_refused_and_the_others_used(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {name: [square(5, 5, 9, 9, 5.0)] for name in ("one", "two", "three")})
    drawn.StructureSetROISequence[1].ROINumber = 1
    found, _ = prompts_of(images, drawn, tmp_path)
    assert [prompt.label for prompt in found.prompts] == ["three"]
    assert {one.reason for one in found.exclusions} == {Reason.BAD_CONTOUR}
    assert len(found.exclusions) == 2


def test_contours_of_no_named_region_are_refused(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)], "B": [square(5, 5, 9, 9, 7.5)]})
    del drawn.StructureSetROISequence[1]
    found, _ = prompts_of(images, drawn, tmp_path)
    assert [prompt.label for prompt in found.prompts] == ["A"]
    assert [one.reason for one in found.exclusions] == [Reason.BAD_CONTOUR]
    assert found.exclusions[0].what.endswith("ROI 2")


@pytest.mark.parametrize("interpreted_type", ["EXTERNAL", "external", "BOLUS", "ISOCENTER", "BRACHY_CHANNEL"])
def test_what_is_no_organ_or_target_is_set_aside(tmp_path: Path, interpreted_type: str) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"BODY": [square(1, 1, 30, 30, 5.0)]}, interpreted_type=interpreted_type)
    found, _ = prompts_of(images, drawn, tmp_path)
    assert found.prompts == ()
    assert [one.reason for one in found.exclusions] == [Reason.NOT_A_PROMPT]


def test_another_frame_of_reference_is_refused_where_no_contour_names_an_image(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]}, references=False, frame_of_reference="1.2.99")
    found, _ = prompts_of(images, drawn, tmp_path)
    assert found.prompts == ()
    assert [one.reason for one in found.exclusions] == [Reason.FOR_MISMATCH]
    assert "1.2.99" in found.exclusions[0].detail


def test_another_frame_of_reference_is_overridden_where_a_contour_names_an_image(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]}, frame_of_reference="1.2.99")
    found, stack = prompts_of(images, drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (5, 5, 9, 9)}
    assert found.prompts[0].notes[0].startswith("FOR_OVERRIDDEN")


@pytest.mark.parametrize(
    "data", [b"", b"1\\2\\3\\4\\5\\6\\7 ", b"1\\2\\x\\4\\5\\6\\7\\8\\9 ", b"nan\\2\\3\\4\\5\\6\\7\\8\\9"]
)
def test_a_broken_contour_is_refused_and_the_others_are_used(tmp_path: Path, data: bytes) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0), square(5, 5, 9, 9, 7.5)]})
    tag = Tag("ContourData")
    contour(drawn)[tag] = RawDataElement(tag, "DS", len(data), data, 0, is_implicit_VR=False, is_little_endian=True)
    found, stack = prompts_of(images, drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {3: (5, 5, 9, 9)}
    assert [one.reason for one in found.exclusions] == [Reason.BAD_CONTOUR]


def test_a_contour_without_data_is_refused(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    contour(drawn).ContourData = None
    found, _ = prompts_of(images, drawn, tmp_path)
    assert [one.reason for one in found.exclusions] == [Reason.BAD_CONTOUR]


@pytest.mark.parametrize(
    ("roi", "labels"),
    [("gtv.*", ["GTV-1", "GTVn"]), ("Liver", ["Liver"]), ("tv", []), ("node", ["Node #4", "Node #5"])],
)
def test_only_regions_whose_whole_name_matches_in_any_case_are_used(
    tmp_path: Path, roi: str, labels: list[str]
) -> None:
    images = ct_series()
    drawn = rtstruct(images, {name: [square(5, 5, 9, 9, 5.0)] for name in ("GTV-1", "GTVn", "Liver", "Node", "Node.")})
    drawn.StructureSetROISequence[4].ROIName = "Node"
    found, _ = prompts_of(images, drawn, tmp_path, JobOptions(roi=roi))
    assert [prompt.label for prompt in found.prompts] == labels
    assert {one.reason for one in found.exclusions} == {Reason.NOT_SELECTED}


def test_a_margin_is_in_millimetres_on_each_axis(tmp_path: Path) -> None:
    images = ct_series(spacing=(1.0, 0.5))
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    found, stack = prompts_of(images, drawn, tmp_path, JobOptions(margin_mm=2.0))
    assert boxes_of(found.prompts[0], stack) == {2: (6, 3, 22, 11)}


def test_boxes_over_the_edge_are_clipped_and_boxes_outside_refused(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"edge": [square(-9, 5, 9, 9, 5.0)], "outside": [square(100, 5, 120, 9, 5.0)]})
    found, stack = prompts_of(images, drawn, tmp_path)
    assert [boxes_of(prompt, stack) for prompt in found.prompts] == [{2: (-0.5, 5, 9, 9)}]
    assert found.prompts[0].notes == ("plane 2: clipped to the image",)
    assert [one.reason for one in found.exclusions] == [Reason.BOX_OUTSIDE]


def test_a_region_of_one_point_thrice_holds_one_pixel(tmp_path: Path) -> None:
    images = ct_series()
    found, stack = prompts_of(images, rtstruct(images, {"A": [[(7.0, 8.0, 5.0)] * 3]}), tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (6.5, 7.5, 7.5, 8.5)}


def test_names_are_made_fit_for_a_label(tmp_path: Path) -> None:
    images = ct_series()
    names = ["Größe\tmax", "x" * 64, "右肺"]
    drawn = rtstruct(images, {name: [square(5, 5, 9, 9, 5.0)] for name in names})
    found, _ = prompts_of(images, drawn, tmp_path)
    assert [prompt.label for prompt in found.prompts] == ["Größe_max", "x" * 64, "右肺"]


def test_geometry_wins_over_the_image_a_contour_names(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    contour(drawn).ContourImageSequence[0].ReferencedSOPInstanceUID = images[0].SOPInstanceUID
    found, stack = prompts_of(images, drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (5, 5, 9, 9)}


def test_what_a_person_drew_is_kept_in_pixels(tmp_path: Path) -> None:
    images = ct_series(spacing=(1.0, 0.5))
    found, stack = prompts_of(images, rtstruct(images, {"A": [square(5, 5, 9, 10, 5.0)]}), tmp_path)
    ((outline,),) = found.prompts[0].outlines.values()
    assert list(found.prompts[0].outlines) == [stack.planes[2].key]
    assert outline.tolist() == [[10, 5], [18, 5], [18, 10], [10, 10]]


def test_a_backslash_in_a_name_becomes_an_underscore(tmp_path: Path) -> None:
    images = ct_series()
    found, _ = prompts_of(images, rtstruct(images, {"a/b\\c": [square(5, 5, 9, 9, 5.0)]}), tmp_path)
    assert [prompt.label for prompt in found.prompts] == ["a/b_c"]


def test_contours_on_images_without_a_place_are_refused(tmp_path: Path) -> None:
    images = ct_series(planes=1, Modality="US")
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})
    images[0].SOPClassUID = images[0].file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        del images[0][keyword]
    with pytest.raises(Refused, match="no place") as refused:
        prompts_of(images, drawn, tmp_path)
    assert refused.value.reason is Reason.NO_GEOMETRY


def test_images_that_state_no_frame_of_reference_are_meant_where_a_contour_names_one(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    for image in images:
        del image.FrameOfReferenceUID
    found, stack = prompts_of(images, drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (5, 5, 9, 9)}
    assert "the images state none" in found.prompts[0].notes[0]


@pytest.mark.parametrize(("frame", "meant"), [(None, True), (3, True), (2, False), (7, False)])
def test_contours_on_an_enhanced_image_name_its_frames(tmp_path: Path, frame: int | None, meant: bool) -> None:  # noqa: FBT001
    source = enhanced(ct_series())
    drawn = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]}, frame_of_reference="1.2.99")
    drawn.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[
        0
    ].ContourImageSequence = [reference(source)]
    contour(drawn).ContourImageSequence = [reference(source, frame)]
    found, stack = prompts_of([source], drawn, tmp_path)
    assert [boxes_of(prompt, stack) for prompt in found.prompts] == [{2: (5, 5, 9, 9)}] * meant
    assert [one.reason for one in found.exclusions] == [Reason.FOR_MISMATCH] * (not meant)


def test_frame_seven_of_an_enhanced_image_has_what_is_drawn_on_it(tmp_path: Path) -> None:
    source = enhanced(ct_series(planes=9))
    drawn = rtstruct(ct_series(planes=9), {"A": [square(5, 5, 9, 9, 15.0)]})
    listed = drawn.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    listed.ContourImageSequence = [reference(source)]
    contour(drawn).ContourImageSequence = [reference(source, 7)]
    found, stack = prompts_of([source], drawn, tmp_path)
    (prompt,) = found.prompts
    assert ([key.frame for key in prompt.boxes], boxes_of(prompt, stack)) == ([7], {6: (5, 5, 9, 9)})
    assert prompt.notes == ()


def test_another_frame_of_an_enhanced_image_than_a_contour_lies_on_is_noted(tmp_path: Path) -> None:
    source = enhanced(ct_series())
    drawn = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]})
    contour(drawn).ContourImageSequence = [reference(source, 5)]
    found, stack = prompts_of([source], drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (5, 5, 9, 9)}
    assert found.prompts[0].notes == ("contour 1 names another image than the one it lies on: its place counts",)


def test_another_frame_of_reference_is_refused_where_a_contour_lies_on_another_image_than_it_names(
    tmp_path: Path,
) -> None:
    images = ct_series()
    heights = (0.0, 2.5, 5.0)
    drawn = rtstruct(
        images, {"A": [square(5, 5, 9, 9, z) for z in heights]}, references=False, frame_of_reference="1.2.99"
    )
    contour(drawn).ContourImageSequence = [reference(images[4])]
    found, _ = prompts_of(images, drawn, tmp_path)
    assert [one.reason for one in found.exclusions] == [Reason.FOR_MISMATCH]
    assert "1 of the 1 contours that name an image" in found.exclusions[0].detail


def test_a_frame_of_reference_overridden_by_some_contours_says_how_many(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(
        images, {"A": [square(5, 5, 9, 9, z) for z in (0.0, 2.5)]}, references=False, frame_of_reference="1.2.99"
    )
    contour(drawn).ContourImageSequence = [reference(images[0])]
    found, stack = prompts_of(images, drawn, tmp_path)
    assert sorted(boxes_of(found.prompts[0], stack)) == [0, 1]
    assert "1 of its 2 contours name the images" in found.prompts[0].notes[0]


def test_commas_for_decimal_points_are_read(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})
    data, tag = b"5,5\\5\\5,0\\9\\5\\5\\9\\9,25\\5 ", Tag("ContourData")
    contour(drawn)[tag] = RawDataElement(tag, "DS", len(data), data, 0, is_implicit_VR=False, is_little_endian=True)
    found, stack = prompts_of(images, drawn, tmp_path)
    assert boxes_of(found.prompts[0], stack) == {2: (5.5, 5, 9, 9.25)}


ANGLES = st.tuples(*[st.floats(-3.14, 3.14)] * 3)


@settings(max_examples=100)
@given(
    angles=ANGLES,
    spacing=st.tuples(*[st.floats(0.3, 3.0)] * 2),
    step=st.floats(0.5, 6.0),
    plane=st.integers(0, 4),
    corner=st.tuples(*[st.floats(0, 140)] * 2),
    side=st.tuples(*[st.floats(3, 140)] * 2),
)
def test_a_box_drawn_as_a_contour_on_any_plane_is_the_box_that_is_read(
    angles: tuple[float, float, float],
    spacing: tuple[float, float],
    step: float,
    plane: int,
    corner: tuple[float, float],
    side: tuple[float, float],
) -> None:
    matrix = turned(angles)
    orientation = (*map(float, matrix[:, 0]), *map(float, matrix[:, 1]))
    heights = [step * index for index in range(5)]
    stack = stack_at(*heights, orientation=orientation, spacing=spacing, stored=np.zeros((300, 300), dtype=np.int16))  # type: ignore[arg-type]
    (x0, y0), (x1, y1) = corner, np.add(corner, side)
    corners = [(x * spacing[1], y * spacing[0]) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    drawn = rtstruct(
        [ct_series(planes=1)[0]],
        {"A": [on_oblique(orientation, corners, heights[plane])]},
        references=False,
        frame_of_reference=FRAME_OF_REFERENCE,
    )
    found = regions_of_rtstruct(drawn, annotation(), stack, JobOptions())
    assert found.exclusions == ()
    ((index, (box,)),) = found.regions[0].extents.items()
    assert index == plane
    assert np.allclose((box.x0, box.y0, box.x1, box.y1), (x0, y0, x1, y1), atol=1e-3)


def turned(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the rotation about the three axes in turn, (3, 3)."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[other, one], turn[one, other] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return matrix
