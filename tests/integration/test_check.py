"""The self-check finds every way in which a SEG can say something else than the masks."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicomnode.dicom.results.check import check
from dicomnode.domain import Mask, Stack, WrittenObject
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.results import segs_of
from tests.values import mask

Parts = tuple[WrittenObject, tuple[Mask, ...], Stack]


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
