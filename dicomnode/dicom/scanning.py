"""Find who an object is in the first bytes of its data set, without reading the rest of its header."""

import re
import struct
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cache
from threading import local
from typing import Self

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MediaStorageDirectoryStorage

from dicomnode.dicom.elements import Element, elements_until
from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.prompts.references import KINDS
from dicomnode.domain import Uid, Undescribed, parse_uid
from dicomnode.errors import Refused

SCANNED_BYTES = 1 << 14  # of a data set: its UIDs come in its first groups

_CLASS, _INSTANCE, _MODALITY, _EQUIPMENT = 0x00080016, 0x00080018, 0x00080060, 0x0018A001
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_VRS = {_CLASS: b"UI", _INSTANCE: b"UI", _MODALITY: b"CS", _EQUIPMENT: b"SQ", _STUDY: b"UI", _SERIES: b"UI"}
_LAST = _SERIES
_UID, _WORD = re.compile(rb"[0-9.]+"), re.compile(rb"[A-Z0-9_]*")  # of one value, as are most
_PADDING = b" \0"
_NO_IMAGES: Container[str] = frozenset({*KINDS, MediaStorageDirectoryStorage})

_scanned = local()  # `last`: what this thread scanned; an association, which brings one series as a rule, has its own


def scan(head: bytes, transfer_syntax_uid: str, digest: str) -> Undescribed | None:
    """Return who the object is whose data set begins with `head`, an image by its class.

    None where it may be anything else, or where anything is not as it is as a rule: then it is to be read by
    `describe`, as is what may have been made by dicomnode. It is never another one than `describe` finds.
    """
    last: _Pattern | None = getattr(_scanned, "last", None)
    if last is not None and last.syntax == transfer_syntax_uid and (found := last.next(head, digest)) is not None:
        return found
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    if not (implicit or _is_explicit(transfer_syntax_uid)):
        return None
    elements = elements_until(_LAST, head[:SCANNED_BYTES], explicit=not implicit)
    if elements is None or not all(implicit or one.vr == _VRS.get(one.tag, one.vr) for one in elements):
        return None
    found = _identity({one.tag: head[one.start : one.end] for one in elements if one.tag in _VRS}, digest)
    if found is not None:
        _scanned.last = _Pattern.of(head, elements, found, transfer_syntax_uid)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pattern:
    """How a data set begins, to know the next one by, which is `like` it but for its UID and what is not looked at.

    `fixed` takes out of a head what must be the same: all that says which elements there are and where they end, and
    the values that are sought, without the SOP Instance UID at `own`.
    """

    syntax: str
    fixed: struct.Struct
    same: tuple[bytes, ...]
    own: slice
    like: Undescribed

    @classmethod
    def of(cls, head: bytes, elements: Iterable[Element], like: Undescribed, syntax: str) -> Self:
        """Return the pattern of the `elements` that `head` begins with, by which `like` was found."""
        parts, own = "", slice(0)
        for one in elements:
            if one.tag == _INSTANCE:
                own = slice(one.start, one.end)
            must_be_same = one.ends_itself or (one.tag in _VRS and one.tag != _INSTANCE)
            parts += f"{one.start - one.position}s{one.end - one.start}{'s' if must_be_same else 'x'}"
        fixed = struct.Struct(parts)
        return cls(syntax=syntax, fixed=fixed, same=fixed.unpack_from(head), own=own, like=like)

    def next(self, head: bytes, digest: str) -> Undescribed | None:
        """Return who the object is that begins with `head`, None where that does not follow the pattern."""
        if len(head) < self.fixed.size or self.fixed.unpack_from(head) != self.same:
            return None
        if (uid := _uid(head[self.own])) is None:
            return None
        return Undescribed(
            sop_class_uid=self.like.sop_class_uid,
            sop_instance_uid=uid,
            study_uid=self.like.study_uid,
            series_uid=self.like.series_uid,
            modality=self.like.modality,
            digest=digest,
        )


@cache
def _is_explicit(transfer_syntax_uid: str) -> bool:
    """Return whether a header in the syntax is in Explicit VR Little Endian (PS3.5 A.2, A.4)."""
    uid = UID(transfer_syntax_uid)
    return uid == ExplicitVRLittleEndian or (not uid.is_private and uid.is_transfer_syntax and uid.is_encapsulated)


def _identity(found: dict[int, bytes], digest: str) -> Undescribed | None:
    """Return who the object is of which the sought values were `found`, None where it is to be read whole."""
    if MANUFACTURER.encode() in found.get(_EQUIPMENT, b""):
        return None
    sop_class, sop_instance, study, series = (_uid(found.get(tag, b"")) for tag in (_CLASS, _INSTANCE, _STUDY, _SERIES))
    modality = found.get(_MODALITY, b"").rstrip(_PADDING)
    if sop_class is None or sop_instance is None or study is None or series is None or not _WORD.fullmatch(modality):
        return None
    if sop_class in _NO_IMAGES:
        return None
    return Undescribed(
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        study_uid=study,
        series_uid=series,
        modality=modality.decode("ascii"),
        digest=digest,
    )


def _uid(value: bytes) -> Uid | None:
    """Return the UID that is `value`, None where it is none, of which `describe` says how."""
    text = value.rstrip(_PADDING)
    if not _UID.fullmatch(text):
        return None
    try:
        return parse_uid(text.decode("ascii"), "UID")
    except Refused:
        return None
