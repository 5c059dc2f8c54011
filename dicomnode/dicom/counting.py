"""Count the elements and items of a header, before a parser makes more objects of them than memory and time bear."""

import struct
from collections.abc import Iterator

from dicomnode.errors import Reason, Refused

MOST_OBJECTS = 800_000  # elements

_ITEM_WEIGHT = 4  # elements: an item takes a parser as long
_ITEM_TAGS = {b"\xfe\xff\x00\xe0": "<", b"\xff\xfe\xe0\x00": ">"}
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_HEAD = 8  # bytes that begin an element: tag and length
_LONG_HEAD = 12
_UNDEFINED = 0xFFFFFFFF


class ObjectCount:
    """How many objects a parser makes of what it reads; refuses with LIMIT, naming `what`, where they are too many."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = MOST_OBJECTS

    def add(self, data: bytes) -> None:
        """Count `data`: the head of an element or item, or a value, which may be a whole sequence."""
        if len(data) == _HEAD:
            self._take(_ITEM_WEIGHT if data[:4] in _ITEM_TAGS else 1)
        elif data[:4] in _ITEM_TAGS:
            for weight in _weights(data, _ITEM_TAGS[data[:4]]):
                self._take(weight)

    def _take(self, weight: int) -> None:
        self._left -= weight
        if self._left < 0:
            raise Refused(Reason.LIMIT, self._what, f"its header has more than {MOST_OBJECTS} elements")


def _weights(value: bytes, order: str) -> Iterator[int]:
    """Yield the weight of every item and element on every level of the sequence `value` (PS3.5 7.5)."""
    head = struct.Struct(f"{order}4sI")
    position, explicit = 0, value[_HEAD + 4 : _HEAD + 6].isalpha()
    while position + _HEAD <= len(value):
        tag, length = head.unpack_from(value, position)
        if tag in _ITEM_TAGS or tag[:2] in {b"\xfe\xff", b"\xff\xfe"}:  # a delimiter too
            yield _ITEM_WEIGHT
            position += _HEAD
            continue
        yield 1
        size = _HEAD
        if explicit:
            vr = value[position + 4 : position + 6]
            size, length = _explicit(value, position, order)
            nested = vr == b"SQ" or length == _UNDEFINED
        else:
            nested = length == _UNDEFINED or value[position + _HEAD : position + _HEAD + 4] in _ITEM_TAGS
        position += size + (0 if nested else length)


def _explicit(value: bytes, position: int, order: str) -> tuple[int, int]:
    """Return the size of the element's head and of its value, in bytes (PS3.5 7.1.2)."""
    if value[position + 4 : position + 6] not in _LONG:
        return _HEAD, int(struct.unpack_from(f"{order}H", value, position + 6)[0])
    if position + _LONG_HEAD > len(value):
        return _LONG_HEAD, 0
    return _LONG_HEAD, int(struct.unpack_from(f"{order}I", value, position + 8)[0])
