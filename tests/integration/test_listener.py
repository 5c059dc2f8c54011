import socket
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from threading import enumerate as enumerate_threads

import pytest
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, AssociationEnd
from dicomnode.errors import Unavailable
from dicomnode.network.listener import Listener
from tests.builders import ct_series
from tests.senders import Notes, Run, associate, data_set_of, until
from tests.wire import A_RELEASE_RQ, Wire


def test_an_echo_is_answered(start: Callable[..., Listener]) -> None:
    assoc = associate(start(Notes().hooks()), Verification)
    assert assoc.send_c_echo().Status == 0x0000
    assoc.release()


def test_the_node_names_its_own_implementation(start: Callable[..., Listener]) -> None:
    assoc = associate(start(Notes().hooks()))
    assert str(assoc.acceptor.implementation_class_uid) == IMPLEMENTATION_CLASS_UID
    assert assoc.acceptor.implementation_version_name == "DICOMNODE"
    assert assoc.acceptor.maximum_length == 131072
    assoc.release()


def test_an_association_that_is_released_is_told_so(start: Callable[..., Listener]) -> None:
    notes = Notes()
    associate(start(notes.hooks())).release()
    until(lambda: notes.closed)
    assert (notes.opened, notes.closed) == (["SENDER"], [AssociationEnd.RELEASED])


def test_an_association_that_is_aborted_is_told_so(start: Callable[..., Listener]) -> None:
    notes = Notes()
    associate(start(notes.hooks())).abort()
    until(lambda: notes.closed)
    assert notes.closed == [AssociationEnd.ABORTED]


def test_an_association_that_ended_without_a_word_is_told_as_lost(start: Callable[..., Listener]) -> None:
    notes = Notes()
    listener = start(notes.hooks())
    assoc = associate(listener)
    (accepted,) = (thread for thread in enumerate_threads() if isinstance(thread, Association) and thread.is_acceptor)
    listener.reap()
    assert notes.closed == []
    accepted.kill()
    accepted.join(timeout=5)
    listener.reap()
    assert notes.closed == [AssociationEnd.LOST]
    assoc.abort()


def test_an_end_that_could_not_be_recorded_is_recorded_later_as_what_it_was(start: Callable[..., Listener]) -> None:
    notes, tried = Notes(), Event()

    def close(number: int, ended: AssociationEnd) -> None:
        if not tried.is_set():
            tried.set()
            raise Unavailable("the disk is full")
        notes.close(number, ended)

    listener = start(replace(notes.hooks(), closed=close))
    associate(listener).release()
    assert tried.wait(5)

    def reaped() -> list[AssociationEnd]:
        listener.reap()
        return notes.closed

    until(reaped)
    assert notes.closed == [AssociationEnd.RELEASED]


def test_a_peer_that_releases_and_hangs_up_at_once_has_released(run: Run) -> None:
    (ds,) = ct_series(planes=1)
    wire = Wire(run.listener.port)
    wire.associate()
    assert wire.store(str(ds.SOPInstanceUID), data_set_of(ds)) == 0
    wire.socket.sendall(A_RELEASE_RQ)
    wire.socket.close()
    until(lambda: ends(run) != [None])
    assert ends(run) == [AssociationEnd.RELEASED.value]


def ends(run: Run) -> list[str | None]:
    with run.desk.database.read() as connection:
        return list(connection.exec_driver_sql("SELECT ended FROM association").scalars())


def test_a_peer_that_goes_silent_is_aborted(start: Callable[..., Listener]) -> None:
    notes = Notes()
    assoc = associate(start(notes.hooks(), idle_seconds=0.3))
    until(lambda: notes.closed)
    assert notes.closed == [AssociationEnd.ABORTED]
    until(lambda: assoc.is_aborted)


def test_a_peer_that_stalls_within_a_pdu_is_dropped(start: Callable[..., Listener]) -> None:
    listener = start(Notes().hooks(), idle_seconds=0.3)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as peer:
        peer.sendall(b"\x01\x00\x00\x00")  # four of the six bytes that begin an A-ASSOCIATE-RQ
        assert peer.recv(1) == b""


def test_a_port_that_is_taken_is_unavailable(start: Callable[..., Listener]) -> None:
    listener = start(Notes().hooks())
    with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1 port {listener.port}: Address already in use"):
        Listener("NODE", ("127.0.0.1", listener.port), Notes().hooks())


def test_a_stop_lets_an_association_end(start: Callable[..., Listener]) -> None:
    notes = Notes()
    listener = start(notes.hooks())
    assoc = associate(listener)
    stopping = Thread(target=listener.stop, args=(10.0,))
    stopping.start()
    assert int(assoc.send_c_store(ct_series(planes=1)[0]).Status) == 0
    assoc.release()
    stopping.join(timeout=5)
    assert not stopping.is_alive()
    assert notes.closed == [AssociationEnd.RELEASED]


def test_a_stop_aborts_an_association_that_does_not_end(start: Callable[..., Listener]) -> None:
    notes = Notes()
    listener = start(notes.hooks())
    assoc = associate(listener)
    listener.stop(patience=0.1)
    assert notes.closed == [AssociationEnd.ABORTED]
    until(lambda: assoc.is_aborted)
