"""Read the pixels of a segmentation of any type, frame by frame, from its bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from dicomnode.errors import Reason, Refused

_SCALE = ("PROBABILITY", 255)  # what the values of a fractional one are, and the most of them
_INSIDE = 128  # a pixel with this probability is inside


class _Kind(StrEnum):
    """What a pixel says (PS3.3 C.8.20.2)."""

    BINARY = "BINARY"  # whether it is inside
    FRACTIONAL = "FRACTIONAL"  # how probable that is
    LABELMAP = "LABELMAP"  # the number of the segment it is in


_FORMS = {  # the SOP class and bits a pixel of each kind
    (_Kind.BINARY, SegmentationStorage, 1),
    (_Kind.FRACTIONAL, SegmentationStorage, 8),
    (_Kind.LABELMAP, LabelMapSegmentationStorage, 8),
    (_Kind.LABELMAP, LabelMapSegmentationStorage, 16),
}


class Shown(NamedTuple):
    """What a frame shows of a segment, (row, column) bool; and if it has them the probabilities, likewise, 0..255."""

    segment: int
    inside: NDArray[np.bool_]
    probabilities: NDArray[np.unsignedinteger[Any]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Values:
    """The pixels of all frames, of `shape` (frame, row, column), as they lie in the object; `bits` are of a pixel."""

    kind: _Kind
    shape: tuple[int, int, int]
    bits: int
    content: bytes

    def segments(self, number: int, segment: int | None) -> Iterator[Shown]:
        """Yield what frame `number`, from 0, shows of each segment; `segment` is the frame's own."""
        match self.kind:
            case _Kind.BINARY if segment is not None:
                yield Shown(segment, self._unpacked(number))
            case _Kind.FRACTIONAL if segment is not None:
                values = self._whole(number)
                yield Shown(segment, values >= _INSIDE, values)
            case _Kind.LABELMAP if segment is None:
                labels = self._whole(number)
                for label in np.flatnonzero(np.bincount(labels.ravel())):
                    if label:
                        yield Shown(int(label), labels == label)
            case _:
                raise Refused(Reason.FAILED_CHECK, f"frame {number + 1} of a {self.kind}", f"its segment is {segment}")

    def _unpacked(self, number: int) -> NDArray[np.bool_]:
        """Return a frame of one bit a pixel, which may begin within a byte, at its least bit first (PS3.5 8.1.1)."""
        size = self.shape[1] * self.shape[2]
        first, last = number * size, (number + 1) * size
        part = np.frombuffer(self.content[first // 8 : -(-last // 8)], dtype=np.uint8)
        bits = np.unpackbits(part, bitorder="little")[first % 8 :][:size]
        return bits.reshape(self.shape[1:]).view(np.bool_)

    def _whole(self, number: int) -> NDArray[np.unsignedinteger[Any]]:
        """Return a frame of whole bytes a pixel, the least first."""
        size = self.shape[1] * self.shape[2]
        pixels = np.frombuffer(
            self.content, dtype=f"<u{self.bits // 8}", count=size, offset=number * size * self.bits // 8
        )
        return pixels.reshape(self.shape[1:])


def values_of(seg: Dataset, what: str) -> Values:
    """Return the pixels of `seg`; refuse with FAILED_CHECK what is no segmentation, and bytes that are not enough."""
    kind, bits = _Kind(seg.SegmentationType), int(seg.BitsAllocated)
    if (kind, seg.SOPClassUID, bits) not in _FORMS:
        raise Refused(Reason.FAILED_CHECK, what, f"it is {kind} of class {seg.SOPClassUID} with {bits} bits a pixel")
    if kind is _Kind.FRACTIONAL:
        scale = (seg.SegmentationFractionalType, seg.MaximumFractionalValue)
        if scale != _SCALE:
            raise Refused(Reason.FAILED_CHECK, what, f"its values are {scale}, {_SCALE} is wanted")
    shape = (int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns))
    whole = -(-int(np.prod(shape)) * bits // 8)
    if len(seg.PixelData) != whole + whole % 2:
        raise Refused(Reason.FAILED_CHECK, what, f"{len(seg.PixelData)} bytes of pixels, {whole} are wanted")
    return Values(kind=kind, shape=shape, bits=bits, content=seg.PixelData)
