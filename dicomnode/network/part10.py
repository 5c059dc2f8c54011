"""Put the header of a DICOM file before a data set as it was received (PS3.10 7.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, Uid, parse_uid
from dicomnode.errors import Reason, Refused

IMPLEMENTATION_VERSION_NAME = "DICOMNODE"

_PADDING: Mapping[bytes, bytes] = {b"UI": b"\0", b"SH": b" ", b"OB": b"\0", b"UL": b""}  # PS3.5 6.2
_BEGINS = b"DICM\x02\x00\x00\x00UL\x04\x00"  # after the preamble: (0002,0000), in Explicit VR Little Endian
_GROUP_LENGTH_ENDS = 144


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreRequest:
    """One C-STORE request as its command says it, parsed (PS3.7 9.1.1), and who sent it in which association."""

    sop_class_uid: Uid
    sop_instance_uid: Uid
    transfer_syntax_uid: Uid
    peer_ae: str
    association_id: int

    def must_name(self, sop_class_uid: Uid, sop_instance_uid: Uid) -> None:
        """Refuse a data set that calls itself something else than the command did."""
        named, found = (self.sop_class_uid, self.sop_instance_uid), (sop_class_uid, sop_instance_uid)
        if named != found:
            detail = f"the command names {' '.join(named)}, the data set {' '.join(found)}"
            raise Refused(Reason.UID_MISMATCH, f"object {self.sop_instance_uid}", detail)


def header_of(request: StoreRequest) -> bytes:
    """Return preamble and file meta information; the same object by whatever peer gets the same bytes."""
    return _header(
        (0x0001, b"OB", b"\0\1"),  # File Meta Information Version
        (0x0002, b"UI", request.sop_class_uid),
        (0x0003, b"UI", request.sop_instance_uid),
        (0x0010, b"UI", request.transfer_syntax_uid),
        (0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
        (0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
    )


@cache
def anonymous_header(transfer_syntax_uid: Uid) -> bytes:
    """Return a header that says how to read the data set, so that its identity can come from itself alone."""
    return _header((0x0010, b"UI", transfer_syntax_uid))


def request_of(content: bytes, peer_ae: str, association_id: int) -> tuple[StoreRequest, bytes]:
    """Return the Part 10 file `content` as the request that would have brought it, and its data set as it is."""
    length = _meta_length(content)
    try:
        meta = dcmread(BytesIO(content[:length])).file_meta
    except (InvalidDicomError, EOFError, OSError, ValueError) as error:
        raise _unreadable(type(error).__name__) from error
    request = StoreRequest(
        sop_class_uid=parse_uid(meta.get("MediaStorageSOPClassUID"), "file meta, MediaStorageSOPClassUID"),
        sop_instance_uid=parse_uid(meta.get("MediaStorageSOPInstanceUID"), "file meta, MediaStorageSOPInstanceUID"),
        transfer_syntax_uid=parse_uid(meta.get("TransferSyntaxUID"), "file meta, TransferSyntaxUID"),
        peer_ae=peer_ae,
        association_id=association_id,
    )
    return request, content[length:]


def _header(*elements: tuple[int, bytes, str | bytes]) -> bytes:
    body = b"".join(_element(*element) for element in elements)
    return b"\0" * 128 + b"DICM" + _element(0, b"UL", len(body).to_bytes(4, "little")) + body


@lru_cache(maxsize=256)  # but for the instance, the same of one object and the next
def _element(number: int, vr: bytes, value: str | bytes) -> bytes:
    """Return an element of group 0002, in Explicit VR Little Endian (PS3.10 7.1, PS3.5 7.1.2)."""
    content = value if isinstance(value, bytes) else value.encode("ascii")
    content += _PADDING[vr] * (len(content) % 2)
    length = b"\0\0" + len(content).to_bytes(4, "little") if vr == b"OB" else len(content).to_bytes(2, "little")
    return b"\2\0" + number.to_bytes(2, "little") + vr + length + content


def _meta_length(content: bytes) -> int:
    """Return where the data set begins, by the group length, which is required and comes first (PS3.10 7.1)."""
    if content[128:_GROUP_LENGTH_ENDS].startswith(_BEGINS) and len(content) >= _GROUP_LENGTH_ENDS:
        return _GROUP_LENGTH_ENDS + int.from_bytes(content[_GROUP_LENGTH_ENDS - 4 : _GROUP_LENGTH_ENDS], "little")
    raise _unreadable("its file meta information does not begin with its length")


def _unreadable(why: str) -> Refused:
    return Refused(Reason.UNREADABLE, "a retrieved file", why)
