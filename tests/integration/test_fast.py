"""What both ways in do alike on the wire, that the fast one is taken, and what of pynetdicom it leans on."""

import inspect
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, association, dimse_messages, dul, evt, transport
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.domain import AssociationEnd
from dicomnode.network.admission import Limits, Ways
from dicomnode.network.listener import Listener
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.storing import Chunk
from dicomnode.store.events import events
from tests.builders import STUDY, ct_series
from tests.senders import Notes, Run, associate, data_set_of, store, until
from tests.wire import ABORTED, ACCEPTED, COMMAND, LAST, Wire, fragments, p_data, pdv, store_command, store_request

if TYPE_CHECKING:
    from io import BytesIO

UID = f"{STUDY}.2.1"


@pytest.fixture
def data_set() -> bytes:
    (ds,) = ct_series(planes=1, shape=(256, 256))
    assert ds.SOPInstanceUID == UID
    return data_set_of(ds)


def ends(run: Run) -> list[tuple[str | None, str | None, str | None]]:
    """Return of each association how it ended, whom it called, and from where."""
    with run.desk.database.read() as connection:
        found = connection.exec_driver_sql("SELECT ended, called_ae, peer_host FROM association ORDER BY id").all()
    return [(row[0], row[1], row[2]) for row in found]


def end_of(run: Run) -> str:
    """Return how the first association ended, "" while it is open."""
    run.listener.reap()
    return ends(run)[0][0] or ""


def closed(listener: Listener, notes: Notes) -> list[AssociationEnd]:
    """Return how associations ended, also without a word."""
    listener.reap()
    return notes.closed


def unfinished(run: Run) -> list[Path]:
    return list((run.desk.spool.path("incoming")).iterdir())


def test_the_fast_way_is_taken_if_it_is_asked_for(run: Run, ways: Ways) -> None:
    images = ct_series(planes=3)
    assert store(run.listener, *images) == [0x0000] * 3
    assert run.listener.taken_fast == (3 if ways.fast else 0)


def test_both_ways_keep_the_same_bytes_in_the_same_row(run: Run, data_set: bytes) -> None:
    with Wire(run.listener.port) as wire:
        assert wire.associate()[0] == ACCEPTED
        wire.send(store_request(UID))
        for fragment in fragments(data_set, 16000):
            wire.send(fragment)
        answer = wire.pdu()
        wire.release()
    (file,) = run.files()
    with run.desk.database.read() as connection:
        (row,) = connection.exec_driver_sql("SELECT digest, size, kind, facts, source_ae FROM instance").all()
    name = "1.2.840.10008.5.1.4.1.1.2"
    assert answer == response(UID, 0)
    assert file.name == f"{UID}-{row[0]}.dcm"
    assert (file.stat().st_size, file.read_bytes()[-len(data_set) :]) == (row[1], data_set)
    assert (row[2], row[4], name in row[3]) == ("undescribed", "SENDER", True)
    until(lambda: ends(run) == [("released", "NODE", "127.0.0.1")])


def response(uid: str, status: int) -> bytes:
    """Return the PDU of a C-STORE response, as pynetdicom sends it."""
    primitive, message = C_STORE(), C_STORE_RSP()
    primitive.MessageIDBeingRespondedTo, primitive.Status = 7, status
    primitive.AffectedSOPInstanceUID, primitive.AffectedSOPClassUID = uid, CTImageStorage
    message.primitive_to_message(primitive)
    (data,) = message.encode_msg(1, 16384)
    return P_DATA_TF(data).encode()


@pytest.mark.parametrize("size", [1000, 16000, 131064, 10**6])
def test_a_data_set_comes_in_fragments_of_any_size_up_to_the_agreed_one(run: Run, data_set: bytes, size: int) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        assert wire.store(UID, data_set, pdv=min(size, 131066)) == 0
    assert run.files()[0].read_bytes().endswith(data_set)


def test_command_and_data_may_share_a_pdu_and_a_command_may_be_split(run: Run, data_set: bytes) -> None:
    first, *rest = fragments(data_set, 1000)
    command = store_command(UID)
    with Wire(run.listener.port) as wire:
        wire.associate()
        wire.send(store_request(UID), first, *rest[:3])
        for start in range(3, len(rest), 7):
            wire.send(*rest[start : start + 7])
        assert wire.status() == 0
        wire.send(pdv(command[:20], COMMAND), pdv(command[20:], COMMAND | LAST))
        for fragment in (first, *rest):
            wire.send(fragment)
        assert wire.status() == 0
        wire.release()
    assert len(run.files()) == 1
    assert run.listener.taken_fast in {0, 1}


def test_an_empty_last_fragment_in_the_pdu_of_another_ends_the_data_set(run: Run, data_set: bytes) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        wire.send(store_request(UID), pdv(data_set[:70_000], 0))
        wire.send(pdv(data_set[70_000:], 0), pdv(b"", LAST))
        assert wire.status() == 0
    assert run.files()[0].read_bytes().endswith(data_set)


def test_an_echo_between_two_objects_is_answered(run: Run) -> None:
    first, second = ct_series(planes=2)
    assoc = associate(run.listener, CTImageStorage, Verification)
    statuses = [assoc.send_c_store(first).Status, assoc.send_c_echo().Status, assoc.send_c_store(second).Status]
    assoc.release()
    assert statuses == [0, 0, 0]


def test_pauses_within_an_object_and_between_two_do_no_harm(run: Run, data_set: bytes) -> None:
    whole = p_data(store_request(UID)) + b"".join(p_data(one) for one in fragments(data_set, 40000))
    with Wire(run.listener.port) as wire:
        wire.associate()
        for _ in range(2):
            for start in range(0, len(whole), 37777):
                wire.socket.sendall(whole[start : start + 37777])
                assert not Event().wait(0.03)  # longer than the fast way looks for more
            assert wire.status() == 0
        wire.release()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda wire: wire.abort(), AssociationEnd.ABORTED),
        (lambda wire: wire.socket.close(), AssociationEnd.LOST),
        (lambda wire: wire.socket.sendall(b"\x04\0\xff\xff\xff\xff\0\0\0\x10\1\0"), None),
    ],
    ids=["abort", "lost", "a huge length"],
)
def test_of_an_object_that_breaks_off_nothing_is_kept(
    run: Run, data_set: bytes, end: Callable[[Wire], Any], said: AssociationEnd | None
) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        wire.send(store_request(UID))
        wire.send(next(iter(fragments(data_set, 16000))))
        end(wire)
        until(lambda: end_of(run))
    assert ends(run)[0][0] in ([said] if said else ["aborted", "lost"])
    assert (run.files(), unfinished(run)) == ([], [])


@pytest.mark.parametrize(
    "wrong",
    [
        store_request(UID),  # a command within
        pdv(b"of another context", 0, context_id=3),
        b"\0\0\0\1\1",  # shorter than its own head
        b"\0\0\xff\xff\1\0",  # longer than its PDU
        pdv(b"the last", LAST) + pdv(b"and more", LAST),
    ],
)
@pytest.mark.parametrize("ways", [Ways(fast=True)], ids=["fast"])
def test_what_is_no_fragment_of_the_object_ends_the_association(run: Run, data_set: bytes, wrong: bytes) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        wire.send(store_request(UID))
        wire.send(next(iter(fragments(data_set, 16000))))
        wire.send(wrong)
        assert wire.pdu()[0] == ABORTED
    until(lambda: end_of(run) in {"aborted", "lost"})
    assert (run.files(), unfinished(run)) == ([], [])


@pytest.mark.parametrize("ways", [Ways(fast=True)], ids=["fast"])
def test_a_part_lies_in_the_spool_while_an_object_comes(run: Run, data_set: bytes) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        wire.send(store_request(UID))
        wire.send(next(iter(fragments(data_set, 16000))))
        until(lambda: unfinished(run))


def test_an_object_that_is_too_large_is_refused_and_the_association_goes_on(
    ways: Ways, runs: Callable[..., Run], data_set: bytes
) -> None:
    run = runs(limits=Limits(max_object_bytes=100_000, ways=ways))
    (small,) = ct_series(planes=1)
    with Wire(run.listener.port) as wire:
        wire.associate()
        assert wire.store(UID, data_set) == 0xC002
        assert (run.files(), unfinished(run)) == ([], [])
        assert wire.store(UID, data_set_of(small)) == 0
        wire.release()


def test_of_an_object_that_is_too_large_no_more_is_held_than_may_be(ways: Ways, runs: Callable[..., Run]) -> None:
    run = runs(limits=Limits(max_object_bytes=100_000, ways=ways))
    command = store_command(UID)
    with Wire(run.listener.port) as wire:
        wire.associate()
        (accepted,) = (one for one in threading.enumerate() if isinstance(one, Association) and one.is_acceptor)
        wire.send(pdv(command[:20], COMMAND))  # so that pynetdicom takes it on either way
        wire.send(pdv(command[20:], COMMAND | LAST))
        for _ in range(20):
            wire.send(pdv(bytes(50_000), 0))
        until(lambda: held(accepted) > 100_000)
        assert held(accepted) == 100_001
        wire.send(pdv(bytes(8), LAST))
        assert wire.status() == 0xC002


def held(assoc: Association) -> int:
    """Return how many bytes of a data set pynetdicom holds."""
    message = assoc.dimse.message
    return len(cast("BytesIO", message.data_set).getvalue()) if message else 0


def test_a_command_without_an_end_ends_the_association(run: Run) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        with suppress(OSError):  # it was closed
            for _ in range(100):
                wire.send(pdv(bytes(16_000), COMMAND))
            assert wire.pdu()[:1] in {b"", bytes([ABORTED])}
        until(lambda: all(not isinstance(one, Association) for one in threading.enumerate()))


def test_a_uid_that_is_a_path_is_answered_with_an_error_and_nothing_is_written(
    run: Run, data_set: bytes, tmp_path: Path
) -> None:
    with Wire(run.listener.port) as wire:
        wire.associate()
        assert wire.store("../x", data_set) == 0xC000
        assert wire.store(f"{STUDY}.2.2", data_set) == 0xA900
        assert wire.store(UID, data_set, sop_class="1.2.840.10008.5.1.4.1.1.4") == 0xA900
        assert wire.store(UID, data_set) == 0
    assert [file.name[: len(UID)] for file in run.files()] == [UID]
    assert not list(tmp_path.rglob("x*"))


def test_other_bytes_under_a_known_uid_are_refused_if_that_is_asked_for(runs: Callable[..., Run]) -> None:
    run = runs(strict=True)
    (first,), (second,) = ct_series(planes=1), ct_series(planes=1, KVP="80")
    assert store(run.listener, first, second, first) == [0x0000, 0xC003, 0x0000]
    assert len(run.files()) == 1
    (event,) = events(run.desk.database, "UID_CONFLICT")
    assert event.details["kept"] is False


@pytest.mark.parametrize("ways", [Ways(fast=True)], ids=["fast"])
def test_an_object_is_handed_over_as_it_comes(start: Callable[..., Listener], data_set: bytes) -> None:
    chunks: list[int] = []

    def receive(_request: object, data_set: Any) -> None:  # noqa: ANN401
        chunks.extend(len(chunk) for chunk in data_set)

    notes = Notes()
    hooks = notes.hooks()
    listener = start(type(hooks)(opened=hooks.opened, closed=hooks.closed, receive=receive))
    with Wire(listener.port) as wire:
        wire.associate()
        assert wire.store(UID, 5 * data_set, pdv=50_000) == 0
    assert chunks == [300_000, 300_000, 5 * len(data_set) - 600_000]  # fragments, until there are 256 KiB


def test_a_peer_that_dribbles_within_an_object_is_dropped(start: Callable[..., Listener]) -> None:
    notes = Notes()
    listener = start(notes.hooks(), idle_seconds=0.5)
    with Wire(listener.port, timeout=20) as wire:
        wire.associate()
        wire.send(store_request(UID))
        wire.socket.sendall(b"\x04\0\0\0\x20\0\0\0\x1f\xfa\1\0")
        try:
            while not notes.closed:
                wire.socket.sendall(b"x")
                listener.reap()
                Event().wait(0.05)
        except OSError:  # it was closed
            pass
        until(lambda: closed(listener, notes))
    assert notes.closed[0] in {AssociationEnd.LOST, AssociationEnd.ABORTED}
    assert notes.received == []


def test_the_other_thread_of_an_association_rests_while_objects_come_and_goes_on_then(
    start: Callable[..., Listener], ways: Ways, data_set: bytes
) -> None:
    goes: list[bool] = []
    notes = Notes()

    def going() -> bool:
        (assoc,) = listener._server.active_associations  # noqa: SLF001 - nothing else tells
        return assoc._reactor_checkpoint.is_set()  # noqa: SLF001

    def receive(request: StoreRequest, chunks: Iterable[Chunk]) -> None:
        goes.append(going())
        notes.receive(request, chunks)

    listener = start(replace(notes.hooks(), receive=receive))
    with Wire(listener.port) as wire:
        wire.associate()
        wire.send(store_request(UID))
        for fragment in fragments(data_set, 16000):
            wire.send(fragment)
        assert wire.pdu() == response(UID, 0)
        until(going)
        wire.release()
    assert goes == [not ways.fast]


@pytest.mark.parametrize("ways", [Ways()], ids=["fast"])
@pytest.mark.usefixtures("ways")
def test_a_silent_association_is_looked_at_a_few_times_a_second_and_takes_what_comes_then(
    start: Callable[..., Listener], data_set: bytes
) -> None:
    notes = Notes()
    listener = start(notes.hooks())
    with Wire(listener.port) as wire:
        wire.associate()
        (assoc,) = listener._server.active_associations  # noqa: SLF001 - nothing else tells
        Event().wait(0.2)
        looks = 0
        look = assoc.dul._process_recv_primitive  # noqa: SLF001

        def counted() -> bool:
            nonlocal looks
            looks += 1
            return look()

        assoc.dul._process_recv_primitive = counted  # type: ignore[method-assign]  # noqa: SLF001
        Event().wait(1)
        assert 0 < looks < 30  # pynetdicom looks a thousand times
        assert wire.store(UID, data_set) == 0
        Event().wait(0.2)
        wire.release()
    until(lambda: closed(listener, notes))
    assert notes.closed == [AssociationEnd.RELEASED]


def test_a_silent_association_hears_of_it_when_the_node_stops(start: Callable[..., Listener]) -> None:
    listener = start(Notes().hooks())
    with Wire(listener.port) as wire:
        wire.associate()
        Event().wait(0.3)
        listener.stop(0)
        assert wire.pdu()[0] == ABORTED


def test_a_silent_association_with_a_closed_socket_ends(start: Callable[..., Listener]) -> None:
    notes = Notes()
    listener = start(notes.hooks())
    with Wire(listener.port) as wire:
        wire.associate()
        Event().wait(0.3)
    until(lambda: closed(listener, notes))
    assert notes.closed == [AssociationEnd.LOST]


# --- what is private in pynetdicom, or not promised ------------------------------------------------------------------


def test_the_seam_is_where_it_was_in_pynetdicom() -> None:
    reading = inspect.getsource(dul.DULServiceProvider.__dict__["_read_pdu_data"])
    assert list(inspect.signature(dul.DULServiceProvider.__dict__["_read_pdu_data"]).parameters) == ["self"]
    assert 'self.event_queue.put("Evt17")' in reading
    assert 'self.event_queue.put("Evt19")' in reading
    assert "self.socket.recv(6)" in reading
    assert "self.socket.recv(pdu_length)" in reading
    looking = inspect.getsource(dul.DULServiceProvider.__dict__["_is_transport_event"])
    assert list(inspect.signature(dul.DULServiceProvider.__dict__["_is_transport_event"]).parameters) == ["self"]
    assert "if self.socket and self.socket.ready:\n            self._read_pdu_data()" in looking
    running = inspect.getsource(dul.DULServiceProvider.run_reactor)
    assert running.index("self._process_recv_primitive()") < running.index("self._is_transport_event()")
    assert "self._idle_timer = Timer(60)" in inspect.getsource(dul.DULServiceProvider.__init__)
    assert list(inspect.signature(transport.AssociationSocket.recv).parameters) == ["self", "nr_bytes"]
    collecting = inspect.getsource(dimse_messages.DIMSEMessage.decode_msg)
    assert "self.encoded_command_set.write(data[1:])" in collecting
    assert "cast(BytesIO, self.data_set).write(data[1:])" in collecting


def test_what_ends_an_association_wakes_its_thread() -> None:
    looking = inspect.getsource(association.Association.__dict__["_run_reactor"])
    assert looking.index("self._reactor_checkpoint.wait()") < looking.index("self.dimse.get_msg(block=False)")
    for ending in ("kill", "_abort_blocking"):
        assert "self._reactor_checkpoint.set()" in inspect.getsource(association.Association.__dict__[ending])


def test_the_connection_is_told_of_before_its_threads_start() -> None:
    handling = inspect.getsource(transport.RequestHandler.handle)
    assert handling.index("evt.EVT_CONN_OPEN") < handling.index("assoc.start()")
    assert handling.index("self._create_association()") < handling.index("evt.EVT_CONN_OPEN")


def test_an_association_that_is_rejected_when_it_is_asked_for_is_not_negotiated() -> None:
    running = inspect.getsource(association.Association.run_reactor)
    assert (
        "if not self.is_aborted and not self.is_rejected:\n                self.acse.negotiate_association()" in running
    )
    assert running.index("evt.EVT_REQUESTED") < running.index("self.acse.negotiate_association()")
    assert "primitive is None:\n                self.kill()" in running  # what wakes it when a peer only connects


def test_a_class_of_another_service_is_told_to_be_of_storage_by_common_extended_negotiation() -> None:
    serving = inspect.getsource(association.Association.__dict__["_serve_request"])
    assert "self.acceptor.accepted_common_extended[class_uid][0]" in serving
    assert evt.EVT_SOP_COMMON.is_intervention


def test_the_handlers_of_a_listener_do_not_outlive_it(start: Callable[..., Listener]) -> None:
    before = transport.AssociationSocket.recv, dul.DULServiceProvider.__dict__["_read_pdu_data"]
    store(start(Notes().hooks()), *ct_series(planes=1))
    assert (transport.AssociationSocket.recv, dul.DULServiceProvider.__dict__["_read_pdu_data"]) == before
    assert AE("X").maximum_pdu_size == 16382
