"""Read the command of a C-STORE request, and write its response (PS3.7 9.3.1): Implicit VR Little Endian (6.3.1)."""

import struct
from dataclasses import dataclass
from typing import Self

_ELEMENT = struct.Struct("<HHL")
_NUMBER = struct.Struct("<H")
_GROUP_LENGTH = struct.Struct("<HHLL")
_CLASS, _FIELD, _MESSAGE, _RESPONDED, _DATA_SET, _STATUS, _INSTANCE = 2, 0x100, 0x110, 0x120, 0x800, 0x900, 0x1000
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreCommand:
    """What the command of a C-STORE request says of an object, word for word, and the number of the request."""

    sop_class_uid: str
    sop_instance_uid: str
    message_id: int

    @classmethod
    def parse(cls, command: bytes) -> Self | None:
        """Return the C-STORE request that a whole `command` set is, or None where it is something else."""
        found = _elements(command)
        if found is None or _number(found, _FIELD) != _C_STORE_RQ or _number(found, _DATA_SET) in (None, _NO_DATA_SET):
            return None
        message_id, names = _number(found, _MESSAGE), [found.get(_CLASS, b""), found.get(_INSTANCE, b"")]
        if message_id is None or not all(name.isascii() for name in names):
            return None
        sop_class, sop_instance = (name.decode("ascii").rstrip("\0 ") for name in names)
        if not sop_class or not sop_instance:
            return None
        return cls(sop_class_uid=sop_class, sop_instance_uid=sop_instance, message_id=message_id)

    def response(self, status: int) -> bytes:
        """Return the command set that answers the request with `status`."""
        elements = [
            _text(_CLASS, self.sop_class_uid),
            _short(_FIELD, _C_STORE_RSP),
            _short(_RESPONDED, self.message_id),
            _short(_DATA_SET, _NO_DATA_SET),
            _short(_STATUS, status),
            _text(_INSTANCE, self.sop_instance_uid),
        ]
        body = b"".join(elements)
        return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def _elements(command: bytes) -> dict[int, bytes] | None:
    """Return the values of a command set by their element numbers, or None where it is none."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(command):
        if position + _ELEMENT.size > len(command):
            return None
        group, element, size = _ELEMENT.unpack_from(command, position)
        position += _ELEMENT.size
        if group != 0 or position + size > len(command):
            return None
        found[element] = command[position : position + size]
        position += size
    return found


def _number(found: dict[int, bytes], element: int) -> int | None:
    value = found.get(element, b"")
    if len(value) != _NUMBER.size:
        return None
    (number,) = _NUMBER.unpack(value)
    return int(number)


def _short(element: int, value: int) -> bytes:
    return _ELEMENT.pack(0, element, _NUMBER.size) + _NUMBER.pack(value)


def _text(element: int, value: str) -> bytes:
    padded = value.encode("ascii") + b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(padded)) + padded
