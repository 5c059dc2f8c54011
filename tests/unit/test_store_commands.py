from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import decode, encode

from dicomnode.domain import Uid
from dicomnode.network.commands import StoreCommand
from dicomnode.network.part10 import StoreRequest, anonymous_header, header_of

UIDS = ("1.2.3", "1.2.34", "1.2.840.10008." + "1" * 50)


def encoded(message: DIMSEMessage, primitive: C_STORE | C_ECHO) -> bytes:
    """Return the command set of `primitive` as pynetdicom encodes it."""
    message.primitive_to_message(primitive)
    command = encode(message.command_set, is_implicit_vr=True, is_little_endian=True)
    assert command is not None
    return command


def request(uid: str, message_id: int) -> C_STORE:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, uid
    primitive.DataSet = BytesIO(b"anything")
    return primitive


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("message_id", [1, 255, 256, 65535])
def test_a_request_is_read_as_pynetdicom_writes_it(uid: str, message_id: int) -> None:
    primitive = request(uid, message_id)
    primitive.MoveOriginatorApplicationEntityTitle, primitive.MoveOriginatorMessageID = "MOVER", 3
    assert StoreCommand.parse(encoded(C_STORE_RQ(), primitive)) == StoreCommand(
        sop_class_uid=CTImageStorage, sop_instance_uid=uid, message_id=message_id
    )


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("message_id", [1, 255, 65535])
@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xA900, 0xC003])
def test_a_response_is_written_as_pynetdicom_writes_it(uid: str, message_id: int, status: int) -> None:
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo, primitive.Status = message_id, status
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, uid
    command = StoreCommand(sop_class_uid=CTImageStorage, sop_instance_uid=uid, message_id=message_id)
    assert command.response(status) == encoded(C_STORE_RSP(), primitive)


def test_what_is_no_whole_request_is_left_to_pynetdicom() -> None:
    whole = encoded(C_STORE_RQ(), request("1.2.3", 1))
    echo = C_ECHO()
    echo.MessageID = 1
    without_data = whole.replace(b"\0\0\0\x08\2\0\0\0\1\0", b"\0\0\0\x08\2\0\0\0\1\1")
    assert without_data != whole
    odd = [encoded(C_ECHO_RQ(), echo), without_data, b"", whole[:-1], whole[:3], b"\x08" + whole[1:]]
    odd += [whole.replace(b"1.2.3\0", b""), whole.replace(b"1.2.3\0", b"1.2.\xff\0")]
    assert [StoreCommand.parse(command) for command in odd] == [None] * len(odd)
    assert decode(BytesIO(whole), is_implicit_vr=True, is_little_endian=True).CommandField == 1


@pytest.mark.parametrize("uid", UIDS)
def test_a_header_is_read_back_by_pydicom(uid: str) -> None:
    asked = StoreRequest(
        sop_class_uid=Uid(CTImageStorage),
        sop_instance_uid=Uid(uid),
        transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"),
        peer_ae="PEER",
        association_id=1,
    )
    meta = dcmread(BytesIO(header_of(asked))).file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CTImageStorage, uid)
    assert (meta.TransferSyntaxUID, meta.FileMetaInformationVersion) == ("1.2.840.10008.1.2.1", b"\0\1")
    assert meta.FileMetaInformationGroupLength == len(header_of(asked)) - 144
    assert (meta.ImplementationVersionName, len(meta)) == ("DICOMNODE", 7)
    anonymous = dcmread(BytesIO(anonymous_header(asked.transfer_syntax_uid)))
    assert (anonymous, len(anonymous.file_meta)) == (Dataset(), 2)
