"""The statuses of C-STORE: which we answer, and what those of a peer mean (PS3.4 B.2.3, PS3.7 annex C)."""

from collections.abc import Mapping
from enum import IntEnum

from dicomnode.errors import ClassRefused, PeerUnreachable, Reason, Refused


class Status(IntEnum):
    """What the listener answers to C-STORE."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700  # the sender keeps it and tries again
    MISMATCH = 0xA900  # the command and the data set do not name the same object
    CANNOT_UNDERSTAND = 0xC000
    MISSING_UID = 0xC001
    TOO_LARGE = 0xC002
    UID_CONFLICT = 0xC003


_STATUS_OF: Mapping[Reason, Status] = {
    Reason.MISSING_UID: Status.MISSING_UID,
    Reason.UID_MISMATCH: Status.MISMATCH,
    Reason.LIMIT: Status.TOO_LARGE,
    Reason.UID_CONFLICT: Status.UID_CONFLICT,
}


_WARNINGS = range(0xB000, 0xC000)
_NO_ROOM = range(0xA700, 0xA800)
_CLASS_NOT_SUPPORTED = 0x0122


def status_of(error: Refused) -> Status:
    """Return the status that tells a sender why its object was refused."""
    return _STATUS_OF.get(error.reason, Status.CANNOT_UNDERSTAND)


def check_status(status: int, peer: str, what: str) -> None:
    """Return if the peer took the object (0x0000, or a warning, 0xBxxx); else raise what is to be done about it.

    0xA7xx (out of resources) is worth another try, every other failure is final; 0x0122 is one of the class alone.
    """
    if status == Status.SUCCESS or status in _WARNINGS:
        return
    if status in _NO_ROOM:
        raise PeerUnreachable(f"{peer} has no room for {what}: status 0x{status:04X}")
    if status == _CLASS_NOT_SUPPORTED:
        raise ClassRefused(what, f"{peer} answered status 0x{status:04X}: it takes no objects of this class")
    raise Refused(Reason.PEER_REFUSED, what, f"{peer} answered status 0x{status:04X}")
