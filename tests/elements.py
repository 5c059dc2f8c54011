"""Where the elements of a DICOM file lie, told without the parser that the product uses."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, dictionary_VR

ITEM, ITEM_END, SEQUENCE_END, PIXEL_DATA = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
UNDEFINED = 0xFFFFFFFF
_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
_MOST = 20_000  # elements that are told of one file


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the meta information begins, and how the data set behind it is encoded (PS3.5 7 and A)."""

    start: int
    implicit: bool
    order: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element, item or delimiter: where it, its length and its value lie, in bytes."""

    tag: int
    start: int
    length_at: int
    length_size: int
    value_at: int
    length: int
    depth: int
    in_pixels: bool


def layout_of(data: bytes) -> Layout:
    """Return how the file is encoded; as a guess where it does not say."""
    start = 132 if data[128:132] == b"DICM" else 0
    meta = data[start : start + 2000]
    if b"1.2.840.10008.1.2.2\0" in meta:
        return Layout(start=start, implicit=False, order=">")
    named = b"1.2.840.10008.1.2\0" in meta
    return Layout(start=start, implicit=named or not data[start + 4 : start + 6].isupper(), order="<")


def deflated_body(data: bytes) -> int | None:
    """Return where the deflated data set begins, None in another transfer syntax."""
    if b"1.2.840.10008.1.2.1.99" not in data[:2000]:
        return None
    layout = Layout(start=132, implicit=False, order="<")
    ends = [one.value_at + one.length for one in elements_of(data[:2000], layout) if one.tag >> 16 == 2]
    return max(ends, default=None)


def elements_of(data: bytes, layout: Layout) -> list[Element]:
    """Return the elements on every level, in their order, until one makes no sense."""
    return [element for element, _ in zip(_walk(data, layout), range(_MOST), strict=False)]


def _walk(data: bytes, layout: Layout) -> Iterator[Element]:
    position, depth, in_pixels = layout.start, 0, False
    while position + 8 <= len(data):
        element = _element(data, layout, position, (depth, in_pixels))
        if element is None:
            return
        yield element
        into = element.tag == ITEM or element.length == UNDEFINED or _is_sequence(data, layout, element)
        depth += (element.tag == ITEM and element.length == UNDEFINED) - (element.tag == ITEM_END)
        in_pixels = (in_pixels or (element.tag == PIXEL_DATA and into)) and element.tag != SEQUENCE_END
        position = element.value_at + (0 if into and not (in_pixels and element.tag == ITEM) else element.length)


def _element(data: bytes, layout: Layout, at: int, state: tuple[int, bool]) -> Element | None:
    meta = data[at : at + 2] == b"\2\0"
    order = "<" if meta else layout.order
    group, number = struct.unpack_from(order + "HH", data, at)
    tag = group << 16 | number
    vr = "" if group == 0xFFFE or (layout.implicit and not meta) else data[at + 4 : at + 6].decode("latin-1")
    length_at, size = (at + 4, 4) if not vr else (at + 8, 4) if vr in _LONG else (at + 6, 2)
    if length_at + size > len(data) or (vr and not vr.isupper()):
        return None
    (length,) = struct.unpack_from(order + "IH"[size == 2], data, length_at)
    return Element(
        tag=tag,
        start=at,
        length_at=length_at,
        length_size=size,
        value_at=length_at + size,
        length=length,
        depth=state[0],
        in_pixels=state[1],
    )


def _is_sequence(data: bytes, layout: Layout, element: Element) -> bool:
    if layout.implicit and element.tag >> 16 != 2:
        return dictionary_has_tag(element.tag) and dictionary_VR(element.tag) == "SQ"
    return data[element.start + 4 : element.start + 6] == b"SQ"


def element_bytes(layout: Layout, tag: int, vr: str, value: bytes | None, length: int = UNDEFINED) -> bytes:
    """Return an element in the encoding of `layout`; without a value only what comes before it, with `length`."""
    head = struct.pack(layout.order + "HH", tag >> 16, tag & 0xFFFF)
    length = length if value is None else len(value)
    if layout.implicit or not vr:
        head += struct.pack(layout.order + "I", length)
    elif vr in _LONG:
        head += vr.encode() + struct.pack(layout.order + "HI", 0, length)
    else:
        head += vr.encode() + struct.pack(layout.order + "H", length)
    return head + (value or b"")
