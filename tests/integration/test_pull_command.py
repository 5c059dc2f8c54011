"""`dicomnode pull`, on an Orthanc."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless
from typer.testing import CliRunner

from dicomnode.describing import instances_of
from dicomnode.domain import FetchState, Uid
from dicomnode.errors import PeerUnreachable, SettingsError, Unavailable
from dicomnode.network.associations import Peer
from dicomnode.node import Node
from dicomnode.settings import Surroundings, load
from dicomnode.store import fetches
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.lock import locked
from dicomnode.store.spool import Spool
from dicomnode_cli.main import app
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.orthanc import Orthanc, running
from tests.serving import free_port

IMAGES = ct_series()
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
SERIES = IMAGES[0].SeriesInstanceUID
OWN = Peer(ae_title="DICOMNODE", host="127.0.0.1", port=free_port())


class Told:
    """What the command said: its exit code, its JSON, and its words."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        options = ["pull", *map(str, arguments), "--json", "--config", str(folder / "dicomnode.toml")]
        done = CliRunner().invoke(app, options)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.code = done.exit_code
        self.json: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        self.words = done.stderr

    def __repr__(self) -> str:
        return f"{self.code} {self.json} {self.words}"


def write_settings(folder: Path, peer: Peer, retrieve: str = "c-get") -> None:
    lines = ["[node]", 'data_dir = "data"', "[listener]", 'host = "127.0.0.1"', f"port = {OWN.port}"]
    lines += ["[[sources]]", 'name = "archive"', f'ae_title = "{peer.ae_title}"', f'host = "{peer.host}"']
    (folder / "dicomnode.toml").write_text("\n".join([*lines, f"port = {peer.port}", f'retrieve = "{retrieve}"']))


def database_of(folder: Path) -> Database:
    (folder / "data").mkdir(exist_ok=True)
    database = Database(folder / "data" / "dicomnode.sqlite")
    database.upgrade()
    return database


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("pacs")
    with running(folder / "orthanc", OWN) as orthanc:
        first, *others = save([*IMAGES, DRAWN], folder / "sent")
        ds = dcmread(first)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(first)
        for path in (first, *others):
            orthanc.upload(path.read_bytes())
        yield orthanc


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return the folder of settings whose source is nowhere."""
    write_settings(tmp_path, Peer(ae_title="GONE", host="127.0.0.1", port=1))
    return tmp_path


@pytest.mark.peer
@pytest.mark.parametrize("retrieve", ["c-get", "c-move"])
def test_files_come_into_a_folder_as_the_archive_keeps_them_and_what_is_there_stays(
    here: Path, pacs: Orthanc, retrieve: str
) -> None:
    write_settings(here, pacs.peer, retrieve)
    into = ("--output", here / "out")
    told = Told(here, "archive", "--query", "PatientName=Phan*", "--modality", "ct", *into)
    assert told.code == 0, told
    (series,) = told.json["series"]
    assert series == {
        "study_uid": STUDY,
        "series_uid": SERIES,
        "kinds": ["CT Image Storage"],
        "found": 5,
        "here": 5,
    }
    files = {path.stem: path for path in (here / "out" / STUDY / SERIES).iterdir()}
    assert files.keys() == {ds.SOPInstanceUID for ds in IMAGES}
    assert dcmread(files[IMAGES[0].SOPInstanceUID]).file_meta.TransferSyntaxUID == RLELossless
    times = {path: path.stat().st_mtime_ns for path in files.values()}
    assert Told(here, "archive", "--study", STUDY, *into).json["here"] == 6
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not (here / "data").exists()


@pytest.mark.peer
def test_exit_codes_tell_nothing_found_and_not_all_found(here: Path, pacs: Orthanc) -> None:
    write_settings(here, pacs.peer)
    into = ("--output", here / "out")
    assert Told(here, "archive", "--query", "PatientName=Nobody", *into).code == 3
    some = Told(here, "archive", "--series", SERIES, "--series", "1.2.3", *into)
    assert (some.code, some.json["state"], some.json["here"]) == (4, "failed", 5)
    assert "failed  archive: it does not have 1.2.3" in some.words
    assert Told(here, "archive", "--instance", "1.2.3", *into).code == 1


@pytest.mark.peer
@pytest.mark.parametrize("retrieve", ["c-get", "c-move"])
def test_where_no_node_runs_the_command_fetches_in_its_place(here: Path, pacs: Orthanc, retrieve: str) -> None:
    write_settings(here, pacs.peer, retrieve)
    told = Told(here, "archive", "--instance", IMAGES[2].SOPInstanceUID, "--series", DRAWN.SeriesInstanceUID)
    assert (told.code, told.json["state"], told.json["found"], told.json["here"]) == (0, "done", 2, 2), told
    database = database_of(here)
    kept = instances_of(Desk(database=database, spool=Spool(here / "data" / "spool"), destinations={}), Uid(STUDY))
    database.close()
    assert {one.sop_instance_uid for one in kept} == {IMAGES[2].SOPInstanceUID, DRAWN.SOPInstanceUID}


@pytest.mark.peer
def test_a_running_node_fetches_what_is_pulled(here: Path, pacs: Orthanc) -> None:
    write_settings(here, pacs.peer, "c-move")
    settings = load(here / "dicomnode.toml", Surroundings(environment={}, folder=here)).settings
    with Node(settings, load=FillsTheBox):
        told = Told(here, "archive", "--query", "Modality=RTSTRUCT")
    assert (told.code, told.json["state"], told.json["found"], told.json["here"]) == (0, "done", 6, 6), told


def test_a_source_that_is_away_is_left_to_the_next_node(here: Path) -> None:
    told = Told(here, "archive", "--study", STUDY)
    assert (told.code, told.json["state"]) == (1, "waiting")
    assert "archive: GONE at 127.0.0.1 port 1 did not answer" in told.words
    database = database_of(here)
    (row,) = fetches.fetches_of(database)
    database.close()
    assert row.state is FetchState.WAITING
    assert row.expires_at is not None
    assert row.expires_at - row.next_at > timedelta(hours=71)


def test_a_source_that_is_away_gives_no_files(here: Path) -> None:
    with pytest.raises(PeerUnreachable, match=r"GONE at 127\.0\.0\.1 port 1 did not answer"):
        Told(here, "archive", "--study", STUDY, "--output", here / "out")


def test_a_running_node_is_waited_for_until_it_puts_the_fetch_off(here: Path) -> None:
    database, stopped = database_of(here), Event()

    def put_off() -> None:
        while not stopped.wait(0.05):
            for number in fetches.due(database):
                row = fetches.claim(database, number)
                assert row is not None
                fetches.put_back(database, row, "archive: it is away")

    with locked(here / "data"):
        assert Told(here, "archive", "--study", STUDY, "--no-wait").code == 0
        node = Thread(target=put_off)
        node.start()
        told = Told(here, "archive", "--study", STUDY)
        stopped.set()
        node.join()
    database.close()
    assert (told.code, told.json["state"], told.json["reason"]) == (1, "waiting", "archive: it is away")
    assert "it is tried again by the node: archive: it is away" in told.words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nix", "--study", STUDY), "there is no source 'nix'; there are: archive"),
        (("archive", "--query", "PatientsName=A", "--output", "out"), "'PatientsName' is no DICOM keyword"),
    ],
)
def test_a_mistake_in_what_is_asked_for_is_told(here: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Told(here, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [("archive",), ("archive", "--study", "../x"), ("archive", "--query", "PatientName"), ("archive", "--limit", "0")],
)
def test_what_says_nothing_to_fetch_is_wrong_usage(here: Path, arguments: tuple[str, ...]) -> None:
    assert Told(here, *arguments).code == 2


@pytest.mark.peer
def test_without_a_place_to_listen_nothing_is_moved(here: Path, pacs: Orthanc) -> None:
    taken = Peer(ae_title="DICOMNODE", host="127.0.0.1", port=pacs.peer.port)
    write_settings(here, pacs.peer, "c-move")
    text = (here / "dicomnode.toml").read_text().replace(f"port = {OWN.port}", f"port = {taken.port}", 1)
    (here / "dicomnode.toml").write_text(text)
    with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1 port {taken.port}"):
        Told(here, "archive", "--study", STUDY, "--output", here / "out")
