"""Read the stored pixels of one file, frame by frame."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomnode.dicom.inflating import Inflated
from dicomnode.dicom.pixels.colour import Palette
from dicomnode.dicom.pixels.decoders import DEFLATED_FRAMES, PLUGINS, Decoders, no_decoder
from dicomnode.dicom.pixels.frame_sources import EncodedFrames, LendFile, NativeFrames, PixelBytes
from dicomnode.dicom.pixels.image_pixel import BYTE, ImagePixel, read_image_pixel
from dicomnode.dicom.pixels.pixel_element import read_pixel_element
from dicomnode.dicom.reading import parse, text
from dicomnode.errors import Reason, Refused

_NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)

Numbers = NDArray[np.integer[Any]]


class PixelFile:
    """The pixels of one file, frame by frame; any thread may ask for any frame.

    `header` is everything before the pixel data.
    """

    def __init__(self, header: Dataset, image: ImagePixel, read: Callable[[int], Numbers], what: str) -> None:
        self.header = header
        self._image = image
        self._read = read
        self._what = what
        self._palette = Palette(header, what) if image.photometric == "PALETTE COLOR" else None

    def frame(self, number: int) -> Numbers:
        """Return frame `number`, counted from 1: (row, column) stored integers, or (row, column, 3) uint8 RGB.

        Refuses with TRUNCATED, INVALID_HEADER, LIMIT, NO_DECODER or UNREADABLE.
        """
        stored = self.stored(number)
        return self._palette.rgb(stored) if self._palette else stored

    def stored(self, number: int) -> Numbers:
        """Return frame `number` as `frame` does, but the numbers that stand for the colours of a palette as they are.

        In a label map they are the numbers of segments.
        """
        if not 1 <= number <= self._image.frames:
            raise Refused(Reason.INVALID_HEADER, self._what, f"frame {number} of {self._image.frames} is asked for")
        try:
            return self._read(number)
        except OSError as error:
            raise Refused(Reason.UNREADABLE, self._what, str(error)) from error


def has_decoder(syntax: UID) -> bool:
    """Return whether pixels of a transfer syntax can be read."""
    return syntax in _NATIVE or syntax in PLUGINS or syntax == DEFLATED_FRAMES


def open_pixels(path: Path, decoders: Decoders) -> PixelFile:
    """Return the pixels of the file at `path`; compressed ones are left to `decoders`.

    Refuses what `reading.parse` refuses, TRUNCATED without pixel data, NO_DECODER naming the transfer syntax,
    INVALID_HEADER, UNSUPPORTED_IMAGE and LIMIT.
    """
    what = str(path)
    try:
        with path.open("rb") as file:
            parsed = parse(file, what, pixels=False)
            element = read_pixel_element(parsed, what)
    except OSError as error:
        raise Refused(Reason.UNREADABLE, what, str(error)) from error
    image = read_image_pixel(parsed.ds, what)
    lend: LendFile = lambda: path.open("rb")  # noqa: E731 - the other is a method
    if isinstance(parsed.stream, Inflated):
        wanted = -(-image.count * image.allocated * image.frames // BYTE)
        lend = parsed.stream.value(path, element.start, min(wanted, element.length or 0)).lent
        element = replace(element, start=0)
    source = PixelBytes(lend=lend, element=element, image=image, what=what)
    return PixelFile(parsed.ds, image, _reader(parsed.ds, source, decoders), what)


def _reader(ds: Dataset, source: PixelBytes, decoders: Decoders) -> Callable[[int], Numbers]:
    syntax = _transfer_syntax(ds)
    if syntax in _NATIVE:
        return NativeFrames(source).read
    if not has_decoder(syntax):
        raise no_decoder(syntax, source.what)
    return EncodedFrames(source, syntax, decoders).read


def _transfer_syntax(ds: Dataset) -> UID:
    """Return what the meta information says, or what the parser found where there is none."""
    syntax = text(ds.file_meta, "TransferSyntaxUID")
    if syntax:
        return UID(syntax)
    implicit, little = ds.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian
