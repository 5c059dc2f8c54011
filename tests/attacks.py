"""Small files that ask for much: time, memory, or a reader's trust. Each is made at the call."""

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from math import cos, sin

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)

from tests.elements import ITEM, SEQUENCE_END, Layout, element_bytes
from tests.mutations import nested

_EXPLICIT = Layout(start=132, implicit=False, order="<")
_IMPLICIT = Layout(start=132, implicit=True, order="<")
_PLACED = {
    0x00200032: ("DS", b"0\\0\\0 "),
    0x00200037: ("DS", b"1\\0\\0\\0\\1\\0 "),
    0x00280030: ("DS", b"1\\1 "),
}
_GROUPS = 0x52009230  # PerFrameFunctionalGroupsSequence
_SHARED = 0x52009229

Elements = Mapping[int, tuple[str, bytes]]


def dicom(
    sop_class: str = CTImageStorage,
    syntax: str = ExplicitVRLittleEndian,
    elements: Elements = _PLACED,
    *,
    pixels: bytes = bytes(8),
    tail: bytes = b"",
) -> bytes:
    """Return a file of a 2 x 2 image of 16 bits, changed and added to by `elements`; `tail` comes before its pixels."""
    layout = _IMPLICIT if syntax == ImplicitVRLittleEndian else _EXPLICIT
    uid = f"2.25.{zlib.crc32(repr((sop_class, syntax, sorted(elements), pixels[:99], tail[:99])).encode())}"
    whole: dict[int, tuple[str, bytes]] = {
        0x00080016: ("UI", sop_class.encode()),
        0x00080018: ("UI", f"{uid}.1".encode()),
        0x0020000D: ("UI", f"{uid}.2".encode()),
        0x0020000E: ("UI", f"{uid}.3".encode()),
        0x00280002: ("US", struct.pack("<H", 1)),
        0x00280004: ("CS", b"MONOCHROME2 "),
        0x00280010: ("US", struct.pack("<H", 2)),
        0x00280011: ("US", struct.pack("<H", 2)),
        0x00280100: ("US", struct.pack("<H", 16)),
        0x00280101: ("US", struct.pack("<H", 16)),
        0x00280103: ("US", struct.pack("<H", 0)),
        **elements,
    }
    body = b"".join(element_bytes(layout, tag, vr, _even(value)) for tag, (vr, value) in sorted(whole.items()))
    body += tail + element_bytes(layout, 0x7FE00010, "OW", pixels)
    if syntax == DeflatedExplicitVRLittleEndian:
        body = zlib.compress(body, 9)[2:-4]
    meta = element_bytes(_EXPLICIT, 0x00020010, "UI", _even(str(syntax).encode()))
    return bytes(128) + b"DICM" + element_bytes(_EXPLICIT, 0x00020000, "UL", struct.pack("<I", len(meta))) + meta + body


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _short(value: int) -> tuple[str, bytes]:
    return "US", struct.pack("<H", value)


def _item(content: bytes = b"") -> bytes:
    return element_bytes(_EXPLICIT, ITEM, "", content)


def _sequence(tag: int, *items: bytes) -> bytes:
    return element_bytes(_EXPLICIT, tag, "SQ", b"".join(_item(item) for item in items))


def _undefined(tag: int, content: bytes) -> bytes:
    return element_bytes(_EXPLICIT, tag, "SQ", None) + content + element_bytes(_EXPLICIT, SEQUENCE_END, "", b"")


def _enhanced(groups: Iterable[bytes], tail: bytes = b"") -> bytes:
    """Return an Enhanced MR with a frame for each of `groups`."""
    items = [_item(group) for group in groups]
    count = {0x00280008: ("IS", str(len(items)).encode())}
    sequence = element_bytes(_EXPLICIT, _GROUPS, "SQ", b"".join(items))
    return dicom(EnhancedMRImageStorage, elements=count, pixels=bytes(8 * len(items)), tail=tail + sequence)


def _group(position: str, orientation: str = "1\\0\\0\\0\\1\\0", content: bytes = b"") -> bytes:
    def text(tag: int, value: str) -> bytes:
        return element_bytes(_EXPLICIT, tag, "DS", value.encode() + b" " * (len(value) % 2))

    return (
        _sequence(0x00209113, text(0x00200032, position))
        + _sequence(0x00209116, text(0x00200037, orientation))
        + _sequence(0x00289110, text(0x00280030, "1\\1"))
        + content
    )


def _turned_frames(count: int = 5_000) -> bytes:
    return _enhanced(
        _group("0\\0\\0", f"{cos(angle):.10f}\\{sin(angle):.10f}\\0\\{-sin(angle):.10f}\\{cos(angle):.10f}\\0")
        for angle in (index * 6.28 / count for index in range(count))
    )


def _many_dimensions(dimensions: int = 200, frames: int = 100) -> bytes:
    """Return frames at one place that differ in many dimensions, none of which tells all of them apart."""
    pointers = [
        element_bytes(_EXPLICIT, 0x00209165, "AT", struct.pack("<HH", 0x0019, 0x1000 + index))
        + element_bytes(_EXPLICIT, 0x00209167, "AT", struct.pack("<HH", 0x0020, 0x9111))
        for index in range(dimensions)
    ]
    groups = (
        _group(
            "0\\0\\0",
            content=_sequence(
                0x00209111,
                element_bytes(
                    _EXPLICIT,
                    0x00209157,
                    "UL",
                    struct.pack(
                        f"<{dimensions}I", *(zlib.crc32(b"%d %d" % (frame, index)) % 2 for index in range(dimensions))
                    ),
                ),
            ),
        )
        for frame in range(frames)
    )
    return _enhanced(groups, _sequence(0x00209222, *pointers))


def _encapsulated(frames: int, *fragments: bytes, **changes: tuple[str, bytes]) -> bytes:
    value = _item() + b"".join(_item(_even(fragment)) for fragment in fragments)
    pixels = element_bytes(_EXPLICIT, 0x7FE00010, "OB", None) + value + element_bytes(_EXPLICIT, SEQUENCE_END, "", b"")
    elements = {0x00280008: ("IS", str(frames).encode()), **{int(tag, 16): one for tag, one in changes.items()}}
    whole = dicom(SecondaryCaptureImageStorage, JPEG2000Lossless, elements)
    return whole[: whole.rindex(b"\xe0\x7f\x10\x00")] + pixels


def _tiles(side: int) -> bytes:
    """Return the beginning of a JPEG 2000 stream of 4096 x 4096 pixels in tiles of `side` x `side`."""
    size = struct.pack(">H8IH", 0, 4096, 4096, 0, 0, side, side, 0, 0, 1) + bytes((15, 1, 1))
    style = struct.pack(">BBHBBBBBB", 0, 0, 1, 0, 5, 4, 4, 0, 1)
    quantities = bytes((0x40, *range(8, 24)))
    parts = ((0x51, size), (0x52, style), (0x5C, quantities))
    head = b"".join(struct.pack(">BBH", 0xFF, code, len(content) + 2) + content for code, content in parts)
    tile = struct.pack(">BBHHIBB", 0xFF, 0x90, 10, 0, 14, 0, 1) + b"\xff\x93"
    return b"\xff\x4f" + head + tile + b"\xff\xd9"


def _many_elements(count: int) -> bytes:
    return b"".join(struct.pack("<HH2sH", 0x0029 + 2 * (one >> 15), one & 0x7FFF, b"LO", 0) for one in range(count))


_BLOCKS = b"".join(
    element_bytes(_EXPLICIT, 0x00190000 + one, "LO", b"SIEMENS MR HEADER ") for one in range(0x10, 0x100)
)
_EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)

#: what the file is -> what makes it, and the reasons that may be given, "understood" among them
ATTACKS: Mapping[str, tuple[Callable[[], bytes], set[str]]] = {
    "nothing at all": (lambda: b"", {"NOT_DICOM"}),
    "a preamble and no more": (lambda: bytes(128) + b"DICM", {"NOT_DICOM", "TRUNCATED", "MISSING_UID"}),
    "zeros": (lambda: bytes(100_000_000), {"NOT_DICOM"}),
    "zeros behind a preamble": (lambda: bytes(128) + b"DICM" + bytes(100_000_000), {"LIMIT", "UNREADABLE"}),
    "65535 x 65535 pixels of 32 bits": (
        lambda: dicom(
            elements={**_PLACED, 0x00280010: _short(65535), 0x00280011: _short(65535), 0x00280100: _short(32)}
        ),
        {"LIMIT"},
    ),
    "2147483647 frames": (lambda: dicom(elements={**_PLACED, 0x00280008: ("IS", b"2147483647")}), {"LIMIT"}),
    "100000 frames of which one is there": (
        lambda: dicom(SecondaryCaptureImageStorage, elements={0x00280008: ("IS", b"100000")}),
        {"UNSUPPORTED_CINE", "understood"},
    ),
    "a million empty functional groups": (
        lambda: dicom(tail=element_bytes(_EXPLICIT, _GROUPS, "SQ", _EMPTY_ITEM * 1_000_000)),
        {"LIMIT"},
    ),
    "a million empty functional groups without a length": (
        lambda: dicom(tail=_undefined(_GROUPS, _EMPTY_ITEM * 1_000_000)),
        {"LIMIT"},
    ),
    "a million empty items in a functional group": (
        lambda: _enhanced([_undefined(0x00209113, _EMPTY_ITEM * 1_000_000)]),
        {"LIMIT"},
    ),
    "two million empty elements": (lambda: dicom(tail=_many_elements(2_000_000)), {"LIMIT"}),
    "two million empty elements in a functional group": (lambda: _enhanced([_many_elements(2_000_000)]), {"LIMIT"}),
    "frames that all lie differently": (_turned_frames, {"LIMIT"}),
    "two hundred dimensions": (_many_dimensions, {"DUPLICATE_POSITIONS", "LIMIT", "INVALID_HEADER"}),
    "sequences 100000 deep": (lambda: dicom(tail=nested(_EXPLICIT, _SHARED, 100_000, defined=True)), {"understood"}),
    "sequences 100000 deep without lengths": (
        lambda: dicom(tail=nested(_EXPLICIT, _SHARED, 100_000, defined=False)),
        {"UNREADABLE"},
    ),
    "ten million digits": (
        lambda: dicom(syntax=ImplicitVRLittleEndian, elements={**_PLACED, 0x00280030: ("DS", b"1" * 10_000_000)}),
        {"LIMIT", "INVALID_HEADER"},
    ),
    "five million numbers": (
        lambda: dicom(syntax=ImplicitVRLittleEndian, elements={**_PLACED, 0x00280030: ("DS", b"1\\" * 5_000_000)}),
        {"LIMIT", "INVALID_HEADER"},
    ),
    "five million words": (
        lambda: dicom(syntax=ImplicitVRLittleEndian, elements={**_PLACED, 0x00080008: ("CS", b"A\\" * 5_000_000)}),
        {"understood"},
    ),
    "five million echo times": (
        lambda: dicom(syntax=ImplicitVRLittleEndian, elements={**_PLACED, 0x00180081: ("DS", b"1\\" * 5_000_000)}),
        {"understood"},
    ),
    "five million character sets": (
        lambda: dicom(syntax=ImplicitVRLittleEndian, elements={**_PLACED, 0x00080005: ("CS", b"A\\" * 5_000_000)}),
        {"LIMIT", "INVALID_HEADER", "UNREADABLE"},
    ),
    "a scale that is garbage": (
        lambda: _enhanced([_group("0\\0\\0", content=element_bytes(_EXPLICIT, 0x00289145, "SQ", b"garbage!"))]),
        {"INVALID_HEADER", "understood"},
    ),
    "a number of frames beyond all numbers": (
        lambda: dicom(elements={**_PLACED, 0x00280008: ("IS", b"1e9999")}),
        {"INVALID_HEADER"},
    ),
    "an orientation that is no number": (
        lambda: dicom(elements={**_PLACED, 0x00200037: ("DS", b"NaN\\0\\0\\0\\inf\\0")}),
        {"INVALID_HEADER"},
    ),
    "a position beyond the universe": (
        lambda: dicom(elements={**_PLACED, 0x00200032: ("DS", b"1e308\\-1e308\\1e308")}),
        {"INVALID_HEADER"},
    ),
    "pixels wider than the universe": (
        lambda: dicom(elements={**_PLACED, 0x00280030: ("DS", b"1e308\\1e308")}),
        {"INVALID_HEADER"},
    ),
    "frames at the two ends of the universe": (
        lambda: _enhanced([_group("0\\0\\1e308"), _group("0\\0\\-1e308"), _group("0\\0\\0")]),
        {"INVALID_HEADER"},
    ),
    "one number where two are wanted": (
        lambda: dicom(elements={**_PLACED, 0x00280030: ("LO", b"12")}),
        {"INVALID_HEADER"},
    ),
    "a UID of two lines": (lambda: dicom(elements={**_PLACED, 0x00080018: ("UI", b"1.2.3\n1.2.4")}), {"BAD_UID"}),
    "a UID of 60000 characters": (lambda: dicom(elements={**_PLACED, 0x00080018: ("UI", b"1." * 30_000)}), {"BAD_UID"}),
    "a character set that is none": (
        lambda: dicom(elements={**_PLACED, 0x00080005: ("CS", b"\\ISO 2022 \xff\\..\\utf-7")}),
        {"understood"},
    ),
    "a palette of odd length": (
        lambda: dicom(
            SecondaryCaptureImageStorage,
            elements={
                0x00280004: ("CS", b"PALETTE COLOR "),
                **{0x00281101 + one: ("US", struct.pack("<3H", 0, 0, 16)) for one in range(3)},
                **{0x00281201 + one: ("OW", b"\1\2\3\4\5\6") for one in range(3)},
            },
        ),
        {"INVALID_HEADER"},
    ),
    "a private block of each number": (lambda: dicom(elements=_PLACED, tail=_BLOCKS), {"understood"}),
    "a transfer syntax of 60000 characters": (lambda: dicom(syntax="1." * 30_000), {"NO_DECODER"}),
    "a deflated bomb of pixels": (
        lambda: dicom(syntax=DeflatedExplicitVRLittleEndian, pixels=bytes(500_000_000)),
        {"LIMIT", "understood"},
    ),
    "a deflated bomb in the header": (
        lambda: dicom(
            syntax=DeflatedExplicitVRLittleEndian, tail=element_bytes(_EXPLICIT, 0x00420011, "OB", bytes(500_000_000))
        ),
        {"LIMIT"},
    ),
    "two million fragments": (
        lambda: _encapsulated(100, *(b"" for _ in range(2_000_000))),
        {"LIMIT", "TRUNCATED", "UNSUPPORTED_CINE"},
    ),
    "a hundred frames in sixteen million tiles": (
        lambda: _encapsulated(100, *[_tiles(1)] * 100, **{"00280010": _short(4096), "00280011": _short(4096)}),
        {"TRUNCATED", "UNSUPPORTED_CINE", "LIMIT"},
    ),
    "a structure set with a million references": (
        lambda: dicom(
            RTStructureSetStorage,
            tail=_sequence(0x30060039, element_bytes(_EXPLICIT, 0x30060040, "SQ", _EMPTY_ITEM * 1_000_000)),
        ),
        {"LIMIT"},
    ),
}
