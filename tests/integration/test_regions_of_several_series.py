"""Each region of an annotation lies on the stack that it means, and none that lies on none is lost."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import UID

from dicomnode.domain import PairingRule
from dicomnode.errors import Reason
from dicomnode.inspecting import Inspection, inspect_paths
from tests import sr_objects as srs
from tests.builders import FRAME_OF_REFERENCE, Contour, ct_series, rtstruct, save, square
from tests.multiframe import item
from tests.segs import frame, graphic, grid, gsps, images_named, seg
from tests.segs import segment as described

A, B = "1.2.826.0.1.3680043.8.498.1.20", "1.2.826.0.1.3680043.8.498.1.30"
RECTANGLE = [(5, 5), (9, 5), (9, 12), (5, 12), (5, 5)]


def series(uid: str, planes: int, step: float, **changes: Any) -> list[Dataset]:  # noqa: ANN401 - any element
    """Return the CT series `uid` of planes from 0 mm up."""
    images = ct_series(planes=planes, step=step, SeriesInstanceUID=uid, **changes)
    for number, image in enumerate(images, start=1):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{uid}.{number}")
    return images


@pytest.fixture
def a() -> list[Dataset]:
    return series(A, 6, 5.0)


@pytest.fixture
def b() -> list[Dataset]:
    return series(B, 11, 3.0)


def named(image: Dataset) -> Dataset:
    return item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def listing(structure_set: Dataset, *many: Sequence[Dataset]) -> Dataset:
    """Return `structure_set`, with these series and their images listed."""
    (frame_of_reference,) = structure_set.ReferencedFrameOfReferenceSequence
    (study,) = frame_of_reference.RTReferencedStudySequence
    study.RTReferencedSeriesSequence = [
        item(SeriesInstanceUID=one[0].SeriesInstanceUID, ContourImageSequence=[named(image) for image in one])
        for one in many
    ]
    return structure_set


def inspected(objects: Iterable[Dataset], folder: Path) -> Inspection:
    save(list(objects), folder)
    return inspect_paths([folder])


def planes_in(found: Inspection) -> dict[str, dict[str, list[int]]]:
    """Return series UID -> label -> the indices of the planes with boxes."""
    numbers = {key: number for stack in found.stacks for number, (key, _) in enumerate(stack.planes)}
    return {
        one.pair.images.series_uid: {prompt.label: [numbers[key] for key in prompt.boxes] for prompt in one.prompts}
        for one in found.pairs
    }


def drawn_at(*heights: float) -> list[Contour]:
    return [square(10, 8, 20, 16, z) for z in heights]


def test_the_series_with_more_listed_images_does_not_win_against_geometry(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    drawn = listing(rtstruct(a, {"liver": drawn_at(5, 10, 20)}, references=False), a, b)
    found = inspected([*a, *b, drawn], tmp_path)
    assert planes_in(found) == {A: {"liver": [1, 2, 4]}}
    assert found.pairs[0].pair.rule is PairingRule.GEOMETRY


def test_two_phases_that_are_listed_are_ambiguous_whichever_has_more_images(tmp_path: Path) -> None:
    first = series(A, 6, 2.5, AcquisitionNumber=1)
    second = series(A, 5, 2.5, AcquisitionNumber=2)
    for number, image in enumerate(second):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{A}.9{number}")
    drawn = rtstruct([*first, *second], {"liver": drawn_at(2.5, 5)}, references=False)
    found = inspected([*first, *second, drawn], tmp_path)
    assert (found.pairs, [one.reason for one in found.exclusions]) == ((), [Reason.AMBIGUOUS_SERIES])


def test_a_series_that_is_listed_beside_that_of_the_images_drawn_on_is_not_taken_for_it(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    found = inspected([*b, listing(rtstruct(a, {"liver": drawn_at(5, 10)}), a, b)], tmp_path)
    assert (found.pairs, [one.reason for one in found.exclusions]) == ((), [Reason.NO_IMAGES])


def test_regions_that_name_images_of_two_series_are_a_job_each(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    drawn = rtstruct(a, {"GTV_A": drawn_at(5, 10), "GTV_B": drawn_at(6)})
    drawn.ROIContourSequence[1].ContourSequence[0].ContourImageSequence = [named(b[2])]
    found = inspected([*a, *b, drawn], tmp_path)
    assert planes_in(found) == {A: {"GTV_A": [1, 2]}, B: {"GTV_B": [2]}}
    assert found.exclusions == ()


@pytest.mark.parametrize("references", [True, False])
def test_regions_in_two_frames_of_reference_are_a_job_each(
    tmp_path: Path,
    a: list[Dataset],
    references: bool,  # noqa: FBT001
) -> None:
    b = series(B, 11, 3.0, FrameOfReferenceUID="1.2.77")
    drawn = rtstruct(a, {"GTV_A": drawn_at(5, 10), "GTV_B": drawn_at(6)}, references=references)
    drawn.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.77"
    if references:
        drawn.ROIContourSequence[1].ContourSequence[0].ContourImageSequence = [named(b[2])]
    else:
        drawn.ReferencedFrameOfReferenceSequence = []
    found = inspected([*a, *b, drawn], tmp_path)
    assert planes_in(found) == {A: {"GTV_A": [1, 2]}, B: {"GTV_B": [2]}}
    assert found.exclusions == ()


def test_a_region_whose_images_are_not_here_is_told_by_name_and_the_others_are_used(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    drawn = listing(rtstruct(a, {"GTV_A": drawn_at(5), "GTV_B": drawn_at(6)}), a, b)
    drawn.ROIContourSequence[1].ContourSequence[0].ContourImageSequence = [named(b[2])]
    found = inspected([*a, drawn], tmp_path)
    assert planes_in(found) == {A: {"GTV_A": [1]}}
    ((reason, what),) = [(one.reason, one.what) for one in found.exclusions]
    assert reason is Reason.NO_IMAGES
    assert what.endswith("ROI 2 'GTV_B'")


def test_a_region_that_fits_two_series_alike_lies_on_the_one_whose_images_the_others_name(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    drawn = listing(rtstruct(a, {"liver": drawn_at(5, 10), "node": drawn_at(15)}), a, b)
    del drawn.ROIContourSequence[1].ContourSequence[0].ContourImageSequence
    found = inspected([*a, *b, drawn], tmp_path)
    assert (planes_in(found), found.exclusions) == ({A: {"liver": [1, 2], "node": [3]}}, ())


def test_places_in_the_patient_beside_a_region_on_images_lie_on_the_series_whose_planes_they_are_on(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    on_image = srs.group(*srs.tracked("x"), srs.scoord("POLYLINE", RECTANGLE, srs.image(a[1].SOPInstanceUID)))
    in_patient = srs.scoord3d("POLYGON", [(x, y, 6.0) for x, y in RECTANGLE], FRAME_OF_REFERENCE)
    listed = [(A, a[1].SOPInstanceUID), (B, b[2].SOPInstanceUID)]
    drawn = srs.report(on_image, srs.group(*srs.tracked("y", "2.25.78"), in_patient), images=listed)
    found = inspected([*a, *b, drawn], tmp_path)
    assert (planes_in(found), found.exclusions) == ({A: {"x": [1]}, B: {"y": [2]}}, ())


@pytest.mark.parametrize("is_listed", [False, True])
def test_a_region_of_a_report_on_an_image_that_is_not_here_is_told_by_name(
    tmp_path: Path,
    a: list[Dataset],
    is_listed: bool,  # noqa: FBT001
) -> None:
    gone = a.pop(1).SOPInstanceUID if is_listed else "1.2.3.4.5.6"
    drawn = [
        srs.ohif("RectangleROI", name, srs.measured(srs.AREA, srs.scoord("POLYLINE", RECTANGLE, srs.image(uid))))
        for name, uid in (("here", a[2].SOPInstanceUID), ("gone", gone))
    ]
    found = inspected([*a, srs.ohif_report(*drawn)], tmp_path)
    assert list(planes_in(found)[A]) == ["here"]
    ((reason, what),) = [(one.reason, one.what) for one in found.exclusions]
    assert (reason, what.rpartition(" ")[2]) == (Reason.NO_IMAGES, "'gone'")


def test_a_graphic_on_an_image_that_is_not_here_is_told(tmp_path: Path, a: list[Dataset]) -> None:
    drawn = [
        {"GraphicObjectSequence": [graphic("POLYLINE", RECTANGLE)], "ReferencedImageSequence": images_named(uid)}
        for uid in (a[1].SOPInstanceUID, "1.2.3.4.5")
    ]
    found = inspected([*a, gsps(drawn, images_named(a[1].SOPInstanceUID, "1.2.3.4.5"))], tmp_path)
    assert planes_in(found) == {A: {"Segment 1.1": [1]}}
    assert [(one.reason, one.what.partition(" ")[2]) for one in found.exclusions] == [
        (Reason.NO_IMAGES, "graphic 2.1 POLYLINE")
    ]


def test_the_series_alone_is_no_place_for_graphics(tmp_path: Path, a: list[Dataset]) -> None:
    one = {"GraphicObjectSequence": [graphic("POLYLINE", RECTANGLE)], "ReferencedImageSequence": images_named("1.2.3")}
    drawn = gsps([one], images_named("1.2.3"))
    drawn.ReferencedSeriesSequence[0].SeriesInstanceUID = A
    found = inspected([*a, drawn], tmp_path)
    assert (found.pairs, [one.reason for one in found.exclusions]) == ((), [Reason.NO_IMAGES])


def masks(*heights: float, sources: Sequence[str] = (), **changes: Any) -> Dataset:  # noqa: ANN401 - any element
    """Return a segmentation of a segment for each frame at `heights`."""
    values = [[[0] * 40] * 8 + [[0] * 8 + [1] * 12 + [0] * 20] * 8 + [[0] * 40] * 16] * len(heights)
    frames = [
        frame(number, at=grid((0, 0, z), depth=3.0), source=sources[number - 1] if sources else None)
        for number, z in enumerate(heights, start=1)
    ]
    segments = [described(number) for number in range(1, len(heights) + 1)]
    return seg(np.array(values, dtype=np.uint8), frames, segments=segments, **changes)


def test_segments_made_from_two_series_are_a_job_each(tmp_path: Path, a: list[Dataset], b: list[Dataset]) -> None:
    made = masks(5, 6, sources=[a[1].SOPInstanceUID, b[2].SOPInstanceUID], FrameOfReferenceUID=FRAME_OF_REFERENCE)
    found = inspected([*a, *b, made], tmp_path)
    assert (planes_in(found), found.exclusions) == ({A: {"segment 1": [1]}, B: {"segment 2": [2]}}, ())


def test_a_segmentation_that_only_lists_images_of_two_series_lies_on_the_one_that_its_frames_are_on(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    listed = [
        item(SeriesInstanceUID=uid, ReferencedInstanceSequence=images_named(*(one.SOPInstanceUID for one in images)))
        for uid, images in ((A, a), (B, b))
    ]
    made = masks(6, 9, FrameOfReferenceUID=FRAME_OF_REFERENCE, ReferencedSeriesSequence=listed)
    assert planes_in(inspected([*a, *b, made], tmp_path)) == {B: {"segment 1": [2], "segment 2": [3]}}


def test_a_segment_without_frames_is_empty_and_not_in_doubt(tmp_path: Path, a: list[Dataset], b: list[Dataset]) -> None:
    made = masks(15, sources=[a[3].SOPInstanceUID], FrameOfReferenceUID=FRAME_OF_REFERENCE)
    made.SegmentSequence.append(described(2))
    found = inspected([*a, *b, made], tmp_path)
    assert planes_in(found) == {A: {"segment 1": [3]}}
    assert [(one.reason, one.detail) for one in found.exclusions] == [(Reason.NOT_A_PROMPT, "its mask is empty")]


def test_a_segment_whose_frames_name_no_image_lies_where_the_others_do(
    tmp_path: Path, a: list[Dataset], b: list[Dataset]
) -> None:
    made = masks(5, 15, sources=[a[1].SOPInstanceUID, ""], FrameOfReferenceUID=FRAME_OF_REFERENCE)
    del made.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence
    found = inspected([*a, *b, made], tmp_path)
    assert (planes_in(found), found.exclusions) == ({A: {"segment 1": [1], "segment 2": [3]}}, ())
