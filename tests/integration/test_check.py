"""The self-check finds every way in which a SEG can say something else than the masks."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from dicomnode.dicom.results.check import check
from dicomnode.domain import Mask, ObjectKind, SegType, Stack, WrittenObject
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.results import segs_of
from tests.values import mask

Parts = tuple[WrittenObject, tuple[Mask, ...], Stack]
Types = tuple[tuple[WrittenObject, ...], tuple[Mask, ...], Stack]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Return a SEG of two segments on three planes, their masks and the stack."""
    images = ct_series()
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})], tmp_path)
    job = job_in(tmp_path)
    stack = planes_of(job.images)
    one, other = np.zeros((32, 40), dtype=bool), np.zeros((32, 40), dtype=bool)
    one[5:9, 6:12], other[3:20, 10:31] = True, True
    masks = (mask({1: one, 2: one}, "one"), mask({2: other, 3: other}, "other"))
    (written,) = segs_of(masks, stack, job.annotation, FillsTheBox().identity, "1")
    return written, masks, stack


def shift_a_frame(seg: Dataset) -> None:
    place = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    place.ImagePositionPatient = [0, 0, place.ImagePositionPatient[2] + 2.5]


def shift_a_frame_off_its_plane(seg: Dataset) -> None:
    place = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    place.ImagePositionPatient = [0, 0.5, place.ImagePositionPatient[2]]


def turn_the_orientation(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]


def swap_the_spacing(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.0, 1.01]


def flip_the_masks(seg: Dataset) -> None:
    shape = (seg.NumberOfFrames, seg.Rows, seg.Columns)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")[: np.prod(shape)]
    seg.PixelData = np.packbits(bits.reshape(shape)[:, :, ::-1].ravel(), bitorder="little").tobytes()


def change_one_pixel(seg: Dataset) -> None:
    seg.PixelData = bytes([seg.PixelData[0] ^ 1]) + seg.PixelData[1:]


def name_another_source(seg: Dataset) -> None:
    sources = [
        group.DerivationImageSequence[0].SourceImageSequence[0] for group in seg.PerFrameFunctionalGroupsSequence
    ]
    sources[0].ReferencedSOPInstanceUID = sources[1].ReferencedSOPInstanceUID


def swap_two_segments(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        segment = group.SegmentIdentificationSequence[0]
        segment.ReferencedSegmentNumber = 3 - segment.ReferencedSegmentNumber


def swap_two_labels(seg: Dataset) -> None:
    one, other = seg.SegmentSequence
    one.SegmentLabel, other.SegmentLabel = other.SegmentLabel, one.SegmentLabel


def lose_a_frame(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[-1]
    seg.NumberOfFrames -= 1
    seg.PixelData = seg.PixelData[: 3 * 32 * 40 // 8]


def lose_a_functional_group(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[-1]


def lose_pixels(seg: Dataset) -> None:
    seg.PixelData = seg.PixelData[:-100]


def write_a_frame_twice(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence.append(seg.PerFrameFunctionalGroupsSequence[-1])
    seg.NumberOfFrames += 1
    seg.PixelData = seg.PixelData[: 4 * 160] + seg.PixelData[3 * 160 : 4 * 160]


def change_the_frame_of_reference(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = "1.2.3.4"


def lose_the_positions(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence


def test_what_was_written_passes(parts: Parts) -> None:
    written, masks, stack = parts
    check([written], masks, stack)


@pytest.mark.parametrize(
    "tamper",
    [
        shift_a_frame,
        shift_a_frame_off_its_plane,
        turn_the_orientation,
        swap_the_spacing,
        flip_the_masks,
        change_one_pixel,
        name_another_source,
        swap_two_segments,
        swap_two_labels,
        lose_a_frame,
        lose_a_functional_group,
        lose_pixels,
        write_a_frame_twice,
        change_the_frame_of_reference,
        lose_the_positions,
    ],
)
def test_what_says_something_else_is_refused(parts: Parts, tamper: Callable[[Dataset], None]) -> None:
    written, masks, stack = parts
    seg = dcmread(BytesIO(written.content))
    tamper(seg)
    buffer = BytesIO()
    seg.save_as(buffer)
    with pytest.raises(Refused) as refused:
        check([replace(written, content=buffer.getvalue())], masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK


def test_bytes_that_are_cut_off_are_refused(parts: Parts) -> None:
    written, masks, stack = parts
    for end in (0, 100, 400, len(written.content) // 2, len(written.content) - 300):
        with pytest.raises(Refused) as refused:
            check([replace(written, content=written.content[:end])], masks, stack)
        assert refused.value.reason is Reason.FAILED_CHECK


def test_a_mask_that_was_not_written_is_missed(parts: Parts) -> None:
    written, (one, other), stack = parts
    more = Mask(prompt=one.prompt, planes={**one.planes, 4: one.planes[1]})
    with pytest.raises(Refused, match="4 frames, the masks have 5"):
        check([written], (more, other), stack)


@pytest.mark.parametrize("kind", ObjectKind)
def test_a_kind_that_was_asked_for_and_not_made_is_missed(parts: Parts, kind: ObjectKind) -> None:
    _, (one, other), stack = parts
    with pytest.raises(Refused, match=f"no {kind} was made of 2 masks"):
        check([], (one, other), stack, [kind])


def test_what_cannot_be_made_is_not_missed(parts: Parts) -> None:
    _, (one, _), stack = parts
    nothing = replace(one, planes={1: np.zeros((32, 40), dtype=bool)})
    check([], (), stack, tuple(ObjectKind))
    check([], (nothing,), stack, [kind for kind in ObjectKind if kind is not ObjectKind.SR])
    check([], (one,), replace(stack, frame_of_reference_uid=None), [ObjectKind.RTSTRUCT])


@pytest.fixture
def apart(tmp_path: Path) -> Types:
    """Return two segments that do not overlap as a label map and as a fractional SEG, their masks and the stack."""
    images = ct_series()
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})], tmp_path)
    job = job_in(tmp_path)
    stack = planes_of(job.images)
    one, other = np.zeros((32, 40), dtype=bool), np.zeros((32, 40), dtype=bool)
    one[5:9, 6:12], other[10:20, 10:31] = True, True
    masks = (probable({1: one, 2: one}, "one"), probable({2: other, 3: other}, "other"))
    made = tuple(
        segs_of(masks, stack, job.annotation, FillsTheBox().identity, seg_type=seg_type)[0]
        for seg_type in (SegType.LABELMAP, SegType.FRACTIONAL)
    )
    return made, masks, stack


def probable(planes: dict[int, NDArray[np.bool_]], label: str) -> Mask:
    values = {index: np.where(inside, 128, 127).astype(np.uint8) for index, inside in planes.items()}
    return replace(mask(planes, label), probabilities=values)


def as_array(seg: Dataset) -> NDArray[np.uint8]:
    return np.frombuffer(seg.PixelData, dtype=np.uint8).copy()


def change_one_value(seg: Dataset) -> None:
    values = as_array(seg)
    place = int(np.argmax(values))
    values[place] -= 1  # from one label to another or to none, from inside to outside
    seg.PixelData = values.tobytes()


def swap_two_labels_of_pixels(seg: Dataset) -> None:
    seg.PixelData = np.array([0, 2, 1], dtype=np.uint8)[as_array(seg)].tobytes()


def show_a_segment_that_is_not_described(seg: Dataset) -> None:
    values = as_array(seg)
    values[0] = 3
    seg.PixelData = values.tobytes()


def name_a_segment(seg: Dataset) -> None:
    named = Dataset()
    named.ReferencedSegmentNumber = 1
    seg.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = [named]


def have_the_class_of_the_other(seg: Dataset) -> None:
    classes = {SegmentationStorage: LabelMapSegmentationStorage, LabelMapSegmentationStorage: SegmentationStorage}
    seg.SOPClassUID = classes[seg.SOPClassUID]


def mirror(seg: Dataset) -> None:
    frames = as_array(seg).reshape(-1, seg.Rows, seg.Columns)
    seg.PixelData = frames[:, :, ::-1].tobytes()


def lose_the_last_row(seg: Dataset) -> None:
    seg.PixelData = seg.PixelData[: -seg.Columns]


def shift_all_frames(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [0, 0, place.ImagePositionPatient[2] + 2.5]


def be_surer(seg: Dataset) -> None:
    values = as_array(seg)
    values[values >= 128] = 255
    seg.PixelData = values.tobytes()


def count_to_less(seg: Dataset) -> None:
    seg.MaximumFractionalValue = 200


def mean_how_much_is_taken(seg: Dataset) -> None:
    seg.SegmentationFractionalType = "OCCUPANCY"


def be_of_one_segment(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.SegmentIdentificationSequence


_OF_BOTH = (change_one_value, have_the_class_of_the_other, mirror, lose_the_last_row, shift_all_frames)
_OF_LABEL_MAPS = (swap_two_labels_of_pixels, show_a_segment_that_is_not_described, name_a_segment)
_OF_FRACTIONAL = (be_surer, count_to_less, mean_how_much_is_taken, be_of_one_segment)


@pytest.mark.parametrize(
    ("number", "tamper"),
    [
        *((0, tamper) for tamper in (*_OF_BOTH, *_OF_LABEL_MAPS)),
        *((1, tamper) for tamper in (*_OF_BOTH, *_OF_FRACTIONAL)),
    ],
)
def test_a_label_map_or_probabilities_that_say_something_else_are_refused(
    apart: Types, number: int, tamper: Callable[[Dataset], None]
) -> None:
    objects, masks, stack = apart
    check(objects, masks, stack)
    seg = dcmread(BytesIO(objects[number].content))
    tamper(seg)
    buffer = BytesIO()
    seg.save_as(buffer)
    with pytest.raises(Refused) as refused:
        check([replace(objects[number], content=buffer.getvalue()), objects[1 - number]], masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK


def test_each_type_must_hold_all_masks(apart: Types) -> None:
    (label_map, fractional), (one, other), stack = apart
    more = Mask(prompt=one.prompt, planes={**one.planes, 4: one.planes[1]})
    for objects in ([label_map], [fractional], [label_map, fractional]):
        with pytest.raises(Refused) as refused:
            check(objects, (more, other), stack)
        assert refused.value.reason is Reason.FAILED_CHECK
