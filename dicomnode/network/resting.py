"""Let an association that says nothing wait for its socket, which pynetdicom looks at a thousand times a second."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pynetdicom.association import Association

from dicomnode.network.bounded import ASSOCIATED

_AWAKE = 0.1  # seconds of silence in which pynetdicom looks as often as it does by itself
_REST = 50  # milliseconds from then on between two looks; what comes ends them, and what this side says waits for them


def let_rest(assoc: Association) -> None:
    """Let both threads of `assoc` rest where neither side has anything to say; before they start."""
    stock = assoc.dul._is_transport_event  # noqa: SLF001 - the seam
    assoc.dul._is_transport_event = _Resting(assoc, stock).look  # type: ignore[method-assign]  # noqa: SLF001


def socket_between_messages(assoc: Association) -> socket.socket | None:
    """Return the socket of `assoc` where it is associated, and not within a message; None with TLS, too."""
    transport, dimse = assoc.dul.socket, assoc.dimse
    between = dimse.message is None and dimse.msg_queue.empty()
    associated = assoc.is_established and assoc.dul.state_machine.current_state == ASSOCIATED
    connection = transport.socket if transport and between and associated else None
    return connection if type(connection) is socket.socket else None  # one with TLS cannot be looked into


@contextmanager
def halted(assoc: Association) -> Iterator[None]:
    """Let the other thread of `assoc`, which looks for messages every millisecond, wait in here."""
    going = assoc._reactor_checkpoint  # noqa: SLF001 - what it waits at
    going.clear()
    try:
        yield
    finally:
        going.set()


class _Resting:
    """Stands in for `_is_transport_event` of an association's DULServiceProvider, in whose thread it runs."""

    def __init__(self, assoc: Association, stock: Callable[[], bool]) -> None:
        self._assoc = assoc
        self._stock = stock
        self._awake_until = time.monotonic() + _AWAKE

    def look(self) -> bool:
        """Return whether something came, as `stock` does; where nothing did for a while, wait a little for it."""
        connection = socket_between_messages(self._assoc)
        if connection is None or not self._assoc.dul.to_provider_queue.empty():
            self._stay_awake()
        elif time.monotonic() > self._awake_until:
            self._wait(connection)
        found = self._stock()
        if found:
            self._stay_awake()
        return found

    def _stay_awake(self) -> None:
        self._awake_until = time.monotonic() + _AWAKE

    def _wait(self, connection: socket.socket) -> None:
        poll = select.poll()
        with halted(self._assoc), suppress(OSError, ValueError):  # it was closed meanwhile: `stock` sees it
            poll.register(connection, select.POLLIN)
            poll.poll(_REST)
