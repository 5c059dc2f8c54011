"""Close the connections of pynetdicom's associations, those that were never made, or were broken off, among them."""

import socket
from contextlib import suppress

from pynetdicom.transport import AssociationSocket


def close_always() -> None:
    """Let pynetdicom close each socket that it is done with.

    By itself it closes none that cannot be shut down before, as where nobody listens or where the peer was faster: a
    destination that is away for days would leave one open for each try, until Python collects it.
    """
    AssociationSocket._shutdown_socket = _shut_down_and_close  # type: ignore[method-assign, assignment]  # noqa: SLF001


def _shut_down_and_close(transport: AssociationSocket) -> None:
    connection = transport.socket
    if connection is None:
        return
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.close()
