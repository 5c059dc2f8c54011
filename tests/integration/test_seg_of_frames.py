"""SEGs of images with several frames, of images without a place, and of colour images."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.preview import montage
from dicomnode.dicom.results.check import check
from dicomnode.dicom.scan import scan
from dicomnode.domain import Annotation, Box, Fact, Mask, SegType, Stack, WrittenObject
from dicomnode.errors import Reason, Refused
from dicomnode.inference.segmenter import summarise
from dicomnode.offline import save_objects
from dicomnode.planning import plan
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import outcome_of, planes_of, stack_of
from tests.multiframe import enhanced, film
from tests.reading import voxels_of_seg
from tests.results import segs_of
from tests.validation import errors_of
from tests.values import annotation, mask, masks_of, prompt

MODEL = FillsTheBox().identity
SHAPE = (32, 40)
BOX = Box(x0=5.5, y0=4.5, x1=11.5, y1=8.5)


def block(rows: slice, columns: slice) -> NDArray[np.bool_]:
    inside = np.zeros(SHAPE, dtype=bool)
    inside[rows, columns] = True
    return inside


ONE, OTHER = block(slice(5, 9), slice(6, 12)), block(slice(7, 20), slice(8, 30))


@pytest.fixture
def drawn(tmp_path: Path) -> Annotation:
    """Return an annotation that has a file."""
    (path,) = save([rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]})], tmp_path / "annotation")
    return replace(annotation(), path=path)


def write(masks: Sequence[Mask], stack: Stack, of: Annotation) -> tuple[WrittenObject, ...]:
    """Write `masks` on `stack` and check what was written."""
    objects = segs_of(masks, stack, of, MODEL, "1")
    check(objects, masks, stack)
    return objects


def only(objects: Sequence[WrittenObject]) -> Dataset:
    (one,) = objects
    return dcmread(BytesIO(one.content))


def sources(seg: Dataset) -> list[tuple[str, int | None]]:
    """Return the SOP Instance UID and frame number that each frame of `seg` was made of, sorted."""
    images = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    return sorted((image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")) for image in images)


def unplaced(*, frames: int = 1, colour: bool = True) -> Dataset:
    """Return a film whose rows and columns have a direction."""
    ds = film(frames, colour=colour)
    ds.PatientOrientation = ["L", "F"]
    return ds


def test_an_enhanced_image_gives_the_voxels_of_its_single_frames(tmp_path: Path, drawn: Annotation) -> None:
    images, again = (ct_series(spacing=(0.7, 0.9), orientation=(0.8, 0.6, 0, 0, 0, -1)) for _ in range(2))
    masks = [mask({1: ONE, 3: ONE}, "one"), mask({3: OTHER}, "other")]
    found = []
    for number, objects in enumerate((images, [enhanced(again[::-1])])):
        stack = stack_of(objects, tmp_path / f"{number}")
        (path,) = save([only(write(masks, stack, drawn))], tmp_path / f"seg {number}")
        found.append(voxels_of_seg(path))
    assert set(found[0]) == set(found[1]) == {1, 2}
    assert all(np.array_equal(found[0][segment], found[1][segment]) for segment in found[0])


def test_a_structure_set_on_an_enhanced_image_becomes_a_seg_of_its_frames(tmp_path: Path) -> None:
    contours = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, z) for z in (2.5, 5.0)]}, references=False)
    source = enhanced(ct_series())
    outcome = outcome_of([source], contours, tmp_path)
    assert [(one.voxels, one.planes) for one in outcome.segments] == [(50, 2)]
    assert sources(only(outcome.objects)) == [(source.SOPInstanceUID, 2), (source.SOPInstanceUID, 3)]


def test_frames_name_the_frames_they_were_made_of_and_the_object_its_image_once(
    tmp_path: Path, drawn: Annotation
) -> None:
    source = enhanced(ct_series()[::-1])
    stack = stack_of([source], tmp_path / "in")
    seg = only(write([mask({1: ONE, 4: ONE}), mask({4: OTHER}, "other")], stack, drawn))
    assert sources(seg) == [(source.SOPInstanceUID, number) for number in (1, 1, 4)]
    (image,) = seg.SourceImageSequence
    assert (image.ReferencedSOPInstanceUID, "ReferencedFrameNumber" in image) == (source.SOPInstanceUID, False)
    (series,) = seg.ReferencedSeriesSequence
    (instance,) = series.ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == source.SOPInstanceUID
    named = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    assert {one.ReferencedSOPClassUID for one in (image, instance, *named)} == {source.SOPClassUID}


def test_a_stack_of_some_frames_of_an_image_says_which(tmp_path: Path, drawn: Annotation) -> None:
    images = ct_series()
    source = enhanced([*images, *images], dimensions={"TemporalPositionIndex": [1] * 5 + [2] * 5})
    save([source], tmp_path / "in")
    instances, _ = scan([tmp_path / "in"])
    first, second = (planes_of(images) for images in plan(instances).stacks)
    for stack, numbers in ((first, range(1, 6)), (second, range(6, 11))):
        seg = only(write([mask({2: ONE})], stack, drawn))
        assert sources(seg) == [(source.SOPInstanceUID, numbers[2])]
        assert list(seg.SourceImageSequence[0].ReferencedFrameNumber) == list(numbers)


def test_frames_of_several_images_make_one_seg(tmp_path: Path, drawn: Annotation) -> None:
    images = ct_series()
    halves = [enhanced(images[:2]), enhanced(images[2:])]
    halves[1].SOPInstanceUID = f"{halves[0].SOPInstanceUID}.2"
    stack = stack_of(halves, tmp_path / "in")
    seg = only(write([mask(dict.fromkeys(range(5), ONE))], stack, drawn))
    one, other = (half.SOPInstanceUID for half in halves)
    assert sources(seg) == [(one, 1), (one, 2), (other, 1), (other, 2), (other, 3)]
    assert [image.ReferencedSOPInstanceUID for image in seg.SourceImageSequence] == [one, other]


def test_texts_of_functional_groups_are_kept(tmp_path: Path, drawn: Annotation) -> None:
    images = ct_series(planes=2)
    texts = ["-0.1000\\+2\\0", "-0.10\\2.\\2.500000001"]
    source = enhanced(images)
    for group, place in zip(source.PerFrameFunctionalGroupsSequence, texts, strict=True):
        group.PlanePositionSequence[0].ImagePositionPatient = place.split("\\")
    source.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["0.9765620", ".9765620"]
    seg = only(write([mask({0: ONE, 1: ONE})], stack_of([source], tmp_path / "in"), drawn))
    places = [group.PlanePositionSequence[0].ImagePositionPatient for group in seg.PerFrameFunctionalGroupsSequence]
    assert {"\\".join(map(str, place)) for place in places} == set(texts)
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [str(value) for value in spacing] == ["0.9765620", ".9765620"]


@pytest.mark.peer
def test_a_seg_of_an_enhanced_image_is_valid(tmp_path: Path, drawn: Annotation) -> None:
    stack = stack_of([enhanced(ct_series())], tmp_path / "in")
    (path,) = save([only(write([mask({1: ONE, 4: ONE})], stack, drawn))], tmp_path / "seg")
    assert errors_of(path) == []


@pytest.mark.peer
@pytest.mark.parametrize("colour", [False, True])
def test_an_image_without_a_place_has_a_seg_without_a_place(tmp_path: Path, drawn: Annotation, *, colour: bool) -> None:
    source = unplaced(colour=colour)
    stack = stack_of([source], tmp_path / "in")
    seg = only(write([mask({0: ONE}), mask({0: OTHER}, "other")], stack, drawn))
    (path,) = save([seg], tmp_path / "seg")
    assert errors_of(path) == []
    assert "FrameOfReferenceUID" not in seg
    assert list(seg.SharedFunctionalGroupsSequence[0].keys()) == []
    assert not any("PlanePositionSequence" in group for group in seg.PerFrameFunctionalGroupsSequence)
    assert list(seg.PatientOrientation) == ["L", "F"]
    assert sources(seg) == [(source.SOPInstanceUID, None)] * 2
    assert seg.SourceImageSequence[0].ReferencedSOPClassUID == source.SOPClassUID


@pytest.mark.parametrize("seg_type", [SegType.LABELMAP, SegType.FRACTIONAL])
def test_images_without_a_place_have_segs_of_each_type(tmp_path: Path, drawn: Annotation, seg_type: SegType) -> None:
    source = unplaced(frames=4)
    stack = stack_of([source], tmp_path / "in")
    beside = block(slice(20, 30), slice(30, 40))
    masks = [
        replace(one, probabilities={index: 200 * inside.astype(np.uint8) for index, inside in one.planes.items()})
        for one in (mask({1: ONE, 3: ONE}), mask({3: beside}, "beside"))
    ]
    objects = segs_of(masks, stack, drawn, MODEL, seg_type=seg_type)
    check(objects, masks, stack)
    first, second = (dcmread(BytesIO(one.content)) for one in objects)
    assert (sources(first), set(sources(second))) == ([(source.SOPInstanceUID, 2)], {(source.SOPInstanceUID, 4)})
    assert second.NumberOfFrames == (1 if seg_type is SegType.LABELMAP else 2)
    assert not any("FrameOfReferenceUID" in seg for seg in (first, second))
    assert {len(seg.DimensionIndexSequence) for seg in (first, second)} == {1}


@pytest.mark.parametrize(("thickness", "spacing"), [(None, None), (3.0, ["0.20", "0.3"])])
def test_a_spacing_stands_only_beside_a_thickness(
    tmp_path: Path, drawn: Annotation, thickness: float | None, spacing: list[str] | None
) -> None:
    source = unplaced()
    source.PixelSpacing = ["0.20", "0.3"]
    if thickness:
        source.SliceThickness = thickness
    seg = only(write([mask({0: ONE})], stack_of([source], tmp_path / "in"), drawn))
    measures = seg.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    assert (measures and [str(value) for value in measures[0].PixelSpacing]) == spacing


def test_a_frame_of_reference_without_a_place_is_none(tmp_path: Path, drawn: Annotation) -> None:
    source = unplaced()
    source.FrameOfReferenceUID = "1.2.3"
    seg = only(write([mask({0: ONE})], stack_of([source], tmp_path / "in"), drawn))
    assert "FrameOfReferenceUID" not in seg


@pytest.mark.peer
def test_each_prompted_frame_of_a_cine_has_a_seg_of_its_own(tmp_path: Path, drawn: Annotation) -> None:
    source = unplaced(frames=6)
    stack = stack_of([source], tmp_path / "in")
    assert Fact.CINE in stack.facts
    prompts = [prompt({stack.planes[2].key: BOX, stack.planes[4].key: BOX}), prompt({stack.planes[4].key: BOX}, "two")]
    masks = masks_of(stack, prompts, FillsTheBox())
    paths = [one.path for one in save_objects(write(masks, stack, drawn), tmp_path / "out" / "cine")]
    assert [path.name for path in paths] == ["cine_SEG.dcm", "cine_SEG-2.dcm"]
    segs = [dcmread(path) for path in paths]
    assert [[item.SegmentLabel for item in seg.SegmentSequence] for seg in segs] == [["organ"], ["organ", "two"]]
    assert [sources(seg) for seg in segs] == [
        [(source.SOPInstanceUID, 3)],
        [(source.SOPInstanceUID, 5), (source.SOPInstanceUID, 5)],
    ]
    assert [seg.SourceImageSequence[0].ReferencedFrameNumber for seg in segs] == [3, 5]
    assert [seg.SeriesDescription[-8:] for seg in segs] == [" frame 3", " frame 5"]
    assert len({seg.SeriesInstanceUID for seg in segs}) == 2
    assert [errors_of(path) for path in paths] == [[], []]
    assert [one.volume_ml for one in summarise(masks, stack)] == [None, None]


def test_a_frame_on_which_nothing_was_found_has_no_object(tmp_path: Path, drawn: Annotation) -> None:
    stack = stack_of([unplaced(frames=3)], tmp_path / "in")
    nothing = np.zeros(SHAPE, dtype=bool)
    seg = only(write([mask({0: nothing, 2: ONE}), mask({2: nothing}, "nothing")], stack, drawn))
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["organ", "nothing"]
    assert (seg.NumberOfFrames, sources(seg)[0][1]) == (1, 3)


def name_another_frame(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 1


def name_no_frame(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber


def name_two_sources(seg: Dataset) -> None:
    images = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    images.append(images[0])


def lie_somewhere(seg: Dataset) -> None:
    place = Dataset()
    place.ImagePositionPatient = [0, 0, 0]
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = [place]


def have_a_frame_of_reference(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = "1.2.3.4"


def have_another_tracking_uid(seg: Dataset) -> None:
    seg.SegmentSequence[0].TrackingUID = "1.2.3.4"


def have_another_grid(seg: Dataset) -> None:
    seg.Rows, seg.Columns = seg.Columns, seg.Rows


@pytest.mark.parametrize(
    ("place", "tamper"),
    [
        *((place, tamper) for place in (True, False) for tamper in (name_another_frame, name_no_frame)),
        *((place, tamper) for place in (True, False) for tamper in (name_two_sources, have_another_grid)),
        *((place, have_another_tracking_uid) for place in (True, False)),
        (False, lie_somewhere),
        (False, have_a_frame_of_reference),
    ],
)
def test_the_self_check_notices_a_wrong_frame(
    tmp_path: Path, drawn: Annotation, tamper: Callable[[Dataset], None], *, place: bool
) -> None:
    stack = stack_of([enhanced(ct_series()) if place else unplaced(frames=5)], tmp_path / "in")
    masks = [mask({2: ONE})]
    (written,) = write(masks, stack, drawn)
    seg = dcmread(BytesIO(written.content))
    tamper(seg)
    buffer = BytesIO()
    seg.save_as(buffer)
    with pytest.raises(Refused) as refused:
        check([replace(written, content=buffer.getvalue())], masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK


def test_the_same_mask_on_two_frames_is_two_objects(tmp_path: Path, drawn: Annotation) -> None:
    stack = stack_of([unplaced(frames=3)], tmp_path / "in")
    first, second = write([mask({0: ONE, 1: ONE})], stack, drawn)
    assert first.sop_instance_uid != second.sop_instance_uid


def test_a_segment_that_is_found_on_no_frame_stays_listed_in_one_of_the_objects(
    tmp_path: Path, drawn: Annotation
) -> None:
    stack = stack_of([unplaced(frames=4)], tmp_path / "in")
    masks = [mask({3: np.zeros_like(ONE)}, "nowhere"), mask({1: ONE}, "one"), mask({2: OTHER}, "other")]
    first, second = (dcmread(BytesIO(made.content)) for made in write(masks, stack, drawn))
    assert [segment.SegmentLabel for segment in first.SegmentSequence] == ["nowhere", "one"]
    assert [segment.SegmentLabel for segment in second.SegmentSequence] == ["other"]


def test_the_self_check_wants_every_mask_once_over_all_objects(tmp_path: Path, drawn: Annotation) -> None:
    stack = stack_of([unplaced(frames=3)], tmp_path / "in")
    masks = [mask({0: ONE, 1: ONE, 2: OTHER})]
    first, second, third = write(masks, stack, drawn)
    for objects in ([first], [first, third], [first, second, second, third]):
        with pytest.raises(Refused, match="the masks have 3"):
            check(objects, masks, stack)


def test_a_picture_of_a_colour_image_is_in_its_colours(tmp_path: Path) -> None:
    source = unplaced()
    red = np.zeros((*SHAPE, 3), np.uint8)
    red[..., 0] = 200
    source.PixelData = red.tobytes()
    stack = stack_of([source], tmp_path)
    drawing = prompt({stack.planes[0].key: Box(x0=5, y0=5, x1=30, y1=25)})
    picture = np.asarray(montage(stack, [drawing], {0: {drawing.tracking_uid: ONE}}))
    assert np.count_nonzero((picture == (200, 0, 0)).all(axis=2)) > picture[..., 0].size / 2
    assert np.count_nonzero((picture == (0, 255, 0)).all(axis=2)) > 0
