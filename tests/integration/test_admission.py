"""Who is let in, how many at once, and while there is room; and what comes of those who only knock."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.network.admission import Limits, Ways
from dicomnode.network.listener import Listener
from dicomnode.store import associations
from dicomnode.store.associations import Most
from dicomnode.store.disk import Disk
from dicomnode.store.events import events
from tests.builders import ct_series
from tests.senders import Notes, Run, data_set_of, until
from tests.wire import ACCEPTED, REJECTED, Wire

CALLED, CALLING, LOCAL_LIMIT = b"\1\1\7", b"\1\1\3", b"\2\3\2"  # result, source, reason (PS3.8 9.3.4)
CT, ECHO = (CTImageStorage, [ExplicitVRLittleEndian]), (Verification, [ExplicitVRLittleEndian])
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
PRIVATE, UNKNOWN = "1.2.826.0.1.3680043.9.9.1", "1.2.840.10008.5.1.4.1.1.999"
QUERY = "1.2.840.10008.5.1.4.1.2.2.1"


class FullDisk(Disk):
    """A disk that is as full as a test says."""

    full = True

    def free_bytes(self) -> int:
        return 0 if self.full else 1 << 40


def rejection(answer: bytes) -> bytes:
    assert answer[0] == REJECTED, answer
    return answer[7:10]


def why(run: Run) -> list[tuple[str, object]]:
    return [(event.who, event.details["reason"]) for event in events(run.desk.database, "association_rejected")]


def test_who_calls_another_is_rejected_for_good_and_that_is_recorded(
    runs: Callable[..., Run], ways: Ways, caplog: pytest.LogCaptureFixture
) -> None:
    run = runs(limits=Limits(check_called_ae=True, ways=ways))
    with Wire(run.listener.port) as wire:
        assert rejection(wire.associate(called="ANOTHER")) == CALLED
    with Wire(run.listener.port) as wire:
        assert wire.associate(called="NODE")[0] == ACCEPTED
    (event,) = events(run.desk.database, "association_rejected")
    assert event.who == "SENDER"
    assert event.details == {"reason": "called_ae_title", "called_ae": "ANOTHER", "peer_host": "127.0.0.1"}
    (line,) = (one.__dict__ for one in caplog.records if one.__dict__.get("action") == "association_rejected")
    assert (line["peer"], line["called"], line["host"]) == ("SENDER", "ANOTHER", "127.0.0.1")


def test_who_may_not_call_is_rejected_for_good(runs: Callable[..., Run], ways: Ways) -> None:
    run = runs(limits=Limits(calling_ae_titles=("CT 1", "CT2"), ways=ways))
    for calling, answer in (("CT2", ACCEPTED), ("CT 1", ACCEPTED), ("CT", REJECTED)):
        with Wire(run.listener.port) as wire:
            assert wire.associate(calling=calling)[0] == answer
    assert why(run) == [("CT", "calling_ae_title")]


@pytest.mark.parametrize("ways", [Ways()], ids=["fast"])
def test_of_64_and_more_associations_at_once_64_are_open_and_the_others_may_come_again(
    ways: Ways,
    runs: Callable[..., Run],
) -> None:
    run = runs(most=Most(in_all=64), limits=Limits(max_associations=64, ways=ways))
    (ds,) = ct_series(planes=1)
    with ExitStack() as connected:
        wires = [connected.enter_context(Wire(run.listener.port)) for _ in range(80)]
        for wire in wires:
            wire.ask()
        answers = [wire.pdu() for wire in wires]
        accepted = [wire for wire, answer in zip(wires, answers, strict=True) if answer[0] == ACCEPTED]
        assert len(accepted) == 64
        assert {rejection(answer) for answer in answers if answer[0] != ACCEPTED} == {LOCAL_LIMIT}
        for wire in accepted:
            wire.begin(str(ds.SOPInstanceUID), data_set_of(ds))
        assert [wire.status() for wire in accepted] == [0x0000] * 64
        accepted[0].release()
        until(lambda: _is_let_in(run.listener))
    assert set(why(run)) == {("SENDER", "too_many_associations")}


def _is_let_in(listener: Listener) -> bool:
    with Wire(listener.port) as wire:
        return wire.associate()[0] == ACCEPTED


def test_one_peer_does_not_take_the_place_of_others(runs: Callable[..., Run]) -> None:
    run = runs(most=Most(in_all=10, of_a_peer=2))
    with ExitStack() as connected:
        wires = [connected.enter_context(Wire(run.listener.port)) for _ in range(4)]
        answers = [wire.associate(calling=name) for wire, name in zip(wires, ["A", "A", "A", "B"], strict=True)]
        assert [answer[0] for answer in answers] == [ACCEPTED, ACCEPTED, REJECTED, ACCEPTED]
        assert rejection(answers[2]) == LOCAL_LIMIT
        wires[0].abort()
        until(lambda: _is_let_in_as(run.listener, "A"))


def _is_let_in_as(listener: Listener, calling: str) -> bool:
    with Wire(listener.port) as wire:
        return wire.associate(calling=calling)[0] == ACCEPTED


def test_what_the_node_fetches_takes_the_place_of_no_caller(runs: Callable[..., Run]) -> None:
    run = runs(most=Most(in_all=1))
    associations.open_association(run.desk.database, "ARCHIVE")  # as a retrieval does
    with Wire(run.listener.port) as wire, Wire(run.listener.port) as another:
        assert wire.associate()[0] == ACCEPTED
        assert another.associate()[0] == REJECTED
        wire.release()


def test_while_the_disk_is_full_objects_are_put_off_and_the_association_stays_usable(
    runs: Callable[..., Run], tmp_path: Path
) -> None:
    disk = FullDisk(tmp_path)
    run = runs(disk=disk, free_bytes=1 << 30)
    (ds,) = ct_series(planes=1)
    uid = str(ds.SOPInstanceUID)
    with Wire(run.listener.port) as wire:
        assert rejection(wire.associate(CT)) == LOCAL_LIMIT
    with Wire(run.listener.port) as wire:
        assert wire.associate(CT, ECHO)[0] == ACCEPTED
        assert wire.store(uid, data_set_of(ds)) == 0xA700
        assert (run.files(), list(run.desk.spool.path("incoming").iterdir())) == ([], [])
        disk.full = False
        assert wire.store(uid, data_set_of(ds)) == 0x0000
        wire.release()
    assert why(run) == [("SENDER", "no_room")]


def test_the_free_bytes_of_a_disk_are_looked_up_once_a_second(tmp_path: Path) -> None:
    now = [0.0]
    disk = Disk(tmp_path, clock=lambda: now[0])
    first = disk.free_bytes()
    assert first > 0
    assert disk.has(0)
    assert disk.has(first)
    assert not disk.has(first + (1 << 50))
    assert not Disk(tmp_path / "gone").has(1)
    (tmp_path / "file").write_bytes(bytes(1 << 24))
    os.sync()
    assert disk.free_bytes() == first
    now[0] = 1.0
    assert disk.free_bytes() != first


@pytest.mark.parametrize("name", [PRIVATE, UNKNOWN])
@pytest.mark.parametrize("unrestricted", [True, False])
def test_a_class_that_nobody_knows_is_taken_only_if_that_is_asked_for(
    runs: Callable[..., Run], ways: Ways, name: str, *, unrestricted: bool
) -> None:
    run = runs(limits=Limits(ways=replace(ways, unrestricted=unrestricted)))
    (ds,) = ct_series(planes=1, SOPClassUID=name)
    with Wire(run.listener.port) as wire:
        answer = wire.associate((name, ["1.2.840.10008.1.2", ExplicitVRLittleEndian]), CT)
        assert answer[0] == ACCEPTED
        if not unrestricted:
            assert b"\x21\0\0\x18\1\0\3\0" in answer or b"\1\0\3\0" in answer  # abstract syntax not supported
            return
        assert ExplicitVRLittleEndian.encode() in answer.split(b"\x21\0")[1]  # ours of the two that were proposed
        assert wire.store(str(ds.SOPInstanceUID), data_set_of(ds), sop_class=name) == 0
        wire.release()
    assert len(run.files()) == 1


def test_a_query_is_no_storage_even_where_all_classes_are(runs: Callable[..., Run], ways: Ways) -> None:
    run = runs(limits=Limits(ways=replace(ways, unrestricted=True)))
    with Wire(run.listener.port) as wire:
        assert b"\1\0\3\0" in wire.associate((QUERY, [ExplicitVRLittleEndian]))


def test_a_label_map_segmentation_is_taken(run: Run) -> None:
    (ds,) = ct_series(planes=1, SOPClassUID=LABEL_MAP, Modality="SEG")
    with Wire(run.listener.port) as wire:
        assert wire.associate((LABEL_MAP, [ExplicitVRLittleEndian]))[0] == ACCEPTED
        assert wire.store(str(ds.SOPInstanceUID), data_set_of(ds), sop_class=LABEL_MAP) == 0
        wire.release()


def test_an_object_of_a_class_without_a_context_is_an_error(run: Run) -> None:
    (ds,) = ct_series(planes=1)
    with Wire(run.listener.port) as wire:
        wire.associate((MRImageStorage, [ExplicitVRLittleEndian]))
        assert wire.store(str(ds.SOPInstanceUID), data_set_of(ds)) == 0xA900


def test_two_hundred_that_connect_and_drop_leave_no_thread_and_no_socket(start: Callable[..., Listener]) -> None:
    listener = start(Notes().hooks(), idle_seconds=30)
    assert _is_let_in(listener)
    until(lambda: threading.active_count() <= before_and(1))
    threads, sockets = threading.active_count(), open_files()
    for _ in range(200):
        socket.create_connection(("127.0.0.1", listener.port)).close()
    assert _is_let_in(listener)
    until(lambda: threading.active_count() <= threads, 20)
    until(lambda: open_files() <= sockets, 20)


def before_and(more: int) -> int:
    """Return how many threads are none of an association, and `more`."""
    return sum("Acceptor" not in one.name and one.name[:7] != "Thread-" for one in threading.enumerate()) + more


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20),  # TLS
        b"\x01\0\xff\xff\xff\xff" + bytes(100),  # an association request of 4 GiB
        b"\x04\0\0\0\0\x08" + bytes(8),  # data before an association
        b"\x01\0\0\0\0\x08" + bytes(8),
        b"\x01\0",
    ],
)
def test_whoever_says_something_else_is_disconnected_and_the_node_goes_on(
    start: Callable[..., Listener], said: bytes
) -> None:
    listener = start(Notes().hooks(), idle_seconds=0.5)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        peer.sendall(said)
        while got := _received(peer):
            assert got[:1] in {b"\7", b"\3"}
    assert _is_let_in(listener)


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(100)
    except ConnectionResetError:
        return b""


def test_a_peer_that_dribbles_its_request_is_dropped(start: Callable[..., Listener]) -> None:
    listener = start(Notes().hooks(), idle_seconds=0.4)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        peer.sendall(b"\x01\0\0\0\x40\0")
        dropped = threading.Event()

        def listen() -> None:
            while _received(peer):
                pass
            dropped.set()

        threading.Thread(target=listen).start()
        while not dropped.wait(0.05):
            try:
                peer.sendall(b"x")
            except OSError:
                break
        assert dropped.wait(10)
    assert _is_let_in(listener)
