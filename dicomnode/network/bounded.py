"""Read no more of a PDU than was agreed, hold no more of a message than may be, and wait no longer than for silence."""

import socket
from io import BytesIO

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

ASSOCIATED = "Sta6"  # the state of the upper layer in which data come (PS3.8 9.2.2)
_MOST_COMMANDED = 1 << 16  # bytes of a command set: UIDs, numbers and AE titles (PS3.7 annex E)
_MOST_ASKED = 1 << 20  # bytes of a PDU before that: 128 contexts with 64 syntaxes each have half as many (PS3.8 9.3.2)


def bound(assoc: Association, max_pdu_bytes: int, max_object_bytes: int) -> None:
    """Let `assoc` read by `Bounded` what it reads of its peer."""
    transport = assoc.dul.socket
    if transport is None:
        raise RuntimeError("the association has no connection")
    transport.recv = Bounded(assoc, transport, max_pdu_bytes, max_object_bytes).recv  # type: ignore[method-assign]


class Bounded:
    """Stands in for `recv` of pynetdicom's AssociationSocket, which reads up to 4 GiB and waits anew for each byte.

    What pynetdicom gathers of a message in memory is bounded, too: of a data set it gets one byte more than may be, by
    which it is seen to be too large. The connection's SO_RCVTIMEO is for a call as a whole: the kernel counts it down
    while it waits for all the bytes.
    """

    def __init__(
        self, assoc: Association, transport: AssociationSocket, max_pdu_bytes: int, max_object_bytes: int
    ) -> None:
        self._assoc = assoc
        self._transport = transport
        self._most = max_pdu_bytes
        self._most_held = max_object_bytes + 1

    def recv(self, nr_bytes: int) -> bytearray:
        """Return the next `nr_bytes` of the peer, fewer where it breaks off; raise OSError where they are too many."""
        self._bound_message()
        associated = self._assoc.dul.state_machine.current_state == ASSOCIATED
        most = self._most if associated else max(self._most, _MOST_ASKED)
        connection = self._transport.socket
        if connection is None or nr_bytes > most:
            raise ConnectionAbortedError(f"a PDU of {nr_bytes} bytes, at most {most} are read")
        received = bytearray(nr_bytes)
        size = connection.recv_into(received, nr_bytes, socket.MSG_WAITALL)
        return received[:size]

    def _bound_message(self) -> None:
        message = self._assoc.dimse.message
        if message is None:
            return
        if message.encoded_command_set.tell() > _MOST_COMMANDED:
            raise ConnectionAbortedError(f"a command of more than {_MOST_COMMANDED} bytes")
        if type(message.data_set) is BytesIO:
            message.data_set = _Held(self._most_held, message.data_set.getvalue())


class _Held(BytesIO):
    """The first `most` bytes of what is written."""

    def __init__(self, most: int, begun: bytes) -> None:
        super().__init__()
        self._most = most
        self.write(begun)

    def write(self, data: bytes) -> int:  # type: ignore[override]  # all that pynetdicom writes
        """Write what still fits; return the number of all bytes, as if they did."""
        super().write(data[: self._most - self.tell()])
        return len(data)
