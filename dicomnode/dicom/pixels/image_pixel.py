"""How the pixels of an image are stored, told by its header (PS3.3 C.7.6.3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset

from dicomnode.dicom.reading import numbers, text
from dicomnode.errors import Reason, Refused

BYTE = 8  # bits
FRAME_LIMIT = 128 << 20  # bytes of one decoded frame

_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"})
_SAMPLES = {1: _MONOCHROME, 3: _COLOUR}
_ALLOCATED = {1: (1, 8, 16, 32), 3: (8, 16, 32)}  # bits, by samples per pixel


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePixel:
    """The Image Pixel module of one image; `allocated`, `stored` and `high` are bits, `frames` is at least 1."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str
    planar: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of a frame: (row, column), or (row, column, 3)."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @property
    def count(self) -> int:
        """Return how many numbers a frame has."""
        return self.rows * self.columns * self.samples

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """Return the integers that hold one number; a colour has no sign."""
        return np.dtype(f"{'i' if self.signed else 'u'}{max(self.allocated // 8, 1)}")


def read_image_pixel(ds: Dataset, what: str) -> ImagePixel:
    """Return how the pixels that belong to the header `ds` are stored.

    Refuses with INVALID_HEADER where it does not say so or contradicts itself, UNSUPPORTED_IMAGE where this version
    reads no such colours, LIMIT where one frame is too large.
    """
    samples, photometric = _whole(ds, "SamplesPerPixel", what), text(ds, "PhotometricInterpretation")
    _check_samples(samples, photometric, what)
    allocated = _whole(ds, "BitsAllocated", what)
    if allocated not in _ALLOCATED[samples]:
        detail = f"BitsAllocated is {allocated}: {', '.join(map(str, _ALLOCATED[samples]))} are read"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    stored = _whole(ds, "BitsStored", what)
    image = ImagePixel(
        rows=_whole(ds, "Rows", what),
        columns=_whole(ds, "Columns", what),
        samples=samples,
        frames=max(_whole(ds, "NumberOfFrames", what, default=1), 1),
        allocated=allocated,
        stored=stored,
        high=_whole(ds, "HighBit", what, default=stored - 1),
        signed=samples == 1 and _whole(ds, "PixelRepresentation", what) == 1,
        photometric=photometric,
        planar=_whole(ds, "PlanarConfiguration", what, default=0) == 1,
    )
    _check(image, what)
    return image


def _check_samples(samples: int, photometric: str, what: str) -> None:
    if photometric not in _MONOCHROME | _COLOUR:
        detail = f"PhotometricInterpretation is {photometric!r}: monochrome, palette, RGB and YBR are read"
        raise Refused(Reason.UNSUPPORTED_IMAGE if photometric else Reason.INVALID_HEADER, what, detail)
    if photometric not in _SAMPLES.get(samples, ()):
        raise Refused(Reason.INVALID_HEADER, what, f"{photometric} does not have SamplesPerPixel {samples}")


def _check(image: ImagePixel, what: str) -> None:
    if min(image.rows, image.columns) < 1:
        raise Refused(Reason.INVALID_HEADER, what, f"it has {image.rows} rows and {image.columns} columns")
    if not 1 <= image.stored <= image.high + 1 <= image.allocated:
        detail = f"BitsStored {image.stored}, HighBit {image.high} and BitsAllocated {image.allocated} do not agree"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    size = image.count * image.dtype.itemsize
    if size > FRAME_LIMIT:
        detail = f"a frame of {image.rows} x {image.columns} has {size >> 20} MiB: at most {FRAME_LIMIT >> 20} are read"
        raise Refused(Reason.LIMIT, what, detail)


def _whole(ds: Dataset, keyword: str, what: str, *, default: int | None = None) -> int:
    """Return element `keyword` as a whole number; where it is absent the `default`, or refuse."""
    value = numbers(ds, keyword, 1, what)
    if value is None:
        if default is None:
            raise Refused(Reason.INVALID_HEADER, what, f"it has no {keyword}")
        return default
    if not value[0].is_integer():
        raise Refused(Reason.INVALID_HEADER, what, f"{keyword} is {value[0]:g}: a whole number is wanted")
    return int(value[0])
