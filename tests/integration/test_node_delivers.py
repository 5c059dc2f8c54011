"""The way of a result out of a node, with settings other than those of a plain PACS."""

from dataclasses import replace
from pathlib import Path

from pydicom.uid import CTImageStorage

from dicomnode.domain import BreakerState, CommitmentReport, DeliveryState, ProvenBy, SopReference, Uid
from dicomnode.network import commitment
from dicomnode.network.associations import Peer
from dicomnode.network.commitment import Hooks, Request
from dicomnode.network.listener import Listener
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.settings import Delivery as DeliveryTable
from dicomnode.settings import Destination, DestinationKind, Readiness, Settings, Source
from dicomnode.settings import Listener as ListenerTable
from dicomnode.settings import Node as NodeTable
from dicomnode.store import breakers, deliveries, tables
from dicomnode.store.database import Database
from dicomnode.store.folder import open_desk
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox, Loopback
from tests.rows import artifact, done_job
from tests.senders import Notes
from tests.serving import until


def test_a_node_verifies_what_it_wrote_into_a_folder_and_commits_to_what_it_was_sent(tmp_path: Path) -> None:
    heard: list[CommitmentReport] = []

    def note(report: CommitmentReport) -> bool:
        heard.append(report)
        return True

    hooks = Hooks(reported=note)
    modality = Listener("MODALITY", ("127.0.0.1", 0), Notes().hooks(), services=[commitment.service(hooks)])
    modality.start()
    (tmp_path / "results").mkdir()
    settings = Settings(
        node=NodeTable(data_dir=tmp_path / "data"),
        listener=ListenerTable(host="127.0.0.1", port=0, storage_commitment=True),
        readiness=Readiness(quiet_seconds=0.3),
        destinations=(Destination(name="folder", kind=DestinationKind.FOLDER, path=tmp_path / "results"),),
        sources=(Source(name="modality", ae_title="MODALITY", host="127.0.0.1", port=modality.port),),
    )
    images = ct_series()
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5)]})
    sent = tuple(SopReference(Uid(CTImageStorage), Uid(ds.SOPInstanceUID)) for ds in images)
    database = Database(tmp_path / "data" / "dicomnode.sqlite")
    with Node(settings, load=FillsTheBox) as node:
        peer = Peer(ae_title="DICOMNODE", host="127.0.0.1", port=node.port)
        send_all(save([*images, drawn], tmp_path / "sent"), peer, "MODALITY")
        asked = Request(transaction_uid=Uid("2.25.5"), objects=sent)
        commitment.ask(peer, "MODALITY", asked, hooks, is_open=lambda: False)
        until(lambda: [row.state for row in deliveries.all_deliveries(database)] == [DeliveryState.VERIFIED], 30)
        until(lambda: heard, 10)
    modality.stop(patience=1)
    (row,) = deliveries.all_deliveries(database)
    database.close()
    assert row.proof is ProvenBy.CONTENT
    (file,) = (tmp_path / "results").rglob("*.dcm")
    assert file.stem == row.sop_uid
    assert [(report.transaction_uid, set(report.committed)) for report in heard] == [("2.25.5", set(sent))]


def test_a_pacs_that_comes_back_is_sent_what_waited_at_once_the_most_urgent_first_and_nothing_else_waited(
    tmp_path: Path,
) -> None:
    (tmp_path / "results").mkdir()
    with Loopback(tmp_path / "down") as pacs:
        peer = pacs.peer
    settings = Settings(
        node=NodeTable(data_dir=tmp_path / "data"),
        listener=ListenerTable(host="127.0.0.1", port=0),
        delivery=DeliveryTable(first_retry_seconds=3600, longest_retry_seconds=3600, probe_seconds=0.5),
        destinations=(
            Destination(name="pacs", ae_title=peer.ae_title, host=peer.host, port=peer.port),
            Destination(name="folder", kind=DestinationKind.FOLDER, path=tmp_path / "results"),
        ),
    )
    urgency = _waiting(tmp_path / "data")
    database = Database(tmp_path / "data" / "dicomnode.sqlite")
    with Node(settings, load=FillsTheBox):
        until(lambda: len([*(tmp_path / "results").rglob("*.dcm")]) == len(urgency), 20)
        until(lambda: any(row.state is BreakerState.OPEN for row in breakers.all_breakers(database)), 20)
        with Loopback(tmp_path / "pacs", port=peer.port) as pacs:
            order = [urgency[path.stem] for path in pacs.wait_for(len(urgency), timeout=30)]
    database.close()
    assert order == sorted(order, reverse=True)


def _waiting(data_dir: Path) -> dict[str, int]:
    """Let objects wait to be sent to "pacs" and "folder"; return how urgent each is."""
    images = ct_series(planes=12)
    made = [replace(artifact(ds.SOPInstanceUID, ds.SOPInstanceUID), sop_class_uid=Uid(CTImageStorage)) for ds in images]
    urgency: dict[str, int] = {one.sop_uid: number % 3 for number, one in enumerate(made)}
    with open_desk(data_dir, {}) as desk:
        for one, path in zip(made, save(images, data_dir / "made"), strict=True):
            desk.spool.put(one.key, [path.read_bytes()])
        done_job(desk.database, "pacs", "folder", made=tuple(made))
        with desk.database.write() as connection:
            for uid, priority in urgency.items():
                connection.execute(tables.delivery.update().filter_by(sop_uid=uid).values(priority=priority))
    return urgency
