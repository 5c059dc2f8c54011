import os
import subprocess
import sys
from pathlib import Path

import pytest

from dicomnode.errors import Unavailable
from dicomnode.overview import Finding, Overview, Trouble, findings, overview, without_names
from dicomnode.settings import Settings, Surroundings, parse
from dicomnode.store import tables
from dicomnode.store.database import FILE_NAME, Database, migrate, opened
from tests import standing
from tests.rows import Clock, image, receive

MENDED = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example.org"\nport = 104\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read(tmp_path, "[storage]\nstop_free_gib = 0\n" + MENDED)


def read(folder: Path, text: str) -> Settings:
    where = Surroundings(environment={"HOME": str(folder)}, folder=folder)
    return parse(f'[node]\ndata_dir = "{folder}"\n{text}', None, where)


def troubles(seen: Overview) -> list[Trouble]:
    return [one.what for one in seen.attention]


def test_a_process_that_was_seen_just_now_lives(database: Database, settings: Settings) -> None:
    standing.process(database, pid=os.getpid())
    seen = overview(database, settings)
    assert seen.running
    assert seen.attention == ()


def test_no_process_needs_attention(database: Database, settings: Settings) -> None:
    assert troubles(overview(database, settings)) == [Trouble.NO_NODE]


def test_a_process_that_is_gone_died(database: Database, settings: Settings) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    standing.process(database, pid=gone.pid)
    seen = overview(database, settings)
    assert not seen.running
    assert [one.detail for one in seen.attention] == [f"node: process {gone.pid} died without a word"]


def test_of_a_process_on_another_machine_only_its_silence_is_known(
    database: Database, settings: Settings, clock: Clock
) -> None:
    standing.process(database, pid=2**22 + 1, host="another-machine.invalid")
    assert overview(database, settings).running
    clock.advance(seconds=61)
    assert [one.detail for one in overview(database, settings).attention] == ["node: not seen for 61 s"]


def test_a_destination_that_is_left_alone_and_what_is_dead_need_attention(
    database: Database, settings: Settings, clock: Clock
) -> None:
    standing.study(database)
    standing.job(database, "j1")
    for number, state in enumerate(["waiting", "waiting", "dead", "delivered"]):
        standing.artifact(database, f"2.25.{number}", "j1")
        standing.delivery(database, f"2.25.{number}", "pacs", "j1", state, reason=f"reason {number}")
        clock.advance(minutes=1)
    standing.breaker(database, "pacs", "open", reason="nobody there", failures=3)
    standing.process(database)
    seen = overview(database, settings)
    assert troubles(seen) == [Trouble.DESTINATION_DOWN, Trouble.DEAD_LETTERS]
    (pacs,) = seen.outlets
    assert (pacs.address, pacs.down) == ("PACS@pacs.example.org:104", True)
    assert pacs.queue.counts == {"waiting": 2, "dead": 1, "delivered": 1}
    assert pacs.queue.oldest is not None
    assert (seen.at - pacs.queue.oldest).total_seconds() == 240
    assert pacs.queue.last_error == "reason 1"
    assert [one.sop_uid for one in seen.summary.dead] == ["2.25.2"]


def test_a_destination_that_works_needs_none(database: Database, settings: Settings) -> None:
    standing.process(database)
    standing.breaker(database, "pacs", "closed", failures=1)
    assert overview(database, settings).attention == ()


def test_a_destination_that_the_settings_name_no_more_is_told(database: Database, settings: Settings) -> None:
    standing.study(database)
    standing.job(database, "j1")
    standing.artifact(database, "2.25.1", "j1")
    standing.delivery(database, "2.25.1", "gone", "j1", "waiting")
    assert [(one.name, one.address) for one in overview(database, settings).outlets] == [
        ("pacs", "PACS@pacs.example.org:104"),
        ("gone", None),
    ]


def test_a_disk_below_the_watermark_needs_attention(database: Database, tmp_path: Path) -> None:
    standing.process(database)
    seen = overview(database, read(tmp_path, "[storage]\nstop_free_gib = 1e9\n"))
    assert troubles(seen) == [Trouble.DISK_FULL]


def test_studies_wait_for_a_reason_and_since_when(database: Database, settings: Settings, clock: Clock) -> None:
    began = clock.now
    evidence = {"findings": [{"kind": "images", "for": False, "words": "3 of 4 are here", "until": None}], "seen": {}}
    standing.study(database, "1.2.1", "incomplete", reason="1 image and no annotation", evidence=evidence)
    clock.advance(hours=2)
    standing.put(database, tables.association, id=7, peer_ae="CT1", opened_at=clock.now)
    receive(database, image(), association_id=7)
    seen = overview(database, settings).summary
    assert [(one.study_uid, one.state, one.open_associations) for one in seen.waiting] == [
        ("1.2.1", "incomplete", 0),
        ("1.2", "receiving", 1),
    ]
    assert (seen.waiting[0].since, seen.waiting[0].reason) == (began, "1 image and no annotation")
    assert findings(seen.waiting[0].evidence) == (Finding(supports=False, words="3 of 4 are here"),)
    assert [one.peer_ae for one in seen.associations] == ["CT1"]
    assert (seen.instances, seen.received_bytes) == (1, 9)


def test_jobs_and_fetches_and_conflicts_are_counted(database: Database, settings: Settings, clock: Clock) -> None:
    standing.study(database)
    for number, state in enumerate(["ready", "running", "failed", "refused", "done", "done"]):
        standing.job(database, f"j{number}", state, reason="so")
        clock.advance(minutes=1)
    now = database.now()
    fetch = {"origin": "annotation", "wanted": {}, "attempts": 1, "created_at": now, "next_at": now}
    for state in ("waiting", "done"):
        standing.put(database, tables.fetch, **fetch, state=state)
    receive(database, image(), image(digest="ab"))
    seen = overview(database, settings).summary
    assert seen.jobs == {"ready": 1, "running": 1, "done": 2, "refused": 1, "failed": 1}
    assert [one.key for one in seen.running] == ["j1"]
    assert [one.key for one in seen.stopped] == ["j3", "j2"]
    assert seen.fetches == {"waiting": 1, "done": 1}
    assert [one.state for one in seen.open_fetches] == ["waiting"]
    assert [(one.sop_uid, one.sender) for one in seen.conflicts] == [("1.2.3.1", "PEER")]


def test_a_writer_keeps_nobody_from_looking(database: Database, settings: Settings) -> None:
    with database.write():
        assert overview(database, settings).summary.jobs == {}


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("ROI 3 'Smith, John': NO_BOX: empty", "ROI 3 '...': NO_BOX: empty"),
        ("ROI 3 'O'Neil liver': NO_BOX; ROI 4 'x'", "ROI 3 '...': NO_BOX; ROI 4 '...'"),
        ("ROI 3 \"its 'own' name\" lies off", "ROI 3 '...' lies off"),
        ("the worker's process ended by signal 9", "the worker's process ended by signal 9"),
        ("the worker's process and its child's end", "the worker's process and its child's end"),
    ],
)
def test_what_is_quoted_is_left_out(text: str, safe: str) -> None:
    assert without_names(text) == safe


def test_where_no_node_ran_there_is_no_database_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no node ran on this data folder yet"), opened(tmp_path):
        pass
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("revision", "words"), [("0004", "the next `dicomnode serve` brings it up to date"), (None, "has no tables yet")]
)
def test_an_older_database_is_not_upgraded(tmp_path: Path, revision: str | None, words: str) -> None:
    database = Database(tmp_path / FILE_NAME)
    with database.write() as connection:
        if revision is not None:
            migrate(connection, revision)
    database.close()
    for _ in range(2):
        with pytest.raises(Unavailable, match=words), opened(tmp_path):
            pass


def test_the_database_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    database = Database(tmp_path / FILE_NAME)
    database.upgrade()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(Unavailable, match="of version 9999, which this dicomnode"), opened(tmp_path):
        pass


def test_a_folder_with_an_odd_name_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a ?&#%20 folder"
    folder.mkdir()
    database = Database(folder / FILE_NAME)
    database.upgrade()
    database.close()
    with opened(folder) as found:
        assert found.version() >= "0005"
