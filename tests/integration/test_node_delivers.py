"""The way of a result out of a node, with settings other than those of a plain PACS."""

from pathlib import Path

from pydicom.uid import CTImageStorage

from dicomnode.domain import CommitmentReport, DeliveryState, ProvenBy, SopReference, Uid
from dicomnode.network import commitment
from dicomnode.network.associations import Peer
from dicomnode.network.commitment import Hooks, Request
from dicomnode.network.listener import Listener
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.settings import Destination, DestinationKind, Readiness, Settings, Source
from dicomnode.settings import Listener as ListenerTable
from dicomnode.settings import Node as NodeTable
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
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
