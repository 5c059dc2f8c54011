"""What stands in a written structure set, and that its contours enclose just the pixels of the masks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import UID, RTStructureSetStorage

from dicomnode.dicom.codes import ANATOMICAL, LESION, MORPHOLOGICALLY_ABNORMAL, TISSUE
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.structure_set import interpreted_type, unique_names, write_structure_set
from dicomnode.dicom.scan import scan
from dicomnode.domain import AnnotationKind, Code, Job, JobOptions, Mask, ObjectKind, Stack, Uid, WrittenObject
from dicomnode.errors import Reason, Refused
from dicomnode.planning import job_of, plan
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of, prompts_in
from tests.multiframe import enhanced
from tests.validation import errors_of
from tests.values import mask, prompt

KIDNEY = Code(value="64033007", scheme="SCT", meaning="Kidney")
LEFT = Code(value="7771000", scheme="SCT", meaning="Left")
SHAPE = (32, 40)


def drawn_on(rows: slice, columns: slice) -> NDArray[np.bool_]:
    inside = np.zeros(SHAPE, dtype=bool)
    inside[rows, columns] = True
    return inside


def holey() -> NDArray[np.bool_]:
    """Return a piece with three holes, one behind the other, an island in one of them, and two single pixels."""
    inside = drawn_on(slice(4, 20), slice(5, 35))
    inside[8:14, 8:14] = inside[9:11, 18] = inside[9:12, 25:28] = False
    inside[10, 10] = inside[25, 3] = inside[26, 4] = True
    return inside


def source(folder: Path, images: Sequence[Dataset]) -> tuple[Stack, Job]:
    """Save `images` and a structure set that means them; return their stack and the job."""
    place = [float(value) for value in ct_series()[0].ImagePositionPatient]
    drawn = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, place[2])]}, references=False)
    save([*images, drawn], folder)
    job = job_in(folder)
    return planes_of(job.images), job


def written(masks: Sequence[Mask], stack: Stack, job: Job) -> WrittenObject:
    """Write `masks` as a structure set, and check it."""
    findings = findings_of(masks, stack, job.annotation, FillsTheBox().identity, "1")
    (made,) = write_structure_set(findings)
    check([made], masks, stack)
    return made


def read(made: WrittenObject) -> Dataset:
    return dcmread(BytesIO(made.content))


def points(contour: Dataset) -> NDArray[np.float64]:
    return np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)


def area_of(contour: Dataset) -> float:
    """Return the area in mm² that `contour` encloses."""
    corners = points(contour) - points(contour)[0]
    return float(np.linalg.norm(np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0))) / 2


@pytest.mark.peer
def test_the_masks_are_regions_that_a_validator_accepts(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series())
    kidney = replace(prompt({}, "Lt Kidney"), category=ANATOMICAL, type=KIDNEY, modifiers=(LEFT,), sites=(KIDNEY,))
    tumour = replace(prompt({}, "GTV"), category=MORPHOLOGICALLY_ABNORMAL, type=LESION, colour=(255, 0, 0))
    made = written([Mask(prompt=kidney, planes={1: holey()}), Mask(prompt=tumour, planes={2: holey()})], stack, job)
    path = tmp_path / "rtstruct.dcm"
    path.write_bytes(made.content)
    assert errors_of(path) == []
    ds = read(made)
    assert (made.kind, UID(made.sop_class_uid)) == (ObjectKind.RTSTRUCT, RTStructureSetStorage)
    assert (ds.Modality, ds.ApprovalStatus, ds.SeriesNumber, ds.InstanceNumber) == ("RTSTRUCT", "UNAPPROVED", 2401, 1)
    assert (ds.StructureSetLabel, ds.StructureSetDate, ds.StructureSetTime) == ("fills the box", "20260102", "120000")
    assert ds.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == job.annotation.sop_instance_uid
    one, other = ds.StructureSetROISequence
    assert [(one.ROINumber, one.ROIName), (other.ROINumber, other.ROIName)] == [(1, "Lt Kidney"), (2, "GTV")]
    assert (one.ROIGenerationAlgorithm, one.ROIGenerationDescription) == ("SEMIAUTOMATIC", "fills the box 1")
    assert one.ROIDerivationAlgorithmIdentificationSequence[0].AlgorithmSource == "a test"
    assert kidney.tracking_uid in one.ROIDescription
    assert list(ds.ROIContourSequence[1].ROIDisplayColor) == [255, 0, 0]
    observed = ds.RTROIObservationsSequence
    assert [item.RTROIInterpretedType for item in observed] == ["ORGAN", "GTV"]
    (code,) = observed[0].RTROIIdentificationCodeSequence
    assert (code.CodeValue, code.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("64033007", "Left")
    assert observed[1].SegmentedPropertyCategoryCodeSequence[0].CodeValue == MORPHOLOGICALLY_ABNORMAL.value


def test_a_structure_set_has_the_place_of_its_images_and_no_body_part(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series(PositionReferenceIndicator="XY", BodyPartExamined="CHEST"))
    ds = read(written([mask({1: holey()})], stack, job))
    assert (ds.FrameOfReferenceUID, ds.PositionReferenceIndicator) == (stack.frame_of_reference_uid, "XY")
    assert "BodyPartExamined" not in ds  # an RT series has none


def test_contours_enclose_the_area_of_the_pixels_and_lie_on_the_planes_they_name(tmp_path: Path) -> None:
    images = ct_series(spacing=(0.7, 1.3), orientation=(0.8, 0.6, 0, -0.48, 0.64, 0.6), origin=(-123.4567, 80.1, 5.25))
    stack, job = source(tmp_path, images)
    ds = read(written([mask({1: holey(), 3: holey()})], stack, job))
    contours = ds.ROIContourSequence[0].ContourSequence
    assert {contour.ContourGeometricType for contour in contours} == {"CLOSED_PLANAR"}
    assert [contour.NumberOfContourPoints for contour in contours] == [len(points(one)) for one in contours]
    assert sum(map(area_of, contours)) == pytest.approx(2 * holey().sum() * 0.7 * 1.3, rel=1e-7)
    assert sorted(len(points(one)) for one in contours)[:6] == [4] * 6  # an island and two single pixels, twice
    by_uid = {image.SOPInstanceUID: image for image in images}
    for contour in contours:
        image = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        offsets = points(contour) - np.array(image.ImagePositionPatient, dtype=np.float64)
        assert np.abs(offsets @ stack.normal).max() < 2e-6


def test_no_number_is_longer_than_a_decimal_string_may_be(tmp_path: Path) -> None:
    away, origin = (-1, 0, 0, 0, -1, 0), (0.123457, -0.123457, 0)
    images = ct_series(shape=(128, 128), spacing=(1e6, 1e6), orientation=away, origin=origin)
    stack, job = source(tmp_path, images)
    inside = np.zeros((128, 128), dtype=bool)
    inside[2:9, 103:120] = True
    ds = read(written([mask({1: inside})], stack, job))
    raw = ds.ROIContourSequence[0].ContourSequence[0].get_item("ContourData").value
    assert raw.startswith(b"-102499999.87654\\-1500000.123457\\")
    assert max(map(len, raw.strip().split(b"\\"))) == 16


def test_every_image_of_the_stack_is_listed(tmp_path: Path) -> None:
    images = ct_series()
    stack, job = source(tmp_path, images)
    ds = read(written([mask({1: holey()})], stack, job))
    (frame,) = ds.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == ds.FrameOfReferenceUID == stack.frame_of_reference_uid
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert (study.ReferencedSOPInstanceUID, series.SeriesInstanceUID) == (stack.study_uid, stack.series_uid)
    assert [one.ReferencedSOPInstanceUID for one in series.ContourImageSequence] == [
        image.SOPInstanceUID for image in images
    ]


@pytest.mark.peer
def test_the_contours_of_a_multi_frame_image_name_its_frames(tmp_path: Path) -> None:
    image = enhanced(list(reversed(ct_series())))
    stack, job = source(tmp_path, [image])
    made = written([mask({0: holey(), 3: holey()})], stack, job)
    ds = read(made)
    named = [contour.ContourImageSequence[0] for contour in ds.ROIContourSequence[0].ContourSequence]
    assert {one.ReferencedSOPInstanceUID for one in named} == {image.SOPInstanceUID}
    assert {one.ReferencedFrameNumber for one in named} == {5, 2}
    path = tmp_path / "rtstruct.dcm"
    path.write_bytes(made.content)
    assert errors_of(path) == []


def test_planes_that_are_tilted_and_uneven_have_their_contours_where_they_lie(tmp_path: Path) -> None:
    images = ct_series(planes=6)
    for image, height in zip(images, (0, 4.2, 8.4, 12.6, 20.0, 27.4), strict=True):
        image.ImagePositionPatient = [0, round(-height * 0.268, 3), height]
    stack, job = source(tmp_path, images)
    ds = read(written([mask({1: holey(), 5: holey()})], stack, job))
    heights = {float(point[2]) for one in ds.ROIContourSequence[0].ContourSequence for point in points(one)}
    assert heights == {4.2, 27.4}


@pytest.mark.peer
def test_a_region_with_nothing_inside_is_in_all_three_sequences_without_contours(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series())
    nothing = np.zeros(SHAPE, dtype=bool)
    made = written([mask({1: nothing}, "nothing"), mask({1: holey()}, "one"), mask({}, "none")], stack, job)
    ds = read(made)
    assert [item.ROINumber for item in ds.StructureSetROISequence] == [1, 2, 3]
    assert [item.ReferencedROINumber for item in ds.RTROIObservationsSequence] == [1, 2, 3]
    assert ["ContourSequence" in item for item in ds.ROIContourSequence] == [False, True, False]
    path = tmp_path / "rtstruct.dcm"
    path.write_bytes(made.content)
    assert errors_of(path) == []


def test_where_there_is_nothing_to_draw_or_no_place_to_draw_it_there_is_no_structure_set(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series())
    findings = findings_of([mask({1: np.zeros(SHAPE, dtype=bool)})], stack, job.annotation, FillsTheBox().identity, "1")
    assert write_structure_set(findings) == ()
    nowhere = replace(stack, frame_of_reference_uid=None)
    assert write_structure_set(replace(findings, masks=(mask({1: holey()}),), stack=nowhere)) == ()


def test_two_builds_are_the_same_bytes_and_another_pixel_is_another_object(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series())
    first, second = (written([mask({1: holey()})], stack, job) for _ in range(2))
    other = holey()
    other[0, 0] = True
    assert first == second
    assert written([mask({1: other})], stack, job).sop_instance_uid != first.sop_instance_uid


def test_our_own_reader_makes_the_boxes_of_the_masks_of_it(tmp_path: Path) -> None:
    images = ct_series(spacing=(0.7, 1.3), orientation=(0.8, 0.6, 0, -0.48, 0.64, 0.6), origin=(-123.4567, 80.1, 5.25))
    stack, job = source(tmp_path / "in", images)
    masks = [mask({1: holey(), 2: drawn_on(slice(3, 9), slice(0, 40))}, "one"), mask({4: holey()}, "One")]
    drawn = read(written(masks, stack, job))
    save([*images, drawn], tmp_path / "again")
    (pair,) = plan(scan([tmp_path / "again"])[0], own_results=True).pairs
    found = prompts_in(job_of(pair, JobOptions(), FillsTheBox().identity))
    assert [one.label for one in found.prompts] == ["one", "One (2)"]
    for one, of_mask in zip(found.prompts, masks, strict=True):
        assert list(one.boxes) == [stack.planes[index].key for index in of_mask.planes]
        for box, inside in zip(one.boxes.values(), of_mask.planes.values(), strict=True):
            rows, columns = np.nonzero(inside)
            sides = (columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5)
            assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(sides, abs=1e-5)


def test_what_needs_more_than_an_element_may_hold_is_drawn_in_parts(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series(shape=(128, 128), origin=(-1000.123, -1000.123, 0), spacing=(0.3, 0.3)))
    inside = np.random.default_rng(1).random((128, 128)) < 0.7
    contours = read(written([mask({1: inside})], stack, job)).ROIContourSequence[0].ContourSequence
    assert 20_000 < max(len(one.get_item("ContourData").value) for one in contours) < 0xFFFF
    assert sum(map(area_of, contours)) == pytest.approx(inside.sum() * 0.09, rel=1e-6)


def test_names_are_unique_in_any_case_and_short_enough() -> None:
    long = "x" * 64
    assert unique_names(["A", "a", "A", "b", "a (2)"]) == ["A", "a (2)", "A (3)", "b", "a (2) (2)"]
    assert unique_names([long, long]) == [long, "x" * 60 + " (2)"]


@pytest.mark.parametrize(
    ("label", "category", "kind", "expected"),
    [
        ("mass", MORPHOLOGICALLY_ABNORMAL, LESION, "GTV"),
        ("GTVp", MORPHOLOGICALLY_ABNORMAL, Code(value="1", scheme="99X", meaning="x"), "GTV"),
        ("cyst", MORPHOLOGICALLY_ABNORMAL, Code(value="367643001", scheme="SCT", meaning="Cyst"), ""),
        ("kidney", ANATOMICAL, KIDNEY, "ORGAN"),
        ("thing", TISSUE, TISSUE, ""),
    ],
)
def test_tumours_and_organs_are_told_apart_and_the_rest_left_open(
    label: str, category: Code, kind: Code, expected: str
) -> None:
    assert interpreted_type(replace(prompt({}, label), category=category, type=kind)) == expected


@pytest.mark.parametrize(
    ("kind", "sop_class", "segment"),
    [
        (AnnotationKind.SEG, "1.2.840.10008.5.1.4.1.1.66.4", 7),
        (AnnotationKind.SR, "1.2.840.10008.5.1.4.1.1.88.34", None),
    ],
)
def test_a_region_names_the_object_in_which_it_was_marked(
    tmp_path: Path, kind: AnnotationKind, sop_class: str, segment: int | None
) -> None:
    stack, job = source(tmp_path, ct_series())
    marked = replace(job, annotation=replace(job.annotation, kind=kind, sop_class_uid=Uid(sop_class)))
    of_item = replace(mask({1: holey()}), prompt=replace(prompt({}), source_item="7"))
    ds = read(written([of_item], stack, marked))
    assert "PredecessorStructureSetSequence" not in ds
    (definition,) = ds.StructureSetROISequence[0].DefinitionSourceSequence
    assert definition.ReferencedSOPInstanceUID == job.annotation.sop_instance_uid
    assert definition.get("ReferencedSegmentNumber") == segment


# --- the self-check -------------------------------------------------------------------------------------------------


def first_contour(ds: Dataset) -> Dataset:
    contour: Dataset = ds.ROIContourSequence[0].ContourSequence[0]
    return contour


def move_a_point(ds: Dataset) -> None:
    first_contour(ds).ContourData[0] += 1


def move_a_contour_off_its_plane(ds: Dataset) -> None:
    contour = first_contour(ds)
    contour.ContourData = [value + 0.5 * (index % 3 == 2) for index, value in enumerate(contour.ContourData)]


def move_a_contour_to_another_plane(ds: Dataset) -> None:
    contour = first_contour(ds)
    contour.ContourData = [value + 2.5 * (index % 3 == 2) for index, value in enumerate(contour.ContourData)]


def name_another_image(ds: Dataset) -> None:
    image = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    first_contour(ds).ContourImageSequence = [image.ContourImageSequence[-1]]


def lose_a_contour(ds: Dataset) -> None:
    del ds.ROIContourSequence[0].ContourSequence[-1]


def draw_a_contour_twice(ds: Dataset) -> None:
    ds.ROIContourSequence[0].ContourSequence.append(first_contour(ds))


def open_a_contour(ds: Dataset) -> None:
    first_contour(ds).ContourGeometricType = "OPEN_PLANAR"


def miscount_the_points(ds: Dataset) -> None:
    first_contour(ds).NumberOfContourPoints += 1


def swap_two_numbers(ds: Dataset) -> None:
    for item in ds.ROIContourSequence:
        item.ReferencedROINumber = 3 - item.ReferencedROINumber


def swap_two_names(ds: Dataset) -> None:
    one, other = ds.StructureSetROISequence
    one.ROIName, other.ROIName = other.ROIName, one.ROIName


def call_both_alike(ds: Dataset) -> None:
    one, other = ds.StructureSetROISequence
    other.ROIName = one.ROIName


def lose_a_region(ds: Dataset) -> None:
    del ds.StructureSetROISequence[1], ds.ROIContourSequence[1], ds.RTROIObservationsSequence[1]


def lose_an_observation(ds: Dataset) -> None:
    del ds.RTROIObservationsSequence[1]


def change_the_frame_of_reference(ds: Dataset) -> None:
    ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"


def lose_an_image(ds: Dataset) -> None:
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    del frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence[0]


def name_another_series(ds: Dataset) -> None:
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


@pytest.mark.parametrize(
    "tamper",
    [
        move_a_point,
        move_a_contour_off_its_plane,
        move_a_contour_to_another_plane,
        name_another_image,
        lose_a_contour,
        draw_a_contour_twice,
        open_a_contour,
        miscount_the_points,
        swap_two_numbers,
        swap_two_names,
        call_both_alike,
        lose_a_region,
        lose_an_observation,
        change_the_frame_of_reference,
        lose_an_image,
        name_another_series,
    ],
)
def test_what_says_something_else_is_refused(tmp_path: Path, tamper: Callable[[Dataset], None]) -> None:
    stack, job = source(tmp_path, ct_series())
    masks = [mask({1: holey(), 2: holey()}, "one"), mask({2: drawn_on(slice(3, 9), slice(5, 9))}, "other")]
    made = written(masks, stack, job)
    ds = read(made)
    tamper(ds)
    buffer = BytesIO()
    ds.save_as(buffer)
    with pytest.raises(Refused) as refused:
        check([replace(made, content=buffer.getvalue())], masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK


def test_bytes_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    stack, job = source(tmp_path, ct_series())
    masks = [mask({1: holey(), 2: holey()})]
    made = written(masks, stack, job)
    for end in (0, 100, 400, len(made.content) // 2, len(made.content) - 300):
        with pytest.raises(Refused) as refused:
            check([replace(made, content=made.content[:end])], masks, stack)
        assert refused.value.reason is Reason.FAILED_CHECK
