"""Put the header of a DICOM file before a data set as it was received (PS3.10 7.1)."""

from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, Uid, parse_uid
from dicomnode.errors import Reason, Refused

IMPLEMENTATION_VERSION_NAME = "DICOMNODE"

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
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(request.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(request.sop_instance_uid)
    meta.TransferSyntaxUID = UID(request.transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return _encode(meta, complete=True)


def anonymous_header(transfer_syntax_uid: Uid) -> bytes:
    """Return a header that says how to read the data set, so that its identity can come from itself alone."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return _encode(meta, complete=False)


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


def _meta_length(content: bytes) -> int:
    """Return where the data set begins, by the group length, which is required and comes first (PS3.10 7.1)."""
    if content[128:_GROUP_LENGTH_ENDS].startswith(_BEGINS) and len(content) >= _GROUP_LENGTH_ENDS:
        return _GROUP_LENGTH_ENDS + int.from_bytes(content[_GROUP_LENGTH_ENDS - 4 : _GROUP_LENGTH_ENDS], "little")
    raise _unreadable("its file meta information does not begin with its length")


def _unreadable(why: str) -> Refused:
    return Refused(Reason.UNREADABLE, "a retrieved file", why)


def _encode(meta: FileMetaDataset, *, complete: bool) -> bytes:
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=complete)
    return b"\0" * 128 + b"DICM" + buffer.getvalue()
