"""Read the command of a C-STORE request, and write its response (PS3.7 9.3.1): Implicit VR Little Endian (6.3.1)."""

import struct
from dataclasses import dataclass
from typing import Self

_ELEMENT = struct.Struct("<HHL")
_NUMBER = 2  # bytes of one
_NUMBERS = struct.Struct("<" + 4 * "HHLH")  # elements of one number each
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
        message_id = _number(found, _MESSAGE)
        sop_class, sop_instance = _uid(found, _CLASS), _uid(found, _INSTANCE)
        if message_id is None or not sop_class or not sop_instance:
            return None
        return cls(sop_class_uid=sop_class, sop_instance_uid=sop_instance, message_id=message_id)

    def response(self, status: int) -> bytes:
        """Return the command set that answers the request with `status`."""
        field, responded = (0, _FIELD, _NUMBER, _C_STORE_RSP), (0, _RESPONDED, _NUMBER, self.message_id)
        data_set, stated = (0, _DATA_SET, _NUMBER, _NO_DATA_SET), (0, _STATUS, _NUMBER, status)
        numbers = _NUMBERS.pack(*field, *responded, *data_set, *stated)
        body = _text(_CLASS, self.sop_class_uid) + numbers + _text(_INSTANCE, self.sop_instance_uid)
        return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def _elements(command: bytes) -> dict[int, bytes] | None:
    """Return the values of a command set by their element numbers, or None where it is none."""
    found: dict[int, bytes] = {}
    end, whole = 0, len(command)
    while end < whole:
        start = end + _ELEMENT.size
        if start > whole:
            return None
        group, element, size = _ELEMENT.unpack_from(command, end)
        end = start + size
        if group != 0 or end > whole:
            return None
        found[element] = command[start:end]
    return found


def _number(found: dict[int, bytes], element: int) -> int | None:
    value = found.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == _NUMBER else None


def _uid(found: dict[int, bytes], element: int) -> str:
    """Return what stands where a UID belongs, "" where that is no text."""
    value = found.get(element, b"")
    return value.decode("ascii").rstrip("\0 ") if value.isascii() else ""


def _text(element: int, value: str) -> bytes:
    padded = value.encode("ascii") + b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(padded)) + padded
