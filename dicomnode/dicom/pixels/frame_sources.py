"""Cut the frames of an image out of its file, native or compressed, and make numbers of them."""

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, RLELossless

from dicomnode.dicom.inflating import inflate
from dicomnode.dicom.pixels.colour import rgb_of_native, to_bytes
from dicomnode.dicom.pixels.decoders import DEFLATED_FRAMES, Decoders, EncodedFrame
from dicomnode.dicom.pixels.encapsulated import Frame, find_frames, read_frame
from dicomnode.dicom.pixels.image_pixel import BYTE, FRAME_LIMIT, ImagePixel
from dicomnode.dicom.pixels.native import as_stored, check_native, drop_unused_bits, frame_bits, numbers_of, swap_pairs
from dicomnode.dicom.pixels.pixel_element import PixelElement
from dicomnode.errors import Reason, Refused

LendFile = Callable[[], AbstractContextManager[BinaryIO]]
Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelBytes:
    """Where the pixels of an image lie: `lend` gives the file that holds `element`, to one thread at a time."""

    lend: LendFile
    element: PixelElement
    image: ImagePixel
    what: str


class NativeFrames:
    """Frames that are stored as they are: only the bytes of the frame asked for are read."""

    def __init__(self, source: PixelBytes) -> None:
        if source.element.length is None:
            detail = "its pixel data are encapsulated, and its transfer syntax is not"
            raise Refused(Reason.TRUNCATED, source.what, detail)
        image = as_stored(source.image, source.element.length, source.what)
        check_native(image, source.what)
        self._source = replace(source, image=image)
        self._length = source.element.length

    def read(self, number: int) -> Numbers:
        """Return frame `number`, counted from 1: (row, column), or (row, column, 3) uint8 RGB."""
        image, element = self._source.image, self._source.element
        bits = frame_bits(image)
        start, skip = divmod((number - 1) * bits, BYTE)
        end = -(-number * bits // BYTE)
        if element.big_endian and element.vr == "OW" and image.allocated <= BYTE:
            first = start // 2 * 2
            data = swap_pairs(self._bytes(number, first, end + end % 2))[start - first : end - first]
        else:
            data = self._bytes(number, start, end)
        return _of_native(numbers_of(data, image, big_endian=element.big_endian, skip=skip), image)

    def _bytes(self, number: int, start: int, end: int) -> NDArray[np.uint8]:
        data = np.empty(end - start, np.uint8)
        with self._source.lend() as file:
            file.seek(self._source.element.start + start)
            count = cast("Any", file).readinto(data.data) if end <= self._length else 0
        if count < len(data):
            detail = f"its pixel data end before frame {number} of {self._source.image.frames} does"
            raise Refused(Reason.TRUNCATED, self._source.what, detail)
        return data


class EncodedFrames:
    """Frames that are compressed, each in fragments of its own."""

    def __init__(self, source: PixelBytes, syntax: UID, decoders: Decoders) -> None:
        if syntax == DEFLATED_FRAMES:
            check_native(source.image, source.what)
        self._source = source
        self._syntax = syntax
        self._decoders = decoders
        self._frames: tuple[Frame, ...] | Refused | None = None
        self._lock = Lock()

    def read(self, number: int) -> Numbers:
        """Return frame `number`, counted from 1: (row, column), or (row, column, 3) uint8 RGB."""
        image, data = self._source.image, self._data(number)
        if self._syntax == DEFLATED_FRAMES:
            return self._of_deflated(data)
        if self._syntax == RLELossless and image.allocated == 1:  # bits in bytes, PS3.5 A.4.2
            return numbers_of(self._decode(data, _packed(image)).view(np.uint8)[0], image, big_endian=False)
        numbers = self._decode(data, image)
        if image.samples > 1:
            return to_bytes(numbers, image.stored)
        return drop_unused_bits(numbers, image) if self._syntax == RLELossless else numbers

    def _data(self, number: int) -> bytes:
        with self._lock:
            if self._frames is None:
                self._frames = self._find()
        if isinstance(self._frames, Refused):
            raise Refused(self._frames.reason, self._frames.what, self._frames.detail)
        frame = self._frames[number - 1] if number <= len(self._frames) else ()
        size = sum(fragment.length for fragment in frame)
        if size > FRAME_LIMIT:
            detail = f"frame {number} has {size >> 20} MiB compressed: at most {FRAME_LIMIT >> 20} are read"
            raise Refused(Reason.LIMIT, self._source.what, detail)
        with self._source.lend() as file:
            data = read_frame(file, frame)
        if not data:
            detail = f"its pixel data end before frame {number} of {self._source.image.frames} does"
            raise Refused(Reason.TRUNCATED, self._source.what, detail)
        return data

    def _find(self) -> tuple[Frame, ...] | Refused:
        """Return where the frames lie, or why that cannot be told: it takes long, and is asked for every frame."""
        with self._source.lend() as file:
            file.seek(self._source.element.start)
            try:
                return find_frames(file, self._source.image.frames, self._source.what)
            except Refused as error:
                return error

    def _decode(self, data: bytes, image: ImagePixel) -> Numbers:
        return self._decoders.decode(EncodedFrame(data=data, syntax=self._syntax, image=image), self._source.what)

    def _of_deflated(self, data: bytes) -> Numbers:
        image = self._source.image
        size = -(-frame_bits(image) // BYTE)
        try:
            content = np.frombuffer(bytearray(inflate(data, size)), np.uint8)
        except zlib.error as error:
            raise Refused(Reason.TRUNCATED, self._source.what, f"a frame cannot be inflated: {error}") from error
        if len(content) < size:
            detail = f"a frame inflates to {len(content)} bytes: {size} are wanted"
            raise Refused(Reason.TRUNCATED, self._source.what, detail)
        return _of_native(numbers_of(content, image, big_endian=False), image)


def _of_native(numbers: NDArray[Any], image: ImagePixel) -> Numbers:
    numbers = drop_unused_bits(numbers, image)
    return np.ascontiguousarray(rgb_of_native(numbers, image)) if image.samples > 1 else numbers


def _packed(image: ImagePixel) -> ImagePixel:
    """Return the image of bytes that holds the single bits of a frame."""
    return replace(image, rows=1, columns=-(-image.count // BYTE), allocated=BYTE, stored=BYTE, high=BYTE - 1)
