"""Read no more of a PDU than was agreed, and wait for no part of it longer than for a silent peer."""

import socket

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

ASSOCIATED = "Sta6"  # the state of the upper layer in which data come (PS3.8 9.2.2)
_MOST_ASKED = 1 << 20  # bytes of a PDU before that: 128 contexts with 64 syntaxes each have half as many (PS3.8 9.3.2)


def bound(assoc: Association, max_pdu_bytes: int) -> None:
    """Let `assoc` read by `Bounded` what it reads of its peer."""
    transport = assoc.dul.socket
    if transport is None:
        raise RuntimeError("the association has no connection")
    transport.recv = Bounded(assoc, transport, max_pdu_bytes).recv  # type: ignore[method-assign]


class Bounded:
    """Stands in for `recv` of pynetdicom's AssociationSocket, which reads up to 4 GiB and waits anew for each byte.

    The connection's SO_RCVTIMEO is for a call as a whole: the kernel counts it down while it waits for all the bytes.
    """

    def __init__(self, assoc: Association, transport: AssociationSocket, max_pdu_bytes: int) -> None:
        self._assoc = assoc
        self._transport = transport
        self._most = max_pdu_bytes

    def recv(self, nr_bytes: int) -> bytearray:
        """Return the next `nr_bytes` of the peer, fewer where it breaks off; raise OSError where they are too many."""
        associated = self._assoc.dul.state_machine.current_state == ASSOCIATED
        most = self._most if associated else max(self._most, _MOST_ASKED)
        connection = self._transport.socket
        if connection is None or nr_bytes > most:
            raise ConnectionAbortedError(f"a PDU of {nr_bytes} bytes, at most {most} are read")
        received = bytearray(nr_bytes)
        size = connection.recv_into(received, nr_bytes, socket.MSG_WAITALL)
        return received[:size]
