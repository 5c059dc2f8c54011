"""No connection of an association stays open that is done with."""

import inspect
import socket
import struct
import threading

import pytest
from pynetdicom import transport

from dicomnode.errors import PeerUnreachable
from dicomnode.network import echo
from dicomnode.network.associations import Peer

ABORTING = struct.pack("ii", 1, 0)  # SO_LINGER by which a socket that is closed breaks its connection off


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Return the sockets that pynetdicom makes from now on."""
    made: list[socket.socket] = []
    create = transport.AssociationSocket.__dict__["_create_socket"]

    def noted(self: transport.AssociationSocket, address: transport.AddressInformation) -> socket.socket:
        made.append(create(self, address))
        return made[-1]

    monkeypatch.setattr(transport.AssociationSocket, "_create_socket", noted)
    return made


def test_where_nobody_listens_no_socket_is_left_open(opened: list[socket.socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PeerUnreachable):
        echo.echo(Peer(ae_title="GONE", host="127.0.0.1", port=port), "NODE")
    assert [one.fileno() for one in opened] == [-1]


def test_a_peer_that_breaks_off_at_once_leaves_no_socket_open(opened: list[socket.socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        breaking = threading.Thread(target=_take_and_break_off, args=(listening,))
        breaking.start()
        with pytest.raises(PeerUnreachable):
            echo.echo(Peer(ae_title="RUDE", host="127.0.0.1", port=listening.getsockname()[1]), "NODE")
        breaking.join()
    assert [one.fileno() for one in opened] == [-1]


def test_pynetdicom_closes_its_sockets_in_one_place() -> None:
    source = inspect.getsource(transport.AssociationSocket)
    assert source.count("self._shutdown_socket()") == 2  # of a connection that failed, and of one that ends
    assert list(inspect.signature(transport.AssociationSocket.__dict__["_shutdown_socket"]).parameters) == ["transport"]


def _take_and_break_off(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)
    connection.close()
