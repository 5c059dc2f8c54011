"""Read what a JPEG, JPEG-LS or JPEG 2000 stream says of itself, before a decoder is trusted with it."""

import struct
from dataclasses import dataclass, replace

END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000; nowhere else in a JPEG-LS scan (T.87 A.1)

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})  # T.81 table B.1; T.87 C.1.1
_START_OF_SCAN = 0xDA
_ADOBE = 0xEE  # APP14
_JPEG_2000 = b"\xff\x4f\xff\x51"  # SOC and SIZ, T.800 A.4 and A.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Codestream:
    """What a stream says it holds; `precision` is bits a sample, `adobe` whether its colours follow an Adobe marker."""

    rows: int
    columns: int
    samples: int
    precision: int
    adobe: bool = False


def read_jpeg(data: bytes) -> Codestream:
    """Return what the JPEG or JPEG-LS stream `data` says of itself; ValueError or struct.error if nothing."""
    found: Codestream | None = None
    adobe, position = False, 2
    while data[position : position + 1] == b"\xff":
        marker, length = struct.unpack_from(">BH", data, position + 1)
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte, T.81 B.1.1.2
            position += 1
            continue
        if marker == _START_OF_SCAN:
            break
        adobe = adobe or (marker == _ADOBE and data[position + 4 : position + 9] == b"Adobe")
        if marker in _START_OF_FRAME:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            found = Codestream(rows=rows, columns=columns, samples=samples, precision=precision)
        position += 2 + length
    if found is None:
        raise ValueError("it has no frame header")
    return replace(found, adobe=adobe)


def read_jpeg_2000(data: bytes) -> Codestream:
    """Return what the JPEG 2000 or HTJ2K stream `data` says of itself; ValueError or struct.error if nothing."""
    at = data.index(_JPEG_2000) + len(_JPEG_2000)
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 4)
    samples, precision = struct.unpack_from(">HB", data, at + 36)
    return Codestream(rows=bottom - top, columns=right - left, samples=samples, precision=(precision & 0x7F) + 1)
