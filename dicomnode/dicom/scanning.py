"""Find who an object is in the first bytes of its data set, without reading the rest of its header."""

import re
import struct
from functools import cache

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MediaStorageDirectoryStorage

from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.prompts.references import KINDS
from dicomnode.domain import Undescribed, parse_uid
from dicomnode.errors import Refused

SCANNED_BYTES = 1 << 14  # of a data set: its UIDs come in its first groups

_CLASS, _INSTANCE, _MODALITY, _EQUIPMENT = 0x00080016, 0x00080018, 0x00080060, 0x0018A001
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_VRS = {_CLASS: b"UI", _INSTANCE: b"UI", _MODALITY: b"CS", _EQUIPMENT: b"SQ", _STUDY: b"UI", _SERIES: b"UI"}
_FIRST = 0x00080000
_ITEM, _ENDS, _ITEM_ENDS = 0xFFFEE000, 0xFFFEE0DD, b"\xfe\xff\x0d\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF  # a length
_DEEPEST = 8  # of sequences in one another
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())  # PS3.5 7.1.2
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_EXPLICIT, _IMPLICIT, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L")
_HEAD_SIZE = 8  # bytes of either
_TEXT = re.compile(rb"[A-Z0-9_.]*")  # of a UID or a modality
_PADDING = b" \0"


def scan(head: bytes, transfer_syntax_uid: str, digest: str) -> Undescribed | None:
    """Return who the object is whose data set begins with `head`, an image by its class.

    None where it may be anything else, or where anything is not as it is as a rule: then it is to be read by
    `describe`, as is what may have been made by dicomnode. It is never another one than `describe` finds.
    """
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    readable = implicit or _is_explicit(transfer_syntax_uid)
    found = _sought(head[:SCANNED_BYTES], explicit=not implicit) if readable else None
    if found is None or MANUFACTURER.encode() in found.get(_EQUIPMENT, b""):
        return None
    values = {tag: found.get(tag, b"").rstrip(_PADDING) for tag in (_CLASS, _INSTANCE, _MODALITY, _STUDY, _SERIES)}
    if not all(map(_TEXT.fullmatch, values.values())):
        return None
    words = {tag: value.decode("ascii") for tag, value in values.items()}
    if words[_CLASS] in KINDS or words[_CLASS] == MediaStorageDirectoryStorage:
        return None
    try:
        return Undescribed(
            sop_class_uid=parse_uid(words[_CLASS], "SOPClassUID"),
            sop_instance_uid=parse_uid(words[_INSTANCE], "SOPInstanceUID"),
            study_uid=parse_uid(words[_STUDY], "StudyInstanceUID"),
            series_uid=parse_uid(words[_SERIES], "SeriesInstanceUID"),
            modality=words[_MODALITY],
            digest=digest,
        )
    except Refused:  # `describe` says how
        return None


@cache
def _is_explicit(transfer_syntax_uid: str) -> bool:
    """Return whether a header in the syntax is in Explicit VR Little Endian (PS3.5 A.2, A.4)."""
    uid = UID(transfer_syntax_uid)
    return uid == ExplicitVRLittleEndian or (not uid.is_private and uid.is_transfer_syntax and uid.is_encapsulated)


def _sought(head: bytes, *, explicit: bool) -> dict[int, bytes] | None:
    """Return the values of the elements sought, None where one before the last of them is unusual.

    Each must have a known VR, an end, and a higher tag than the one before it (PS3.5 7.1). One with a VR has, read as
    one without, a length beyond what is scanned.
    """
    found: dict[int, bytes] = {}
    before, position = _FIRST - 1, 0
    while before != _SERIES:
        if (element := _element(head, position, explicit=explicit, depth=0)) is None:
            return None
        tag, vr, start, position = element
        if not before < tag <= _SERIES:
            return None
        if tag in _VRS:
            if explicit and vr != _VRS[tag]:
                return None
            found[tag] = head[start:position]
        before = tag
    return found


def _element(head: bytes, position: int, *, explicit: bool, depth: int) -> tuple[int, bytes, int, int] | None:
    """Return tag and VR of the element at `position`, and where its value begins and ends, None where it is odd."""
    start = position + _HEAD_SIZE
    if start + _LENGTH.size > len(head):
        return None
    vr = b"SQ"
    if explicit:
        group, element, vr, size = _EXPLICIT.unpack_from(head, position)
        if vr in _LONG:
            (size,) = _LENGTH.unpack_from(head, start)
            start += _LENGTH.size
        elif vr not in _SHORT:
            return None
    else:
        group, element, size = _IMPLICIT.unpack_from(head, position)
    if size != _UNDEFINED:
        end: int | None = start + size
    else:
        end = _end_of_items(head, start, explicit=explicit, depth=depth) if vr == b"SQ" else None
    return None if end is None or end > len(head) else (group << 16 | element, vr, start, end)


def _end_of_items(head: bytes, position: int, *, explicit: bool, depth: int) -> int | None:
    """Return where the sequence ends whose items begin at `position`, by its delimiter (PS3.5 7.5)."""
    while depth < _DEEPEST and position + _HEAD_SIZE <= len(head):
        group, element, size = _IMPLICIT.unpack_from(head, position)
        tag, position = group << 16 | element, position + _HEAD_SIZE
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
            position = inner[-1]
        position += _HEAD_SIZE
    return None
