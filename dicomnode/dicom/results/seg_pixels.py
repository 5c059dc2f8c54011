"""Make the pixels of a SEG frame by frame, so that they never lie in memory but as they are written."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Mask, SegType

_BITS = 8  # of a byte: as many frames of one bit a pixel fill whole bytes, whatever their size


class SegFrame(NamedTuple):
    """What a frame shows: the plane with this index, and which mask on it; None is all, in a label map."""

    plane: int
    mask: int | None


def frames_content(frames: Sequence[SegFrame], masks: Sequence[Mask], seg_type: SegType, bits: int) -> bytes:
    """Return the pixel data of `frames`, not compressed, `bits` a pixel (PS3.5 8.1.1)."""
    match seg_type:
        case SegType.BINARY:
            parts = _packed([masks[mask].planes[plane] for plane, mask in frames if mask is not None])
        case SegType.LABELMAP:
            parts = (_labels(masks, plane, bits).tobytes() for plane, _ in frames)
        case SegType.FRACTIONAL:
            parts = (masks[mask].probabilities[plane].tobytes() for plane, mask in frames if mask is not None)
    content = b"".join(parts)
    return content + b"\0" * (len(content) % 2)


def _packed(planes: Sequence[NDArray[np.bool_]]) -> Iterator[bytes]:
    """Yield `planes`, (row, column) bool, with one bit a pixel, frame behind frame, the first pixel's bit the least."""
    for first in range(0, len(planes), _BITS):
        pixels = np.concatenate([inside.ravel() for inside in planes[first : first + _BITS]])
        yield np.packbits(pixels, bitorder="little").tobytes()


def _labels(masks: Sequence[Mask], plane: int, bits: int) -> NDArray[np.unsignedinteger]:
    """Return the plane with index `plane`, (row, column): the number of the mask that a pixel is in, or 0."""
    here = [(number, mask.planes[plane]) for number, mask in enumerate(masks, start=1) if plane in mask.planes]
    labels = np.zeros(here[0][1].shape, dtype=f"<u{bits // 8}")
    for number, inside in here:
        labels[inside] = number
    return labels
