"""What a PACS gets that takes only some classes and syntaxes: the way from a finished job to its folder."""

import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom import AE, build_context, evt
from pynetdicom.presentation import PresentationContext

from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import DeliveryState, ObjectKind, OutputProfile, Proof, SegType, Uid, WrittenObject
from dicomnode.network.associations import Peer
from dicomnode.network.destinations import DicomDestination
from dicomnode.settings.profiles import FORMS
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.couriers import courier_of, serve_all
from tests.fakes import Loopback
from tests.objects import hand_over, seg_by_highdicom
from tests.sr_objects import dcmqi_report

VIEWER = OutputProfile(
    name="viewer",
    objects=(ObjectKind.SEG, ObjectKind.SR),
    seg=(FORMS["labelmap-rle"], FORMS["labelmap"], FORMS["binary-deflated"]),
)
EVERY = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)
CLASSES = (LabelMapSegmentationStorage, SegmentationStorage, Comprehensive3DSRStorage)
REPLACED, DELIVERED, DEAD = DeliveryState.REPLACED, DeliveryState.DELIVERED, DeliveryState.DEAD


def contexts(*classes: UID, syntaxes: tuple[UID, ...] = EVERY) -> list[PresentationContext]:
    return [build_context(name, list(syntaxes)) for name in classes]


def report(number: int, alternative: SegType, seg: int) -> WrittenObject:
    """Return an SR, called 2.25.`number`, that refers to the SEG 2.25.`seg`."""
    ds = dcmqi_report(f"2.25.{seg}")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{number}")
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = Comprehensive3DSRStorage
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return WrittenObject(
        kind=ObjectKind.SR,
        sop_instance_uid=Uid(f"2.25.{number}"),
        sop_class_uid=Uid(str(ds.SOPClassUID)),
        content=buffer.getvalue(),
        alternative=alternative,
    )


@pytest.fixture
def desk(database: Database, spool: Spool) -> Desk:
    """Return a desk with what a job made in two types: 2.25.12 and its SR 2.25.11, and 2.25.14 and its SR 2.25.13."""
    desk = Desk(database=database, spool=spool, destinations={"pacs": VIEWER})
    hand_over(
        desk,
        report(11, SegType.LABELMAP, 12),
        seg_by_highdicom(SegType.LABELMAP, 12),
        report(13, SegType.BINARY, 14),
        seg_by_highdicom(SegType.BINARY, 14),
    )
    return desk


def send_all_to(peer: Peer, desk: Desk) -> dict[str, DeliveryState]:
    """Send until nothing is due; return what became of each delivery, by the last part of its UID."""

    to = DicomDestination(peer=peer, calling_ae="NODE", encode=in_syntax, proof=Proof.NONE)
    serve_all(courier_of(desk, pacs=to))
    rows = deliveries.all_deliveries(desk.database)
    return {row.sop_uid.rpartition(".")[2]: row.state for row in sorted(rows, key=lambda row: row.sop_uid)}


def test_a_pacs_that_takes_label_maps_gets_one_and_its_report_in_this_order(desk: Desk, tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs", contexts=contexts(*CLASSES)) as pacs:
        assert send_all_to(pacs.peer, desk) == {"11": DELIVERED, "12": DELIVERED}
    seg, sr = (dcmread(path) for path in pacs.received)
    assert (seg.SOPInstanceUID, seg.file_meta.TransferSyntaxUID) == ("2.25.12", RLELossless)
    assert (sr.SOPInstanceUID, sr.file_meta.TransferSyntaxUID) == ("2.25.11", ExplicitVRLittleEndian)


def test_a_pacs_that_takes_no_label_maps_gets_binary_and_its_report(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Loopback(tmp_path / "pacs", contexts=contexts(*CLASSES[1:])) as pacs,
        caplog.at_level(logging.WARNING, logger="dicomnode.queue.delivering"),
    ):
        states = send_all_to(pacs.peer, desk)
    assert states == {"11": REPLACED, "12": REPLACED, "13": DELIVERED, "14": DELIVERED}
    seg, sr = (dcmread(path) for path in pacs.received)
    assert (seg.SOPInstanceUID, seg.file_meta.TransferSyntaxUID) == ("2.25.14", DeflatedExplicitVRLittleEndian)
    assert sr.SOPInstanceUID == "2.25.13"
    (told,) = events(desk.database, "delivery_fell_back")
    assert (told.details["before"], told.details["after"]) == ("LABELMAP", "BINARY")
    (line,) = told_by_the_node(caplog, logging.WARNING)
    assert (line["action"], line["before"], line["after"]) == ("delivery_fell_back", "LABELMAP", "BINARY")


def test_a_pacs_that_takes_only_implicit_vr_gets_each_object_converted(desk: Desk, tmp_path: Path) -> None:
    only = contexts(*CLASSES[1:], syntaxes=(ImplicitVRLittleEndian,))
    with Loopback(tmp_path / "pacs", contexts=only) as pacs:
        states = send_all_to(pacs.peer, desk)
    assert states == {"11": REPLACED, "12": REPLACED, "13": DELIVERED, "14": DELIVERED}
    arrived = [dcmread(path) for path in pacs.received]
    assert [ds.file_meta.TransferSyntaxUID for ds in arrived] == [ImplicitVRLittleEndian] * 2
    sent = dcmread(
        desk.spool.path(next(r.key for r in deliveries.all_deliveries(desk.database) if r.sop_uid == "2.25.14"))
    )
    assert (arrived[0].pixel_array == sent.pixel_array).all()
    assert [one.keyword for one in sent if one.keyword != "PixelData" and one != arrived[0][one.tag]] == []
    assert len(arrived[0]) == len(sent)


def test_a_pacs_that_takes_no_segmentations_gets_none_and_the_log_says_so(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Loopback(tmp_path / "pacs", contexts=contexts(Comprehensive3DSRStorage)) as pacs:
        states = send_all_to(pacs.peer, desk)
    assert states == {"11": REPLACED, "12": REPLACED, "13": DELIVERED, "14": DEAD}
    assert [line["action"] for line in told_by_the_node(caplog, logging.ERROR)] == ["delivery_dead"]


def test_a_report_that_is_not_taken_takes_its_segmentation_nothing_away(desk: Desk, tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs", contexts=contexts(*CLASSES[:2])) as pacs:
        assert send_all_to(pacs.peer, desk) == {"11": DEAD, "12": DELIVERED}


def test_a_pacs_that_answers_that_it_takes_no_label_maps_gets_binary(desk: Desk) -> None:
    got: list[str] = []

    def answer(event: evt.Event) -> int:
        if event.dataset.SOPClassUID == LabelMapSegmentationStorage:
            return 0x0122
        got.append(str(event.dataset.SOPInstanceUID))
        return 0x0000

    ae = AE("PACS")
    ae.supported_contexts = contexts(*CLASSES)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    assert server is not None
    states = send_all_to(Peer(ae_title="PACS", host="127.0.0.1", port=server.server_address[1]), desk)
    server.shutdown()
    assert states == {"11": REPLACED, "12": REPLACED, "13": DELIVERED, "14": DELIVERED}
    assert got == ["2.25.14", "2.25.13"]


def told_by_the_node(caplog: pytest.LogCaptureFixture, level: int) -> list[dict[str, Any]]:
    """Return the lines of at least `level` in the node's log, with what goes with each."""
    return [vars(one) for one in caplog.records if one.levelno >= level and one.name.startswith("dicomnode")]
