"""Find the value of the pixel data element behind a header."""

import struct
from dataclasses import dataclass

from dicomnode.dicom.reading import Parsed
from dicomnode.errors import Reason, Refused

_PIXEL_DATA = (0x7FE0, 0x0010)
_REAL_PIXEL_DATA = ((0x7FE0, 0x0008), (0x7FE0, 0x0009))  # Float Pixel Data, Double Float Pixel Data
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelElement:
    """Where the value of (7FE0,0010) Pixel Data begins, in bytes, and how many it has; None: as its items say."""

    start: int
    length: int | None
    vr: str
    big_endian: bool


def read_pixel_element(parsed: Parsed, what: str) -> PixelElement:
    """Return the pixel data element that comes next in the stream of `parsed`, a header.

    Refuses with TRUNCATED where there is none, UNSUPPORTED_IMAGE where it holds no integers.
    """
    implicit, little = parsed.ds.original_encoding
    order = ">" if little is False else "<"
    head = parsed.stream.read(12)
    if len(head) < 8:  # noqa: PLR2004 - a tag and a length
        raise Refused(Reason.TRUNCATED, what, "it has no pixel data")
    tag = struct.unpack_from(f"{order}HH", head)
    if tag in _REAL_PIXEL_DATA:
        raise Refused(Reason.UNSUPPORTED_IMAGE, what, "its pixels are real numbers: integers are read")
    vr = "" if implicit or not b"AA" <= head[4:6] <= b"ZZ" else head[4:6].decode("latin-1")  # some switch within
    long = vr in {"OB", "OW", "UN"}
    if tag != _PIXEL_DATA or (vr and not long) or (long and len(head) < 12):  # noqa: PLR2004 - with VR
        raise Refused(Reason.TRUNCATED, what, "it has no pixel data")
    (length,) = struct.unpack_from(f"{order}I", head, 8 if long else 4)
    return PixelElement(
        start=parsed.stream.tell() - len(head) + (12 if long else 8),
        length=None if length == _UNDEFINED else length,
        vr=vr,
        big_endian=order == ">",
    )
