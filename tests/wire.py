"""A peer that says on the wire what it is told, byte by byte, whether it may be said or not (PS3.8 9.3)."""

import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from dicomnode.domain import IMPLEMENTATION_CLASS_UID

ACCEPTED, REJECTED, DATA, RELEASED, ABORTED = 2, 3, 4, 6, 7
COMMAND, LAST = 1, 2
A_RELEASE_RQ = struct.pack(">BxL4x", 5, 4)


class Wire:
    """A connection to a listener on this machine."""

    def __init__(self, port: int, timeout: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def associate(self, *contexts: tuple[str, Sequence[str]], calling: str = "SENDER", called: str = "NODE") -> bytes:
        """Ask for an association, of CT in Explicit VR Little Endian if nothing is said; return the answer."""
        self.ask(*contexts, calling=calling, called=called)
        return self.pdu()

    def ask(self, *contexts: tuple[str, Sequence[str]], calling: str = "SENDER", called: str = "NODE") -> None:
        """Ask for an association, and do not wait for the answer."""
        self.socket.sendall(request(contexts or ((CTImageStorage, [ExplicitVRLittleEndian]),), calling, called))

    def pdu(self) -> bytes:
        """Return the next PDU of the peer, b"" where it closed the connection."""
        head = self._exactly(6)
        return head + self._exactly(int.from_bytes(head[2:6], "big")) if len(head) == 6 else b""

    def status(self) -> int:
        """Return the status of a C-STORE response."""
        answer = self.pdu()
        assert answer[:1] == bytes([DATA]), answer[:10]
        at = answer.index(b"\0\0\0\x09\x02\0\0\0")  # (0000,0900), two bytes
        return int.from_bytes(answer[at + 8 : at + 10], "little")

    def send(self, *pdvs: bytes) -> None:
        """Send a P-DATA-TF PDU."""
        self.socket.sendall(p_data(*pdvs))

    def store(self, uid: str, data_set: bytes, *, pdv: int = 16000, sop_class: str = CTImageStorage) -> int:
        """Send `data_set` as the object `uid` in fragments of `pdv` bytes; return the status."""
        self.begin(uid, data_set, pdv=pdv, sop_class=sop_class)
        return self.status()

    def begin(self, uid: str, data_set: bytes, *, pdv: int = 16000, sop_class: str = CTImageStorage) -> None:
        """Send `data_set` likewise, and do not wait for the response."""
        self.send(store_request(uid, sop_class))
        for fragment in fragments(data_set, pdv):
            self.send(fragment)

    def release(self) -> None:
        """Release the association."""
        self.socket.sendall(A_RELEASE_RQ)
        assert self.pdu()[:1] == bytes([RELEASED])

    def abort(self) -> None:
        """Abort the association."""
        self.socket.sendall(struct.pack(">BxL4x", 7, 4))

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size and (more := self.socket.recv(size - len(got))):
            got += more
        return got


def request(contexts: Sequence[tuple[str, Sequence[str]]], calling: str, called: str) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU."""
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = calling, called
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    asked.user_information = [length, implementation]
    asked.presentation_context_definition_list = []
    for number, (name, syntaxes) in enumerate(contexts):
        context = build_context(name, list(syntaxes))
        context.context_id = 2 * number + 1
        asked.presentation_context_definition_list = [*asked.presentation_context_definition_list, context]
    pdu = A_ASSOCIATE_RQ(asked)
    return pdu.encode()


def p_data(*pdvs: bytes) -> bytes:
    """Return a P-DATA-TF PDU."""
    content = b"".join(pdvs)
    return struct.pack(">BxL", DATA, len(content)) + content


def pdv(content: bytes, control: int, context_id: int = 1) -> bytes:
    """Return a presentation data value item."""
    return struct.pack(">LBB", len(content) + 2, context_id, control) + content


def store_command(uid: str, sop_class: str = CTImageStorage, message_id: int = 7) -> bytes:
    """Return the command set of a C-STORE request."""
    elements = [
        _element(0x0002, _padded(sop_class)),
        _element(0x0100, b"\1\0"),
        _element(0x0110, message_id.to_bytes(2, "little")),
        _element(0x0700, b"\2\0"),
        _element(0x0800, b"\1\0"),
        _element(0x1000, _padded(uid)),
    ]
    body = b"".join(elements)
    return _element(0, len(body).to_bytes(4, "little")) + body


def store_request(uid: str, sop_class: str = CTImageStorage, context_id: int = 1) -> bytes:
    """Return the command of a C-STORE request in a PDV."""
    return pdv(store_command(uid, sop_class), COMMAND | LAST, context_id)


def fragments(data_set: bytes, size: int, context_id: int = 1) -> Iterable[bytes]:
    """Yield `data_set` in PDVs with `size` bytes of it each."""
    for start in range(0, len(data_set), size):
        yield pdv(data_set[start : start + size], LAST * (start + size >= len(data_set)), context_id)


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
