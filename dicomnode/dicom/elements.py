"""Find the elements of a data set by their heads alone, without reading what they hold (PS3.5 7.1, 7.5)."""

import struct
from typing import NamedTuple

_FIRST = 0x00080000
_ITEM, _ENDS, _ITEM_ENDS = 0xFFFEE000, 0xFFFEE0DD, b"\xfe\xff\x0d\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF  # a length
_DEEPEST = 8  # of sequences in one another
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())  # PS3.5 7.1.2
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_EXPLICIT, _IMPLICIT, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L")
_HEAD_SIZE = 8  # bytes of either


class Element(NamedTuple):
    """An element of a data set: its head is at `position`, its value from byte `start` to `end`.

    `vr` is SQ where the data set has none. A value `ends_itself` that has no length: only what is in it says where.
    """

    tag: int
    vr: bytes
    position: int
    start: int
    end: int
    ends_itself: bool


def elements_until(last: int, data_set: bytes, *, explicit: bool) -> list[Element] | None:
    """Return the elements of `data_set` from group 0008 to the tag `last`, None where one before it is unusual.

    Each must have a known VR, an end, and a higher tag than the one before it (PS3.5 7.1). One with a VR has, read as
    one without, a length beyond what is looked at.
    """
    found: list[Element] = []
    before, position = _FIRST - 1, 0
    while before != last:
        element = _element(data_set, position, explicit=explicit, depth=0)
        if element is None or not before < element.tag <= last:
            return None
        found.append(element)
        before, position = element.tag, element.end
    return found


def _element(head: bytes, position: int, *, explicit: bool, depth: int) -> Element | None:
    """Return the element at `position`, None where it is odd."""
    start = position + _HEAD_SIZE
    if start + _LENGTH.size > len(head):
        return None
    vr = b"SQ"
    if explicit:
        group, number, vr, size = _EXPLICIT.unpack_from(head, position)
        if vr in _LONG:
            (size,) = _LENGTH.unpack_from(head, start)
            start += _LENGTH.size
        elif vr not in _SHORT:
            return None
    else:
        group, number, size = _IMPLICIT.unpack_from(head, position)
    ends_itself = size == _UNDEFINED
    if not ends_itself:
        end: int | None = start + size
    else:
        end = _end_of_items(head, start, explicit=explicit, depth=depth) if vr == b"SQ" else None
    if end is None or end > len(head):
        return None
    return Element(group << 16 | number, vr, position, start, end, ends_itself)


def _end_of_items(head: bytes, position: int, *, explicit: bool, depth: int) -> int | None:
    """Return where the sequence ends whose items begin at `position`, by its delimiter (PS3.5 7.5)."""
    while depth < _DEEPEST and position + _HEAD_SIZE <= len(head):
        group, number, size = _IMPLICIT.unpack_from(head, position)
        tag, position = group << 16 | number, position + _HEAD_SIZE
        if tag == _ENDS:
            return position if size == 0 else None
        if tag != _ITEM:
            return None
        if size != _UNDEFINED:
            position += size
            continue
        while head[position : position + _HEAD_SIZE] != _ITEM_ENDS:
            if (inner := _element(head, position, explicit=explicit, depth=depth + 1)) is None:
                return None
            position = inner.end
        position += _HEAD_SIZE
    return None
