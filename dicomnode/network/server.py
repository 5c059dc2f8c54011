"""Listen, and hand each connection to pynetdicom."""

import math
import socket
import socketserver
import struct
import time
from typing import Any, Self, cast

from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from dicomnode.errors import Unavailable

SPARE_CONNECTIONS = (
    64  # connections beyond the associations that may be open: those to be rejected, and who only connects
)


class Server(ThreadedAssociationServer):
    """pynetdicom's server with the socket options that accepted sockets inherit; it binds, or inherits a socket."""

    request_queue_size = 128

    def __init__(self, *args: Any, inherited: socket.socket | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - pynetdicom's
        self._inherited = inherited
        super().__init__(*args, **kwargs)
        self.contexts = _Shared(self.contexts)

    def server_bind(self) -> None:
        """Answer without waiting for more to send, and give up on a peer that stalls in the middle of a PDU."""
        if self._inherited is not None:
            cast("socket.socket", self.socket).close()
            self.socket = self._inherited
            self.server_address = self.socket.getsockname()
            self.socket.settimeout(0)  # another process may be faster
            return
        super().server_bind()
        prepare(cast("socket.socket", self.socket), self.ae.network_timeout or 0)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401, ARG002 - socketserver's
        """Return whether there may be another connection; they have threads before they have asked for anything."""
        return len(self.active_associations) < self.ae.maximum_associations

    def shutdown(self) -> None:
        """Stop accepting."""
        socketserver.BaseServer.shutdown(self)
        if self._inherited is None:
            self.server_close()
        else:  # the others go on with the same socket: it is closed, not shut down
            self._inherited.close()

    def wait_for_the_end(self, patience: float) -> None:
        """Return when no association is open any more, or after `patience` seconds."""
        deadline = time.monotonic() + patience
        while self.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)

    def hang_up(self) -> None:
        """Break off the connections that are left, whatever their threads are waiting for."""
        for assoc in self.active_associations:
            transport = assoc.dul.socket
            connection = transport.socket if transport else None
            if connection is not None:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the peer was faster
                    continue


class _Shared(list[PresentationContext]):
    """Contexts that associations share: pynetdicom copies those of a server for each connection, and only reads."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the same ones: to copy 170 classes with 45 syntaxes each takes 30 ms."""
        return self


def bind(host: str, port: int, patience: float) -> socket.socket:
    """Return a socket that listens, for several processes to accept from; reading waits for `patience` seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=Server.request_queue_size)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host} port {port}: {error.strerror}") from error
    prepare(listening, patience)
    return listening


def prepare(listening: socket.socket, patience: float) -> None:
    """Set the options that accepted sockets inherit; reading waits for `patience` seconds."""
    fraction, seconds = math.modf(patience)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(fraction * 1e6)))
