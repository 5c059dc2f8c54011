import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, SegmentationStorage
from pynetdicom import build_context

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import DeliveryState, ObjectKind, OutputProfile, Proof, SegType
from dicomnode.network.destinations import DicomDestination
from dicomnode.settings.profiles import FORMS
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.builders import ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.couriers import courier_of, serve_all
from tests.fakes import Loopback
from tests.objects import hand_over, seg_by_highdicom
from tests.orthanc import Orthanc
from tests.serving import Serving, serving, until

pytestmark = pytest.mark.peer


@pytest.fixture
def node(tmp_path: Path, orthanc: Orthanc) -> Iterator[Serving]:
    node = serving(tmp_path, orthanc.peer, quiet_seconds=1.0)
    with node.running():
        yield node


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of a study: its images, its RTSTRUCT."""
    images = ct_series(planes=12, shape=(64, 80))
    drawn = rtstruct(images, {"liver": [square(20, 16, 40, 32, 2.5 * index) for index in range(1, 11)]})
    save(images, tmp_path / "images")
    save([drawn], tmp_path / "annotation")
    return tmp_path / "images", tmp_path / "annotation"


@pytest.mark.parametrize(("order", "quiet_between"), [((0, 1), False), ((1, 0), False), ((1, 0), True)])
def test_the_seg_of_a_study_is_in_orthanc(
    orthanc: Orthanc, node: Serving, study: tuple[Path, Path], order: tuple[int, int], *, quiet_between: bool
) -> None:
    _storescu(node, study[order[0]])
    if quiet_between:
        until(lambda: "study_incomplete" in node.log, 30)
    _storescu(node, study[order[1]])
    sent = time.monotonic()
    (seg,) = until(orthanc.segs, 60)
    took = time.monotonic() - sent
    with node.database() as database:
        (done,) = until(lambda: events(database, "job_done"), 5)
    own = took - node.quiet_seconds - done.details["seconds"]
    assert own < 5
    assert seg["MainDicomTags"]["SOPInstanceUID"] == done.details["objects"][0]
    assert orthanc.ask(f"/instances/{seg['ID']}/simplified-tags")["SOPClassUID"] == SegmentationStorage
    assert orthanc.find("SEG") == set(done.details["objects"])


def test_orthanc_gets_binary_deflated_in_place_of_the_label_map_that_it_does_not_take(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    profile = OutputProfile(
        name="viewer", objects=(ObjectKind.SEG,), seg=(FORMS["labelmap-rle"], FORMS["binary-deflated"])
    )
    labelmap, binary = seg_by_highdicom(SegType.LABELMAP, 21), seg_by_highdicom(SegType.BINARY, 22)
    database = Database(tmp_path / "node.sqlite")
    database.upgrade()
    desk = Desk(database=database, spool=Spool(tmp_path / "spool"), destinations={"orthanc": profile})
    hand_over(desk, labelmap, binary)

    to = DicomDestination(peer=orthanc.peer, calling_ae="NODE", encode=in_syntax, proof=Proof.QUERY)
    serve_all(courier_of(desk, orthanc=to))
    assert {row.sop_uid: row.state for row in deliveries.all_deliveries(database)} == {
        "2.25.21": DeliveryState.REPLACED,
        "2.25.22": DeliveryState.VERIFIED,
    }
    database.close()
    (seg,) = orthanc.segs()
    got = dcmread(BytesIO(orthanc.file(seg["ID"])))
    assert got.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert got == dcmread(BytesIO(binary.content))


def test_a_pacs_that_takes_only_implicit_vr_gets_the_seg_converted(tmp_path: Path, study: tuple[Path, Path]) -> None:
    only = [build_context(SegmentationStorage, ImplicitVRLittleEndian)]
    with Loopback(tmp_path / "pacs", contexts=only) as pacs:
        node = serving(tmp_path, pacs.peer, quiet_seconds=0.5, seg=("binary-deflated",))
        with node.running():
            for folder in study:
                _storescu(node, folder)
            (arrived,) = pacs.wait_for(1, timeout=60)
    (made,) = (tmp_path / "data" / "spool" / "outbox").rglob("*.dcm")
    got, kept = dcmread(arrived), dcmread(made)
    assert got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert (got.pixel_array == kept.pixel_array).all()
    assert [one.keyword for one in kept if one.keyword != "PixelData" and one != got[one.tag]] == []


def _storescu(node: Serving, folder: Path) -> None:
    program = require_program("storescu")
    subprocess.run([program, "-aec", "DICOMNODE", "+sd", "127.0.0.1", str(node.port), folder], check=True, timeout=60)
