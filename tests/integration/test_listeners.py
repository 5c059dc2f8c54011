"""Several processes that listen on one socket."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.domain import SEG_ONLY, CommitmentReport, DeliveryState, ProvenBy, SegType, SopReference, Uid
from dicomnode.listeners import Listeners
from dicomnode.listening import Listening
from dicomnode.network import commitment
from dicomnode.network.associations import Peer
from dicomnode.settings import Destination, Settings
from dicomnode.settings import Listener as ListenerTable
from dicomnode.settings import Node as NodeTable
from dicomnode.store import commitments, deliveries, proofs
from dicomnode.store.associations import Most
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import STUDIES
from dicomnode.store.spool import Spool
from dicomnode.wiring import listener_of
from tests.builders import STUDY, ct_series
from tests.objects import hand_over, seg_by_highdicom
from tests.senders import data_set_of, until
from tests.serving import free_port
from tests.wire import ACCEPTED, REJECTED, Wire, fragments, store_request

SEG = SopReference(Uid("1.2.840.10008.5.1.4.1.1.66.4"), Uid("2.25.12"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "node.sqlite")
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def hurried() -> list[str]:
    """Return the names of the sweeps that are to be made at once."""
    return []


@pytest.fixture
def listeners(tmp_path: Path, database: Database, hurried: list[str]) -> Iterator[Listeners]:
    how = Listening(ae_title="NODE", host="127.0.0.1", port=0, most=Most(in_all=4))
    desk = Desk(database=database, spool=Spool(tmp_path / "spool"), destinations={}, hurry=hurried.append)
    listeners = Listeners(how, desk, processes=2)
    listeners.start()
    yield listeners
    listeners.stop(patience=1)


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query).all()]


def reaped(listeners: Listeners) -> tuple[int, ...]:
    """Return the processes, after those that died were replaced."""
    listeners.reap()
    return listeners.processes


def object_(number: int) -> tuple[str, bytes]:
    (ds,) = ct_series(planes=1)
    ds.SOPInstanceUID = f"{STUDY}.7.{number}"
    return str(ds.SOPInstanceUID), data_set_of(ds)


def test_processes_share_the_work_and_the_limit_and_end_as_they_should(
    listeners: Listeners, database: Database, tmp_path: Path, hurried: list[str]
) -> None:
    wires = [Wire(listeners.port, timeout=30) for _ in range(5)]
    answers = [wire.associate()[0] for wire in wires]
    assert sorted(answers) == [ACCEPTED] * 4 + [REJECTED]
    accepted = [wire for wire, answer in zip(wires, answers, strict=True) if answer == ACCEPTED]
    for number, wire in enumerate(accepted):
        wire.begin(*object_(number))
    assert [wire.status() for wire in accepted] == [0] * 4
    assert len(list(Spool(tmp_path / "spool").keys())) == 4
    assert len(rows(database, "SELECT digest FROM instance")) == 4
    assert {process for (process,) in rows(database, "SELECT process FROM association")} <= set(listeners.processes)
    for wire in accepted:
        wire.release()
    until(lambda: rows(database, "SELECT ended FROM association") == [("released",)] * 4)
    until(lambda: hurried == [STUDIES] * 4)
    for wire in wires:
        wire.socket.close()
    _a_process_that_dies_is_replaced(listeners, database, tmp_path / "spool" / "incoming")
    listeners.stop(patience=1)
    with pytest.raises(ConnectionRefusedError):
        Wire(listeners.port)
    ended = listeners.processes
    assert reaped(listeners) == ended  # nothing takes the place of what was told to end


def _a_process_that_dies_is_replaced(listeners: Listeners, database: Database, incoming: Path) -> None:
    before = listeners.processes
    with Wire(listeners.port) as wire:
        assert wire.associate()[0] == ACCEPTED
        ((process,),) = rows(database, "SELECT process FROM association WHERE closed_at IS NULL")
        assert isinstance(process, int)
        uid, data_set = object_(8)
        wire.send(store_request(uid))
        wire.send(*list(fragments(data_set, 100))[:2])
        until(lambda: list(incoming.iterdir()))
        os.kill(process, signal.SIGKILL)
        until(lambda: reaped(listeners) != before)
        assert list(incoming.iterdir()) == []
        assert rows(database, "SELECT ended FROM association ORDER BY id DESC LIMIT 1") == [("died",)]
    with Wire(listeners.port, timeout=30) as wire:
        assert wire.associate()[0] == ACCEPTED
        assert wire.store(*object_(9)) == 0
        wire.release()


def test_storage_commitment_is_heard_and_given_in_processes_of_their_own(tmp_path: Path, database: Database) -> None:
    settings = Settings(
        node=NodeTable(data_dir=tmp_path),
        listener=ListenerTable(host="127.0.0.1", port=0, processes=2, storage_commitment=True),
        destinations=(Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port()),),
    )
    desk = Desk(database=database, spool=Spool(tmp_path / "spool"), destinations={"pacs": SEG_ONLY})
    hand_over(desk, seg_by_highdicom(SegType.BINARY, 12))
    asked = asked_to_commit(database)
    listeners = listener_of(settings, desk)
    listeners.start()
    peer = Peer(ae_title="DICOMNODE", host="127.0.0.1", port=listeners.port)
    try:
        commitment.report(peer, "PACS", CommitmentReport(transaction_uid=asked, committed=(SEG,), failed={}))
        request = commitment.Request(transaction_uid=Uid("2.25.78"), objects=(SEG,))
        nobody = commitment.Hooks(reported=lambda _report: False)
        commitment.ask(peer, "PACS", request, nobody, is_open=lambda: False)
    finally:
        listeners.stop(patience=1)
    (row,) = deliveries.all_deliveries(database)
    assert (row.state, row.proof) == (DeliveryState.VERIFIED, ProvenBy.COMMITMENT)
    assert [one.transaction_uid for one in commitments.due(database)] == ["2.25.78"]


def asked_to_commit(database: Database) -> Uid:
    """Let the one delivery be taken by its destination, which is asked to commit to it; return the transaction."""
    (due,) = deliveries.due(database)
    uid = Uid("2.25.77")
    row = deliveries.claim(database, due.which)
    assert row is not None
    deliveries.delivered(database, row, 0)
    proofs.asked(database, proofs.due(database), uid, database.now())
    return uid
