"""Which types of SEG can hold which masks, and the bytes of their frames."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.results.seg_pixels import SegFrame, frames_content
from dicomnode.dicom.results.seg_types import overlap, possible_types
from dicomnode.domain import Mask, SegType
from tests.values import mask

BINARY, LABELMAP, FRACTIONAL = SegType.BINARY, SegType.LABELMAP, SegType.FRACTIONAL


def pixels(*inside: int, shape: tuple[int, int] = (3, 5)) -> NDArray[np.bool_]:
    made = np.zeros(shape, dtype=bool)
    made.ravel()[list(inside)] = True
    return made


def probable(one: Mask) -> Mask:
    values = {index: np.where(inside, 200, 60).astype(np.uint8) for index, inside in one.planes.items()}
    return replace(one, probabilities=values)


ONE, BESIDE, ACROSS = mask({1: pixels(0, 1)}, "one"), mask({1: pixels(2)}, "beside"), mask({1: pixels(1)}, "across")


def test_segments_overlap_where_two_of_them_share_a_voxel() -> None:
    assert overlap([ONE, BESIDE]) is None
    assert overlap([ONE, mask({2: pixels(0, 1)}, "above")]) is None
    assert overlap([BESIDE, ONE, ACROSS]) == ("one", "across")
    assert overlap([]) is None


@pytest.mark.parametrize(
    ("wanted", "masks", "types", "notes"),
    [
        ((BINARY, LABELMAP), (ONE, BESIDE), (BINARY, LABELMAP), ()),
        ((LABELMAP,), (ONE, ACROSS), (BINARY,), ("BINARY instead of LABELMAP: segments overlap, 'one' and 'across'",)),
        (
            (LABELMAP, BINARY, FRACTIONAL),
            (ONE, ACROSS),
            (BINARY,),
            (
                "BINARY instead of LABELMAP: segments overlap, 'one' and 'across'",
                "BINARY instead of FRACTIONAL: 'one' has no probabilities",
            ),
        ),
        ((FRACTIONAL,), (probable(ONE), probable(ACROSS)), (FRACTIONAL,), ()),
        (
            (FRACTIONAL,),
            (probable(ONE), BESIDE),
            (BINARY,),
            ("BINARY instead of FRACTIONAL: 'beside' has no probabilities",),
        ),
        ((FRACTIONAL,), (probable(ONE), mask({3: pixels()}, "nothing")), (FRACTIONAL,), ()),
    ],
)
def test_binary_is_made_once_in_place_of_what_cannot_be(
    wanted: tuple[SegType, ...], masks: tuple[Mask, ...], types: tuple[SegType, ...], notes: tuple[str, ...]
) -> None:
    assert possible_types(wanted, masks) == (types, notes)


@pytest.mark.parametrize("shape", [(3, 5), (4, 4), (1, 1), (7, 9), (16, 16)])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 17])
def test_binary_frames_follow_each_other_bit_by_bit_whatever_their_size(shape: tuple[int, int], frames: int) -> None:
    inside = np.random.default_rng(1).random((frames, *shape)) < 0.4
    content = frames_content([SegFrame(n, 0) for n in range(frames)], [mask(dict(enumerate(inside)))], BINARY, 1)
    bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    assert np.array_equal(bits[: inside.size], inside.ravel())
    assert not bits[inside.size :].any()
    assert len(content) == -(-inside.size // 16) * 2


def test_a_label_map_numbers_the_segments_of_a_plane() -> None:
    masks = [ONE, BESIDE, mask({4: pixels(14)}, "above")]
    content = frames_content([SegFrame(4, None), SegFrame(1, None)], masks, LABELMAP, 8)
    assert [*content] == [*([0] * 14), 3, 1, 1, 2, *([0] * 12)]


def test_more_than_255_segments_take_two_bytes_a_pixel() -> None:
    masks = [mask({0: pixels()}, f"{number}") for number in range(299)]
    content = frames_content([SegFrame(0, None)], [*masks, mask({0: pixels(2)})], LABELMAP, 16)
    assert np.frombuffer(content, "<u2").tolist() == [0, 0, 300, *([0] * 12)]


def test_a_fractional_one_holds_the_probabilities_as_they_are() -> None:
    content = frames_content([SegFrame(1, 1), SegFrame(1, 0)], [probable(ONE), probable(BESIDE)], FRACTIONAL, 8)
    assert [*content] == [60, 60, 200, *([60] * 12), 200, 200, *([60] * 13)]
