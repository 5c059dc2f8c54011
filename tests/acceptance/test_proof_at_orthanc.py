"""Deliveries to a real Orthanc: proven by storage commitment, by C-FIND and by QIDO-RS."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import (
    SEG_ONLY,
    CommitmentReport,
    DeliveryState,
    ProvenBy,
    SegSyntax,
    SegType,
    SopReference,
    Uid,
)
from dicomnode.errors import ClassRefused, PeerRejected
from dicomnode.network import commitment
from dicomnode.network.associations import Peer
from dicomnode.network.commitment import Hooks, Request
from dicomnode.network.destinations import DicomDestination, Parcel
from dicomnode.network.listener import Listener
from dicomnode.network.sender import send_all
from dicomnode.network.stow import StowDestination
from dicomnode.network.web import WebPeer
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.builders import ct_series, rtstruct, save, square
from tests.couriers import courier_of, serve_all
from tests.objects import hand_over, seg_by_highdicom
from tests.orthanc import Orthanc, dicomweb_plugin, running
from tests.senders import Notes
from tests.serving import free_port, serving, until

pytestmark = pytest.mark.peer


@pytest.fixture
def heard() -> list[CommitmentReport]:
    return []


@pytest.fixture
def listener(heard: list[CommitmentReport]) -> Iterator[Listener]:
    """Lend a listener that hears reports."""

    def note(report: CommitmentReport) -> bool:
        heard.append(report)
        return True

    services = [commitment.service(Hooks(reported=note))]
    listener = Listener("DICOMNODE", ("127.0.0.1", 0), Notes().hooks(), services=services)
    listener.start()
    yield listener
    listener.stop(patience=1)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Lend an Orthanc with DICOMweb."""
    with running(tmp_path_factory.mktemp("web") / "orthanc", plugins=[dicomweb_plugin()]) as pacs:
        yield pacs


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk with a SEG, 2.25.12, for one destination."""
    database = Database(tmp_path / "node.sqlite")
    database.upgrade()
    desk = Desk(database=database, spool=Spool(tmp_path / "spool"), destinations={"pacs": SEG_ONLY})
    hand_over(desk, seg_by_highdicom(SegType.BINARY, 12))
    yield desk
    database.close()


def parcel_of(desk: Desk, *syntaxes: SegSyntax) -> Parcel:
    (row,) = deliveries.all_deliveries(desk.database)
    return Parcel(path=desk.spool.path(row.key), named=SopReference(row.sop_class_uid, row.sop_uid), syntaxes=syntaxes)


def ended(desk: Desk) -> tuple[DeliveryState, ProvenBy | None]:
    (row,) = deliveries.all_deliveries(desk.database)
    return row.state, row.proof


def test_the_seg_of_a_study_is_verified_by_storage_commitment(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path / "orthanc", Peer(ae_title="DICOMNODE", host="127.0.0.1", port=port)) as orthanc:
        node = serving(tmp_path, orthanc.peer, quiet_seconds=0.5, listener={"port": port})
        with node.running(), node.database() as database:
            images = ct_series(planes=4, shape=(64, 80))
            drawn = rtstruct(images, {"liver": [square(20, 16, 40, 32, 2.5)]})
            send_all(save([*images, drawn], tmp_path / "study"), node.peer, "SENDER")
            until(lambda: events(database, "delivery_verified"), 60)
            (verified,) = events(database, "delivery_verified")
            (delivered,) = events(database, "delivered")
        assert verified.details["proof"] == "commitment"
        assert (verified.at - delivered.at).total_seconds() < 5
        assert orthanc.find("SEG") == {verified.details["sop_uid"]}


def test_orthanc_reports_in_a_new_association_what_it_has_and_what_it_has_not(
    tmp_path: Path, listener: Listener, heard: list[CommitmentReport]
) -> None:
    here = Peer(ae_title="DICOMNODE", host="127.0.0.1", port=listener.port)
    with running(tmp_path / "orthanc", here) as orthanc:
        images = ct_series(planes=1)
        send_all(save(images, tmp_path / "sent"), orthanc.peer, "DICOMNODE")
        there = SopReference(Uid(CTImageStorage), Uid(images[0].SOPInstanceUID))
        missing = SopReference(Uid(CTImageStorage), Uid("1.2.3"))
        hooks = Hooks(reported=lambda _report: False)
        asked = Request(transaction_uid=Uid("2.25.99"), objects=(there, missing))
        commitment.ask(orthanc.peer, "DICOMNODE", asked, hooks, is_open=lambda: not heard)
        until(lambda: heard, 20)
    (report,) = heard
    assert (report.transaction_uid, report.committed) == ("2.25.99", (there,))
    assert report.failed == {missing: 0x0112}


def test_where_orthanc_does_not_know_who_asks_it_is_asked_by_c_find(orthanc: Orthanc, desk: Desk) -> None:
    to = DicomDestination(peer=orthanc.peer, calling_ae="STRANGER", encode=in_syntax)
    assert not to.keeps(parcel_of(desk))
    to.probe()
    serve_all(courier_of(desk, pacs=to))
    assert ended(desk) == (DeliveryState.VERIFIED, ProvenBy.QUERY)


def test_stow_delivers_and_qido_verifies(web: Orthanc, desk: Desk) -> None:
    to = StowDestination(peer=WebPeer(url=f"{web.url}/dicom-web"), encode=in_syntax)
    to.probe()
    assert not to.keeps(parcel_of(desk))
    serve_all(courier_of(desk, pacs=to))
    assert ended(desk) == (DeliveryState.VERIFIED, ProvenBy.QUERY)
    assert web.find("SEG") == {"2.25.12"}
    assert to.send(parcel_of(desk, SegSyntax.DEFLATED)) == 0  # again, and in another syntax: the same object


def test_a_url_where_there_is_no_dicomweb_concerns_the_destination(web: Orthanc, desk: Desk) -> None:
    to = StowDestination(peer=WebPeer(url=f"{web.url}/nothing"), encode=in_syntax)
    with pytest.raises(PeerRejected, match="HTTP status 404"):
        to.send(parcel_of(desk))
    with pytest.raises(ClassRefused):
        to.keeps(parcel_of(desk))
