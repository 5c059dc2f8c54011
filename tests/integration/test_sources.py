"""Sources against real archives: Orthanc, and DCMTK's dcmqrscp."""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicomnode.domain import AssociationEnd, Uid, Wanted
from dicomnode.errors import ClassRefused, PeerUnreachable, Reason, Refused, Unavailable
from dicomnode.network.admission import Caller
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Hooks, Listener
from dicomnode.network.listing import counts, listing
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.portions import Portion, Recipient
from dicomnode.network.query import find
from dicomnode.network.sources import DicomSource, Source, WebSource
from dicomnode.network.storing import Chunk, Intake
from dicomnode.network.web import WebPeer
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.fakes import Loopback
from tests.orthanc import Orthanc, dicomweb_plugin, running
from tests.serving import free_port, until

IMAGES = ct_series(planes=4)
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
UID, SERIES = Uid(STUDY), Uid(IMAGES[0].SeriesInstanceUID)
peer_test = pytest.mark.peer
WAYS = ["c-get", "c-move", "dicomweb"]


@dataclass
class Kept:
    """What was retrieved, and how associations ended; `refuse` is raised by whatever comes."""

    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    ended: list[AssociationEnd] = field(default_factory=list)
    refuse: Exception | None = None

    def recipient(self) -> Recipient:
        return Recipient(
            opened=self.open, closed=lambda _, ended: self.ended.append(ended), intake=Intake(receive=self.receive)
        )

    def open(self, peer_ae: str) -> int:
        self.opened.append(peer_ae)
        return len(self.opened)

    def receive(self, request: StoreRequest, data_set: Iterable[Chunk]) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.objects[request.sop_instance_uid] = (request.transfer_syntax_uid, b"".join(data_set))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of a study by their UIDs: images in four transfer syntaxes, and an RTSTRUCT."""
    folder = tmp_path_factory.mktemp("files")
    paths = {path.stem: path for path in save([*IMAGES, DRAWN], folder)}
    for path, syntax in zip(list(paths.values())[:3], (RLELossless, JPEG2000Lossless, JPEGLSLossless), strict=True):
        ds = dcmread(path)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(path)
    return paths


@pytest.fixture(scope="module")
def own() -> Peer:
    return Peer(ae_title="DICOMNODE", host="127.0.0.1", port=free_port())


@pytest.fixture(scope="module")
def pacs(files: dict[str, Path], own: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("pacs") / "orthanc", own, plugins=[dicomweb_plugin()]) as orthanc:
        for path in files.values():
            orthanc.upload(path.read_bytes())
        yield orthanc


def source(pacs: Orthanc, way: str) -> Source:
    if way == "dicomweb":
        return WebSource(name="archive", peer=WebPeer(url=f"{pacs.url}/dicom-web"))
    return DicomSource(name="archive", peer=pacs.peer, calling_ae="DICOMNODE", pushes=way == "c-move")


@contextmanager
def listening(own: Peer, kept: Kept) -> Iterator[None]:
    def opened(caller: Caller) -> int:
        return kept.open(caller.calling_ae)

    hooks = Hooks(opened=opened, closed=lambda _, ended: kept.ended.append(ended), receive=kept.receive)
    listener = Listener(own.ae_title, (own.host, own.port), hooks)
    listener.start()
    try:
        yield
    finally:
        listener.stop(5)


def retrieved(asked: Source, wanted: Wanted, own: Peer) -> Kept:
    kept = Kept()
    portions = listing(asked.search, wanted).portions
    if asked.pushes:
        with listening(own, kept):
            asked.retrieve(portions, kept.recipient(), lambda: None)
    else:
        asked.retrieve(portions, kept.recipient(), lambda: None)
    return kept


@peer_test
@pytest.mark.parametrize("way", WAYS)
def test_a_whole_study_comes_byte_for_byte_in_the_syntaxes_in_which_it_is_kept(
    pacs: Orthanc, files: dict[str, Path], own: Peer, way: str
) -> None:
    kept = retrieved(source(pacs, way), Wanted(studies=(UID,)), own)
    assert kept.objects.keys() == files.keys()
    for uid, (syntax, data_set) in kept.objects.items():
        content = files[uid].read_bytes()
        assert content.endswith(data_set)
        assert len(content) - len(data_set) < 1000
        assert syntax == dcmread(files[uid]).file_meta.TransferSyntaxUID
    assert set(kept.ended) == {AssociationEnd.RELEASED}
    assert set(kept.opened) == ({"archive"} if way == "dicomweb" else {"ORTHANC"})


@peer_test
@pytest.mark.parametrize("way", WAYS)
def test_of_a_series_only_what_is_asked_for_comes(pacs: Orthanc, own: Peer, way: str) -> None:
    some = tuple(Uid(ds.SOPInstanceUID) for ds in IMAGES[1:3])
    assert retrieved(source(pacs, way), Wanted(instances=some), own).objects.keys() == set(some)


@peer_test
@pytest.mark.parametrize("way", ["c-get", "dicomweb"])
def test_archives_are_queried_and_counted(pacs: Orthanc, way: str) -> None:
    search = source(pacs, way).search
    for query in ({"Modality": "RTSTRUCT"}, {"StudyDate": "20260101-20260103", "PatientName": "Ph*"}):
        assert len(listing(search, Wanted(query=query)).objects) == 5
    assert listing(search, Wanted(query={"Modality": "MR"})).objects == set()
    assert counts(search, UID) == {SERIES: 4, Uid(DRAWN.SeriesInstanceUID): 1}
    (study,) = search("STUDY", {"StudyInstanceUID": STUDY, "ModalitiesInStudy": ""}, limit=1)
    assert sorted(study["ModalitiesInStudy"].split("\\")) == ["CT", "RTSTRUCT"]


@peer_test
def test_a_move_to_an_ae_that_the_archive_does_not_know_says_so(pacs: Orthanc) -> None:
    stranger = DicomSource(name="archive", peer=pacs.peer, calling_ae="STRANGER", pushes=True)
    portions = listing(stranger.search, Wanted(studies=(UID,))).portions
    with pytest.raises(Unavailable, match=r"C-MOVE from ORTHANC .* to STRANGER, which it must know and reach"):
        stranger.retrieve(portions, Kept().recipient(), lambda: None)


@peer_test
def test_what_cannot_be_kept_or_is_refused_here_is_no_success_for_the_archive(pacs: Orthanc) -> None:
    asked = source(pacs, "c-get")
    portions = listing(asked.search, Wanted(series=(SERIES,))).portions
    for error in (OSError(28, "No space left"), Refused(Reason.UNREADABLE, "it", "is damaged")):
        kept = Kept(refuse=error)
        with pytest.raises(PeerUnreachable, match="it did not work: status 0xA702"):
            asked.retrieve(portions, kept.recipient(), lambda: None)
        assert (kept.objects, kept.ended) == ({}, [AssociationEnd.RELEASED])


@peer_test
def test_a_retrieval_that_is_broken_off_here_ends_its_association(pacs: Orthanc) -> None:
    kept, asked = Kept(), source(pacs, "c-get")

    def stop() -> None:
        raise Unavailable("the node is stopping")

    with pytest.raises(Unavailable, match="stopping"):
        asked.retrieve(listing(asked.search, Wanted(studies=(UID,))).portions, kept.recipient(), stop)
    assert kept.ended == [AssociationEnd.LOST]


def test_a_peer_that_takes_no_retrieval_is_refused_by_name(tmp_path: Path) -> None:
    portion = Portion(study_uid=UID, series_uid=SERIES, objects={Uid("1.3"): IMAGES[0].SOPClassUID}, whole=True)
    with Loopback(tmp_path / "pacs") as pacs:
        asked = DicomSource(name="archive", peer=pacs.peer, calling_ae="DICOMNODE")
        with pytest.raises(ClassRefused, match=r"LOOPBACK at 127.0.0.1 port [0-9]+: PEER_REFUSED: it takes no C-GET"):
            asked.retrieve([portion], Kept().recipient(), lambda: None)
        with pytest.raises(ClassRefused, match="it takes no Study Root"):
            find(pacs.peer, "DICOMNODE", "STUDY", {"StudyInstanceUID": ""})


def test_a_peer_that_is_away_is_unavailable() -> None:
    away = Peer(ae_title="GONE", host="127.0.0.1", port=1)
    with pytest.raises(PeerUnreachable, match=r"GONE at 127.0.0.1 port 1 did not answer"):
        find(away, "DICOMNODE", "STUDY", {"StudyInstanceUID": ""}, seconds=1)


def test_a_word_that_is_no_keyword_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(Refused, match="'PatientsName' is no DICOM keyword"):
        find(Peer(ae_title="GONE", host="127.0.0.1", port=1), "DICOMNODE", "STUDY", {"PatientsName": "A"})


@contextmanager
def dcmqrscp(folder: Path, own: Peer, objects: Sequence[Dataset]) -> Iterator[Peer]:
    """Lend DCMTK's archive with `objects` in it, which knows where `own` listens."""
    program, sender = require_program("dcmqrscp"), require_program("storescu")
    (folder / "store").mkdir(parents=True)
    peer = Peer(ae_title="QR", host="127.0.0.1", port=free_port())
    config = folder / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {peer.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nown = ({own.ae_title}, {own.host}, {own.port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQR {folder / 'store'} RW (200, 1024mb) ANY\nAETable END\n"
    )
    send: list[str | Path] = [sender, "-aec", "QR", peer.host, str(peer.port), *save(objects, folder / "sent")]
    with subprocess.Popen(
        [program, "-c", config], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: subprocess.run(send, check=False, capture_output=True).returncode == 0, 10)
            yield peer
        finally:
            process.kill()


@peer_test
def test_another_archive_gives_a_study_and_some_of_a_series(tmp_path: Path, own: Peer) -> None:
    some = tuple(Uid(ds.SOPInstanceUID) for ds in IMAGES[1:3])
    with dcmqrscp(tmp_path, own, [*IMAGES, DRAWN]) as peer:
        for pushes in (False, True):
            asked = DicomSource(name="qr", peer=peer, calling_ae="DICOMNODE", pushes=pushes)
            assert sum(counts(asked.search, UID).values()) == 5
            assert len(retrieved(asked, Wanted(studies=(UID,)), own).objects) == 5
            found = listing(asked.search, Wanted(instances=some), near=UID)
            kept = Kept()
            with listening(own, kept):
                asked.retrieve(found.portions, kept.recipient(), lambda: None)
            assert kept.objects.keys() == found.objects == set(some)
        stranger = DicomSource(name="qr", peer=peer, calling_ae="STRANGER", pushes=True)
        with pytest.raises(Refused, match="does not know where this AE title listens"):
            stranger.retrieve(found.portions, Kept().recipient(), lambda: None)
