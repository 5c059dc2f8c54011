"""DICOM unique identifiers, parsed at the boundary."""

import re
from typing import NewType

from dicomnode.errors import Reason, Refused

Uid = NewType("Uid", str)

#: dicomnode's own Implementation Class UID (PS3.7 D.3.3.2), made once under the UUID root (PS3.5 B.2)
IMPLEMENTATION_CLASS_UID = Uid("2.25.426936045551512444532459400234603194")

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64


def parse_uid(text: object, what: str) -> Uid:
    """Return `text` as a UID (PS3.5 9.1: digits and dots, at most 64), or refuse it, naming `what` holds it.

    Leading zeros pass: they are wrong but occur, and identifiers are never repaired.
    """
    value = str(text or "").strip().rstrip("\0")
    if len(value) > _UID_LENGTH or not _UID.fullmatch(value):
        raise Refused(Reason.BAD_UID, what, f"{value[:80]!r} is no UID: 1 to 64 digits and dots are")
    return Uid(value)
