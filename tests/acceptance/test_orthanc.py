import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, SegmentationStorage
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import DeliveryState, ObjectKind, OutputProfile, SegSyntax, SegType
from dicomnode.network.sender import Peer, send
from dicomnode.queue.steps import send_next
from dicomnode.settings.profiles import FORMS
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.fakes import Loopback
from tests.objects import hand_over, seg_by_highdicom
from tests.serving import Serving, free_port, serving, until

pytestmark = pytest.mark.peer


@dataclass(frozen=True, kw_only=True, slots=True)
class Orthanc:
    """A running Orthanc: where it listens for DICOM, and for its REST API."""

    peer: Peer
    url: str

    def ask(self, path: str, query: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON that the REST API answers: to a GET, or to a POST of `query`."""
        body = None if query is None else json.dumps(query).encode()
        with urllib.request.urlopen(self.url + path, body, timeout=5) as answer:  # noqa: S310 - it is http
            return json.load(answer)

    def segs(self) -> list[dict[str, Any]]:
        """Return what the REST API knows of the study's segmentations."""
        wanted = {"Modality": "SEG", "StudyInstanceUID": STUDY}
        found: list[dict[str, Any]] = self.ask("/tools/find", {"Level": "Instance", "Query": wanted, "Expand": True})
        return found

    def file(self, instance: str) -> bytes:
        """Return the file of an instance that the REST API names so."""
        with urllib.request.urlopen(f"{self.url}/instances/{instance}/file", timeout=5) as answer:  # noqa: S310 - http
            content: bytes = answer.read()
            return content

    def is_up(self) -> bool:
        """Return whether the REST API answers."""
        try:
            self.ask("/system")
        except URLError:
            return False
        return True


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    program = require_program("Orthanc")
    folder = tmp_path / "orthanc"
    folder.mkdir()
    pacs = Orthanc(
        peer=Peer(ae_title="ORTHANC", host="127.0.0.1", port=free_port()), url=f"http://127.0.0.1:{free_port()}"
    )
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomAet": pacs.peer.ae_title,
        "DicomPort": pacs.peer.port,
        "HttpPort": int(pacs.url.rsplit(":", 1)[1]),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowStore": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (
        (folder / "orthanc.log").open("wb") as log,
        subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log) as process,
    ):
        try:
            until(pacs.is_up, 30)
            yield pacs
        finally:
            process.terminate()


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
    assert _find(orthanc.peer) == done.details["objects"]


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

    def deliver(path: Path, syntaxes: tuple[SegSyntax, ...]) -> int:
        return send(path, orthanc.peer, "NODE", syntaxes, in_syntax)

    while send_next(desk, "orthanc", deliver):
        pass
    assert {row.sop_uid: row.state for row in deliveries.all_deliveries(database)} == {
        "2.25.21": DeliveryState.REPLACED,
        "2.25.22": DeliveryState.DELIVERED,
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


def _find(peer: Peer) -> Sequence[str]:
    """Return the SOP Instance UIDs of the study's segmentations, as C-FIND tells them."""
    ae = AE("SCU")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    assoc = ae.associate(peer.host, peer.port, ae_title=peer.ae_title)
    assert assoc.is_established
    series = _ask(assoc, QueryRetrieveLevel="SERIES", StudyInstanceUID=STUDY, Modality="SEG", SeriesInstanceUID="")
    instances = [
        found.SOPInstanceUID
        for one in series
        for found in _ask(
            assoc,
            QueryRetrieveLevel="IMAGE",
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=one.SeriesInstanceUID,
            SOPInstanceUID="",
        )
    ]
    assoc.release()
    return instances


def _ask(assoc: Association, **elements: str) -> list[Dataset]:
    query = Dataset()
    for keyword, value in elements.items():
        setattr(query, keyword, value)
    answers = assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    return [found for _, found in answers if found is not None]
