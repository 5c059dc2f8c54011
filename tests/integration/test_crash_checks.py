"""The checks of the crash tests see each thing that may be wrong, and nothing where all is well."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage

from dicomnode.domain import AssociationEnd, Uid
from dicomnode.network.part10 import StoreRequest
from dicomnode.receiving import receive
from dicomnode.store import associations
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Spool
from tests.builders import ct_series
from tests.crash import checks
from tests.crash.checks import Kept
from tests.crash.studies import Wanted
from tests.rows import done_job
from tests.senders import data_set_of

SEG, WANTED = "1.2.6.1", Wanted("1.2", "1.2.3", 2, "liver")


class Archive:
    """A PACS that has these SEGs."""

    def __init__(self, *segs: bytes) -> None:
        self._segs = segs

    def ask(self, _path: str, _query: object = None) -> Any:  # noqa: ANN401 - JSON
        return [str(number) for number in range(len(self._segs))]

    def file(self, instance: str) -> bytes:
        return self._segs[int(instance)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Return a node that has received an image and delivered a SEG."""
    database = Database(tmp_path / "dicomnode.sqlite")
    database.upgrade()
    spool = Spool(tmp_path / "spool")
    done_job(database, "pacs")
    run_sql(Kept(data=tmp_path), "DELETE FROM instance")  # they have no file
    desk = Desk(database=database, spool=spool, destinations={})
    association = associations.open_association(database, "PEER")
    image = ct_series(planes=1)[0]
    request = StoreRequest(
        sop_class_uid=Uid(CTImageStorage),
        sop_instance_uid=Uid(image.SOPInstanceUID),
        transfer_syntax_uid=Uid(ExplicitVRLittleEndian),
        peer_ae="PEER",
        association_id=association,
    )
    receive(desk, request, [data_set_of(image)])
    associations.close_association(database, association, AssociationEnd.RELEASED)
    spool.put(f"outbox/{SEG}.dcm", [seg()])
    database.close()
    sha256 = hashlib.sha256(seg()).hexdigest()
    run_sql(Kept(data=tmp_path), f"UPDATE artifact SET sha256 = '{sha256}'")  # noqa: S608 - ours
    for table, state in (("study", "dispatched"), ("job", "done"), ("delivery", "verified")):
        run_sql(Kept(data=tmp_path), f"UPDATE {table} SET state = '{state}'")  # noqa: S608 - ours
    return Kept(data=tmp_path)


@pytest.fixture
def acknowledged() -> dict[str, str]:
    image = ct_series(planes=1)[0]
    return {str(image.SOPInstanceUID): hashlib.sha256(data_set_of(image)).hexdigest()}


def seg(uid: str = SEG, images: int = 2, words: str = "") -> bytes:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SegmentationStorage, UID(uid)
    ds.StudyInstanceUID, ds.SeriesDescription = WANTED.study, words
    segment, series = Dataset(), Dataset()
    segment.SegmentLabel, series.SeriesInstanceUID = WANTED.region, WANTED.series
    series.ReferencedInstanceSequence = [Dataset() for _ in range(images)]
    ds.SegmentSequence, ds.ReferencedSeriesSequence = [segment], [series]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = BytesIO()
    ds.save_as(content, enforce_file_format=True)
    return content.getvalue()


def run_sql(kept: Kept, statement: str) -> None:
    with closing(sqlite3.connect(kept.data / "dicomnode.sqlite")) as connection, connection:
        connection.execute(statement)


def the_file(kept: Kept) -> Path:
    (path,) = (kept.data / "spool" / "studies").rglob("*.dcm")
    return path


def cut_short(kept: Kept) -> None:
    the_file(kept).write_bytes(the_file(kept).read_bytes()[:-1])


def lay_aside(kept: Kept) -> None:
    aside = kept.data / "spool" / "orphans" / "one.dcm"
    aside.parent.mkdir()
    aside.write_bytes(b"it")


def test_nothing_is_said_where_all_is_well(kept: Kept, acknowledged: dict[str, str]) -> None:
    assert list(checks.what_is_lost(kept, acknowledged)) == []
    assert list(checks.what_is_left_over(kept)) == []
    assert list(checks.what_is_not_done(kept, ["verified"])) == []
    assert list(checks.what_the_pacs_lacks(Archive(seg()), kept, [WANTED])) == []
    assert checks.left_of(kept, ["verified"], 1) == ""


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda kept: the_file(kept).unlink(), "is no file"),
        (cut_short, "is kept"),
        (lambda kept: run_sql(kept, "DELETE FROM instance"), "there is no row of it"),
        (lambda kept: run_sql(kept, "UPDATE instance SET digest = 'aa'"), "its row says"),
        (lambda kept: run_sql(kept, "UPDATE instance SET conflict = 1"), "a conflict"),
    ],
)
def test_what_is_lost_is_named(
    kept: Kept, acknowledged: dict[str, str], damage: Callable[[Kept], None], said: str
) -> None:
    damage(kept)
    (uid,) = acknowledged
    found = list(checks.what_is_lost(kept, acknowledged))
    assert any(line.startswith(uid) and said in line for line in found), found


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda kept: (kept.data / "spool" / "incoming" / "it.part").touch(), "incoming/it.part: a file without a row"),
        (lay_aside, "orphans/one.dcm: a file without a row"),
        (lambda kept: run_sql(kept, "DELETE FROM instance"), ".dcm: a file without a row"),
        (lambda kept: (kept.data / "spool" / "outbox" / f"{SEG}.dcm").write_bytes(b""), f"{SEG}: a result whose file"),
    ],
)
def test_what_is_left_over_is_named(kept: Kept, damage: Callable[[Kept], None], said: str) -> None:
    damage(kept)
    (found,) = checks.what_is_left_over(kept)
    assert said in found


@pytest.mark.parametrize(
    "change", ["study SET state = 'incomplete' WHERE study_uid = '1.2'", "job SET state = 'failed'"]
)
def test_what_is_not_done_is_named(kept: Kept, change: str) -> None:
    run_sql(kept, f"UPDATE {change}")
    assert len(list(checks.what_is_not_done(kept, ["verified"]))) == 1
    assert change.split("'")[1] in checks.left_of(kept, ["verified"], 1)


def test_a_delivery_that_has_not_ended_as_it_must_is_named(kept: Kept) -> None:
    run_sql(kept, "UPDATE delivery SET state = 'delivered'")
    assert len(list(checks.what_is_not_done(kept, ["verified"]))) == 1
    assert checks.left_of(kept, ["delivered", "verified"], 1) == ""
    assert checks.left_of(kept, ["delivered", "verified"], 2) != ""


@pytest.mark.parametrize(
    ("segs", "said"),
    [
        ((), "0 in the PACS, 1 wanted"),
        ((seg(), seg("1.2.6.2")), "2 in the PACS"),
        ((seg(images=1),), "liver on 1 images"),
        ((seg(words="other"),), "other bytes than the outbox"),
    ],
)
def test_what_the_pacs_has_not_exactly_once_is_named(kept: Kept, segs: tuple[bytes, ...], said: str) -> None:
    found = list(checks.what_the_pacs_lacks(Archive(*segs), kept, [WANTED]))
    assert any(said in line for line in found), found


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "2026-01-31T12:00:00.000Z ERROR job_failed it"])
def test_lines_of_the_log_that_tell_of_a_bug_are_named(line: str) -> None:
    well = "2026-01-31T12:00:00.000Z WARNING recovered the node before this one died"
    away = "2026-01-31T12:00:00.000Z ERROR destination_open a destination is left alone until a probe succeeds"
    assert list(checks.what_the_log_tells(f"{well}\n{away}\n{line}\n")) == [f"log: {line}"]
