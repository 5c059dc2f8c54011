"""Every kind of result on its way from `serve` to a PACS: what arrives, what is found, and whether it is the same."""

import subprocess
import zlib
from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom import build_context

from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from dicomnode.domain import DeliveryState, ObjectKind
from dicomnode.errors import PeerUnreachable
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.sender import send_all
from dicomnode.store import deliveries
from dicomnode.store.events import events
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import Loopback
from tests.orthanc import Orthanc
from tests.serving import COMMAND, Serving, serving, until

PLANES = 4
FORMS = ("labelmap-rle", "labelmap", "binary-deflated")
LIVER, SPLEEN, INSIDE = (20, 16, 40, 32), (60, 16, 76, 28), (24, 18, 36, 28)
TAKEN = (DeliveryState.DELIVERED, DeliveryState.VERIFIED)
ENDS = (*TAKEN, DeliveryState.REPLACED, DeliveryState.DEAD)


def send_study(node: Serving, folder: Path, **regions: tuple[int, int, int, int]) -> None:
    """Send a CT and a structure set with such rectangles, in pixels, on every plane."""
    images = ct_series(planes=PLANES, shape=(64, 100))
    drawn = {name: [square(*box, 2.5 * index) for index in range(PLANES)] for name, box in regions.items()}
    save([*images, rtstruct(images, drawn)], folder)
    send_all(sorted(folder.iterdir()), node.peer, "TEST")


def wait_for_the_end(node: Serving) -> dict[str, dict[str, DeliveryState]]:
    """Return what became of each delivery, by destination and UID, once nothing is left to be sent."""
    with node.database() as database:
        until(lambda: events(database, "job_done"), 60)
        until(lambda: all(row.state in ENDS for row in deliveries.all_deliveries(database)), 60)
        found: dict[str, dict[str, DeliveryState]] = {}
        for row in deliveries.all_deliveries(database):
            found.setdefault(row.destination, {})[row.sop_uid] = row.state
        return found


def outbox(node: Serving) -> dict[str, bytes]:
    """Return what the node made, by SOP Instance UID."""
    return {path.stem: path.read_bytes() for path in (node.folder / "data" / "spool" / "outbox").rglob("*.dcm")}


def data_set_of(content: bytes) -> bytes:
    """Return what stands behind the file meta information, which says its length (PS3.10 7.1)."""
    ds = dcmread(BytesIO(content), stop_before_pixels=True)
    encoded = content[144 + ds.file_meta.FileMetaInformationGroupLength :]
    deflated = ds.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    return zlib.decompress(encoded, -zlib.MAX_WBITS) if deflated else encoded


def kinds_of(contents: Iterable[Dataset]) -> Counter[str]:
    return Counter(str(ds.SOPClassUID.name if ds.Modality != "SEG" else ds.SegmentationType) for ds in contents)


@pytest.mark.peer
def test_orthanc_has_every_kind_of_result_as_segment_writes_it_and_a_viewer_has_the_label_map(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    with Loopback(tmp_path / "viewer") as viewer:
        node = serving(tmp_path, viewer.peer, orthanc.peer, quiet_seconds=0.5, seg=FORMS, objects=tuple(ObjectKind))
        with node.running():
            send_study(node, tmp_path / "study", liver=LIVER, spleen=SPLEEN)
            ended = wait_for_the_end(node)
    made = outbox(node)
    heads = {uid: dcmread(BytesIO(content)) for uid, content in made.items()}
    others = Counter(
        {
            "RT Structure Set Storage": 1,
            "Secondary Capture Image Storage": PLANES,
            "Grayscale Softcopy Presentation State Storage": 1,
            "Comprehensive 3D SR Storage": 1,
        }
    )

    at_viewer = [dcmread(path) for path in viewer.received]
    assert kinds_of(at_viewer) == others + Counter(["LABELMAP"])
    assert {ds.file_meta.TransferSyntaxUID for ds in at_viewer if ds.Modality == "SEG"} == {RLELossless}

    taken = {uid for uid, state in ended["pacs-1"].items() if state in TAKEN}
    assert kinds_of([heads[uid] for uid in taken]) == others + Counter(["BINARY"])
    assert {ended["pacs-1"][uid] for uid in made.keys() - taken} == {DeliveryState.REPLACED}
    assert "delivery_fell_back" in node.log
    assert set.union(*(orthanc.find(modality) for modality in ("SEG", "SR", "RTSTRUCT", "OT", "PR"))) == taken
    for uid in taken:
        back = orthanc.file(orthanc.name_of(uid))
        assert data_set_of(back) == data_set_of(made[uid])
        deflated = heads[uid].Modality == "SEG"
        syntax = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
        assert dcmread(BytesIO(back), stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax

    asked: list[Path | str] = [
        COMMAND,
        "segment",
        tmp_path / "study",
        "--profile",
        "all",
        "--config",
        tmp_path / "dicomnode.toml",
    ]
    subprocess.run([*asked, "--output", tmp_path / "by hand"], check=True, capture_output=True, timeout=60)
    by_hand = {path.read_bytes() for path in (tmp_path / "by hand").rglob("*.dcm")}
    assert by_hand == {made[uid] for uid in taken}

    (labelmap,) = (uid for uid, ds in heads.items() if ds.SOPClassUID == LabelMapSegmentationStorage)
    assert orthanc.file(orthanc.upload(made[labelmap])) == made[labelmap]


def test_overlapping_segments_are_sent_as_binary_where_a_label_map_is_wanted(tmp_path: Path) -> None:
    with Loopback(tmp_path / "viewer") as viewer:
        node = serving(tmp_path, viewer.peer, quiet_seconds=0.5, seg=FORMS)
        with node.running():
            send_study(node, tmp_path / "study", liver=LIVER, vessel=INSIDE)
            wait_for_the_end(node)
    (seg,) = (dcmread(path) for path in viewer.received)
    assert (seg.SegmentationType, seg.SegmentsOverlap) == ("BINARY", "YES")
    assert seg.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    (line,) = (line for line in node.log.splitlines() if "seg_type_not_made" in line)
    assert {"before=LABELMAP", "after=BINARY"} <= set(line.split())
    assert "vessel" not in node.log
    with node.database() as database:
        (done,) = events(database, "job_done")
    assert any(note.startswith("BINARY instead of LABELMAP: segments overlap") for note in done.details["notes"])


def test_a_node_that_is_killed_after_it_fell_back_goes_on_with_the_next_type(tmp_path: Path) -> None:
    refused: list[str] = []

    def refuse(request: StoreRequest, _data_set: bytes) -> None:
        if UID(request.sop_class_uid) == SegmentationStorage and not refused:
            refused.append(request.sop_instance_uid)
            raise PeerUnreachable("no room")

    contexts = [
        build_context(SegmentationStorage, [RLELossless, ExplicitVRLittleEndian]),
        build_context(Comprehensive3DSRStorage, ExplicitVRLittleEndian),
    ]
    with Loopback(tmp_path / "viewer", contexts=contexts, refuse=refuse) as viewer:
        wanted = (ObjectKind.SEG, ObjectKind.SR)
        node = serving(tmp_path, viewer.peer, quiet_seconds=0.5, seg=("labelmap", "fractional-rle"), objects=wanted)
        with node.running() as process:
            send_study(node, tmp_path / "study", liver=LIVER)
            until(lambda: refused, 60)
            process.kill()
            process.wait()
        assert "delivery_fell_back" in node.log
        assert viewer.received == ()
        with node.running():
            ended = wait_for_the_end(node)
    seg, sr = map(dcmread, viewer.received)
    assert (seg.SOPInstanceUID, seg.SegmentationType) == (refused[0], "FRACTIONAL")
    assert seg.file_meta.TransferSyntaxUID == RLELossless
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert seg.SOPInstanceUID in {
        one.ReferencedSOPInstanceUID for item in evidence for one in item.ReferencedSOPSequence
    }
    assert Counter(ended["pacs-0"].values()) == {DeliveryState.DELIVERED: 2, DeliveryState.REPLACED: 2}
