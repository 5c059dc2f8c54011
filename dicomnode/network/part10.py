"""Put the header of a DICOM file before a data set as it was received (PS3.10 7.1)."""

from dataclasses import dataclass

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, Uid
from dicomnode.errors import Reason, Refused

IMPLEMENTATION_VERSION_NAME = "DICOMNODE"


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


def _encode(meta: FileMetaDataset, *, complete: bool) -> bytes:
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=complete)
    return b"\0" * 128 + b"DICM" + buffer.getvalue()
