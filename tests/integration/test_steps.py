import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from dicomnode.dispatching import Orders, start_studies
from dicomnode.domain import (
    SEG_ONLY,
    AssociationEnd,
    Job,
    JobOptions,
    JobState,
    ObjectKind,
    Outcome,
    PriorityRule,
    SegType,
    StudyState,
    Uid,
    WrittenObject,
)
from dicomnode.errors import ModelLost, Unavailable
from dicomnode.network.part10 import StoreRequest
from dicomnode.queue.steps import Run, do_job
from dicomnode.queue.sweeps import Sweep, Sweeps
from dicomnode.receiving import receive
from dicomnode.settings.profiles import BUILT_IN_PROFILES
from dicomnode.store import arrivals, associations, deliveries, jobs
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Spool
from tests import values
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox

ORDERS = Orders(quiet_seconds=0, options=JobOptions(), model=FillsTheBox().identity)


class FillsUp(Spool):
    """A spool on a disk that is full while `full` is set."""

    full = False

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().put(key, chunks)


@pytest.fixture
def spool(tmp_path: Path) -> FillsUp:
    return FillsUp(tmp_path / "spool")


@pytest.fixture
def desk(tmp_path: Path, spool: FillsUp) -> Iterator[Desk]:
    database = Database(tmp_path / "node.sqlite")
    database.upgrade()
    yield Desk(database=database, spool=spool, destinations={"pacs": SEG_ONLY})
    database.close()


@pytest.fixture
def study(desk: Desk, tmp_path: Path) -> None:
    """Let a study arrive, in an association that is closed."""
    images = ct_series()
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5)]})
    association = associations.open_association(desk.database, "SENDER")
    for path in save([*images, drawn], tmp_path / "sent"):
        content = path.read_bytes()
        data_set = content[144 + int.from_bytes(content[140:144], "little") :]
        ds = drawn if path.stem == drawn.SOPInstanceUID else images[0]
        request = StoreRequest(
            sop_class_uid=Uid(ds.SOPClassUID),
            sop_instance_uid=Uid(path.stem),
            transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"),
            peer_ae="SENDER",
            association_id=association,
        )
        receive(desk, request, [data_set])
    associations.close_association(desk.database, association, AssociationEnd.RELEASED)


def made(content: bytes = b"a SEG") -> Outcome:
    written = WrittenObject(
        kind=ObjectKind.SEG, sop_instance_uid=Uid("2.25.1"), sop_class_uid=Uid("1.2.3"), content=content
    )
    return Outcome(objects=(written,), segments=(), exclusions=())


@pytest.mark.usefixtures("study")
def test_a_result_that_finds_no_room_is_made_again_later(desk: Desk, spool: FillsUp) -> None:
    assert start_studies(desk, ORDERS) == 1
    spool.full = True
    with pytest.raises(Unavailable, match="an object cannot be kept: No space left on device"):
        do_next_job(desk, lambda _job: made())
    assert [(job.state, job.attempts) for job in jobs.all_jobs(desk.database)] == [(JobState.READY, 0)]
    spool.full = False
    do_next_job(desk, lambda _job: made())
    assert [(job.state, job.attempts) for job in jobs.all_jobs(desk.database)] == [(JobState.DONE, 1)]
    assert [row.destination for row in deliveries.all_deliveries(desk.database)] == ["pacs"]


@pytest.mark.usefixtures("study")
def test_a_bug_fails_the_job_and_is_told(desk: Desk) -> None:
    start_studies(desk, ORDERS)
    do_next_job(desk, lambda _job: ZeroDivisionError("a bug"))
    assert [(job.state, job.reason) for job in jobs.all_jobs(desk.database)] == [
        (JobState.FAILED, "ZeroDivisionError: a bug")
    ]


@pytest.mark.usefixtures("study")
def test_a_job_that_is_broken_off_was_not_tried(desk: Desk) -> None:
    start_studies(desk, ORDERS)
    do_next_job(desk, lambda _job: None)
    assert [(job.state, job.attempts) for job in jobs.all_jobs(desk.database)] == [(JobState.READY, 0)]


@pytest.mark.usefixtures("study")
def test_a_job_waits_where_the_model_is_not_there_any_more(desk: Desk) -> None:
    start_studies(desk, ORDERS)
    with pytest.raises(ModelLost):
        do_next_job(desk, lambda _job: ModelLost("weights.safetensors cannot be read"))
    assert [(job.state, job.attempts) for job in jobs.all_jobs(desk.database)] == [(JobState.READY, 0)]


@pytest.mark.usefixtures("study")
def test_other_bytes_under_the_uid_of_an_object_that_exists_are_refused(desk: Desk, tmp_path: Path) -> None:
    start_studies(desk, ORDERS)
    do_next_job(desk, lambda _job: made())
    (late,) = save(ct_series(planes=6)[5:], tmp_path / "late")
    content = late.read_bytes()
    request = StoreRequest(
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance_uid=Uid(late.stem),
        transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"),
        peer_ae="SENDER",
        association_id=associations.open_association(desk.database, "SENDER"),
    )
    receive(desk, request, [content[144 + int.from_bytes(content[140:144], "little") :]])
    associations.close_association(desk.database, request.association_id, AssociationEnd.RELEASED)
    assert start_studies(desk, ORDERS) == 1
    do_next_job(desk, lambda _job: made(b"another SEG"))
    second = jobs.all_jobs(desk.database)[1]
    assert second.state is JobState.REFUSED
    assert second.reason is not None
    assert "UID_CONFLICT" in second.reason


@pytest.mark.usefixtures("study")
def test_a_job_that_gives_a_report_alone_is_done_and_the_report_is_delivered(desk: Desk) -> None:
    start_studies(desk, ORDERS)
    desk = replace(desk, destinations={"pacs": BUILT_IN_PROFILES["results"], "plain": SEG_ONLY})
    report = values.made(ObjectKind.SR, 5, SegType.BINARY)
    do_next_job(desk, lambda _job: Outcome(objects=(report,), segments=(), exclusions=()))
    assert [job.state for job in jobs.all_jobs(desk.database)] == [JobState.DONE]
    assert [(row.sop_uid, row.destination) for row in deliveries.all_deliveries(desk.database)] == [("2.25.5", "pacs")]


@pytest.mark.usefixtures("study")
def test_a_job_that_gives_nothing_is_refused_as_empty(desk: Desk) -> None:
    start_studies(desk, ORDERS)
    do_next_job(desk, lambda _job: Outcome(objects=(), segments=(), exclusions=()))
    (job,) = jobs.all_jobs(desk.database)
    assert job.state is JobState.REFUSED
    assert "EMPTY_RESULT" in str(job.reason)


@pytest.mark.usefixtures("study")
def test_what_a_job_that_was_cancelled_meanwhile_made_goes_nowhere(desk: Desk) -> None:
    start_studies(desk, ORDERS)

    def run(job: Job) -> Outcome:
        jobs.cancel(desk.database, job.key, "somebody")
        return made()

    do_next_job(desk, run)
    assert [job.state for job in jobs.all_jobs(desk.database)] == [JobState.CANCELLED]
    assert deliveries.all_deliveries(desk.database) == ()


@pytest.mark.usefixtures("study")
def test_a_job_that_is_not_ready_is_left_alone(desk: Desk) -> None:
    start_studies(desk, ORDERS)
    do_next_job(desk, lambda _job: made())
    (job,) = jobs.all_jobs(desk.database)
    do_job(desk, lambda _job: ZeroDivisionError("it is run"), 3, job.key)
    assert jobs.all_jobs(desk.database) == (job,)


@pytest.mark.usefixtures("study")
def test_a_rule_of_the_settings_makes_a_job_urgent(desk: Desk) -> None:
    rules = (
        PriorityRule(priority=-1, calling_ae_title="ELSEWHERE"),
        PriorityRule(priority=7, calling_ae_title="SENDER", modalities=("CT",)),
        PriorityRule(priority=9),
    )
    start_studies(desk, replace(ORDERS, priorities=rules))
    assert [job.priority for job in jobs.all_jobs(desk.database)] == [7]


@pytest.mark.usefixtures("study")
def test_a_bug_that_one_study_brings_out_holds_that_study(desk: Desk) -> None:
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE instance SET facts = '{}' WHERE kind = 'annotation'")
    assert start_studies(desk, ORDERS) == 0
    study = arrivals.study_of(desk.database, Uid(STUDY))
    assert study is not None
    assert study.state is StudyState.HELD
    assert study.reason is not None
    assert study.reason.startswith("a bug: ValidationError")


def test_a_sweep_is_done_again_and_again_until_it_is_stopped() -> None:
    done: list[float] = []
    sweeps = Sweeps(on_death=nobody)
    sweeps.start({"count": Sweep(do=lambda: done.append(time.monotonic()), every=0.05)})
    _until(lambda: len(done) >= 3)
    sweeps.stop()
    count = len(done)
    time.sleep(0.15)
    assert len(done) == count


def test_a_sweep_is_made_at_once_where_it_is_hurried() -> None:
    done: list[float] = []
    sweeps = Sweeps(on_death=nobody)
    sweeps.hurry("count")
    sweeps.start({"count": Sweep(do=lambda: done.append(time.monotonic()), every=3600)})
    sweeps.hurry("another")
    for number in range(1, 4):
        sweeps.hurry("count")
        _until(lambda number=number: len(done) == number)
    sweeps.stop()
    sweeps.hurry("count")
    assert len(done) == 3


def test_a_sweep_that_cannot_work_now_says_so_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    def do() -> None:
        tries.append(1)
        raise Unavailable("the database cannot be used now")

    sweeps = Sweeps(on_death=nobody)
    sweeps.start({"look": Sweep(do=do, every=0.05)})
    _until(lambda: len(tries) >= 3)
    sweeps.stop()
    assert [record.message for record in caplog.records] == [
        "sweep look will be tried again: the database cannot be used now"
    ]


def test_a_bug_in_a_sweep_is_told() -> None:
    dead = Event()
    sweeps = Sweeps(on_death=lambda _name: dead.set())
    sweeps.start({"bug": Sweep(do=lambda: 1 / 0, every=0.05)})
    assert dead.wait(5)
    sweeps.stop()


def nobody(name: str) -> None:
    raise AssertionError(f"{name} failed")


def do_next_job(desk: Desk, run: Run) -> None:
    """Run the job that is ready first."""
    do_job(desk, run, 3, jobs.ready(desk.database)[0].key)


def _until(condition: object) -> None:
    deadline = time.monotonic() + 5
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
