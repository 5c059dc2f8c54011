"""What people ask of jobs and deliveries, and what they change."""

import pytest

from dicomnode.domain import DeliveryState, JobState
from dicomnode.store import deliveries, jobs, records
from dicomnode.store.commands import Changed, cancel_jobs, replay_deliveries, retry_jobs
from dicomnode.store.database import Database
from dicomnode.store.deliveries import DeliveryRow
from dicomnode.store.events import events, record_event
from dicomnode.store.moves import IllegalMove
from dicomnode.store.records import MatchRecord, Wish
from tests import standing
from tests.rows import Clock, ready_job


@pytest.fixture
def node(database: Database, clock: Clock) -> Database:
    """Return a database with a job in each state, named after it, and three deliveries of what the done one made."""
    standing.study(database)
    standing.study(database, "1.3")
    for state in JobState:
        standing.job(database, f"{state}-key", state)
        clock.advance(minutes=1)
    for number in (1, 2):
        standing.artifact(database, f"2.25.10{number}", "done-key")
    standing.delivery(database, "2.25.101", "pacs", "done-key", "dead")
    standing.delivery(database, "2.25.101", "archive", "done-key", "verified", proof="query")
    clock.advance(minutes=1)
    standing.delivery(database, "2.25.102", "pacs", "done-key", "sending")
    return database


def keys(node: Database, **wish: object) -> list[str]:
    found, _ = records.list_jobs(node, Wish(**wish))  # type: ignore[arg-type]
    return [one.key for one in found]


def delivery_of(node: Database, which: tuple[str, str]) -> DeliveryRow:
    (row,) = (one for one in deliveries.all_deliveries(node) if (one.sop_uid, one.destination) == which)
    return row


def test_jobs_are_listed_those_that_changed_last_first(node: Database) -> None:
    assert keys(node) == [f"{state}-key" for state in reversed(JobState)]


def test_jobs_are_chosen_by_state_and_study(node: Database) -> None:
    standing.job(node, "other", "ready", study_uid="1.3")
    assert keys(node, states=("ready", "failed")) == ["other", "failed-key", "ready-key"]
    assert keys(node, states=("ready", "failed"), study_uid="1.3") == ["other"]


def test_a_list_is_cut_off_and_says_how_many_there_are(node: Database) -> None:
    found, total = records.list_jobs(node, Wish(limit=2))
    assert (len(found), total) == (2, len(JobState))


def test_the_beginning_of_a_key_names_a_job(node: Database) -> None:
    assert [one.key for one in records.jobs_like(node, "do")] == ["done-key"]
    assert [one.key for one in records.jobs_like(node, "r")] == ["ready-key", "refused-key"]
    assert records.jobs_like(node, "%") == ()


def test_a_whole_key_names_its_job_though_others_begin_so(node: Database) -> None:
    standing.job(node, "done-key-2")
    assert [one.key for one in records.jobs_like(node, "done-key")] == ["done-key"]


def test_a_job_knows_what_it_supersedes_and_what_supersedes_it(node: Database) -> None:
    standing.job(node, "newer", supersedes="done-key")
    (older,), (newer,) = records.jobs_like(node, "done"), records.jobs_like(node, "newer")
    assert (older.supersedes, older.superseded_by) == (None, "newer")
    assert (newer.supersedes, newer.superseded_by) == ("done-key", None)


def test_a_job_tells_why_its_annotation_means_its_stack(database: Database) -> None:
    ready_job(database)
    (job,) = records.jobs_like(database, "j1")
    assert records.match_of(database, job) == MatchRecord(rule="images", evidence="it names them")


def test_what_happened_to_a_job_is_what_names_it_or_its_objects(node: Database) -> None:
    (job,) = records.jobs_like(node, "done-key")
    record_event(node, "node", "study_dispatched", {"jobs": ["done-key"]})
    record_event(node, "node", "delivered", {"sop_uid": "2.25.101", "destination": "pacs"})
    record_event(node, "node", "delivered", {"sop_uid": "2.25.1011"})
    record_event(node, "node", "job_done", {"job": "done-key-2"})
    happened = records.history(node, [job.key, "2.25.101"], job.created_at)
    assert [(one.what, dict(one.details)) for one in happened] == [
        ("study_dispatched", {"jobs": ["done-key"]}),
        ("delivered", {"sop_uid": "2.25.101", "destination": "pacs"}),
    ]


def test_deliveries_are_chosen_by_destination_state_and_study(node: Database) -> None:
    def found(**wish: object) -> list[tuple[str, str]]:
        rows, _ = records.list_deliveries(node, Wish(**wish))  # type: ignore[arg-type]
        return [(one.sop_uid, one.destination) for one in rows]

    assert found() == [("2.25.102", "pacs"), ("2.25.101", "archive"), ("2.25.101", "pacs")]
    assert found(destination="pacs", states=("dead",)) == [("2.25.101", "pacs")]
    assert found(study_uid="1.3") == []


def test_the_ending_of_a_uid_names_an_object(node: Database) -> None:
    assert records.objects_like(node, "02") == ("2.25.102",)
    assert len(records.objects_like(node, "")) == 2
    assert [one.destination for one in records.deliveries_of(node, ["2.25.101"])] == ["archive", "pacs"]


@pytest.mark.parametrize("before", [JobState.REFUSED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_ended_without_a_result_is_retried(node: Database, before: JobState) -> None:
    assert retry_jobs(node, [f"{before}-key"], "ann") == (
        Changed(name=f"{before}-key", destination=None, before=before, refusal=None),
    )
    assert jobs.job_row(node, f"{before}-key").state is JobState.READY
    assert [(one.who, one.details["job"]) for one in events(node, "job_requeued")] == [("ann", f"{before}-key")]


@pytest.mark.parametrize("before", [JobState.READY, JobState.RUNNING, JobState.DONE])
def test_no_other_is_retried_and_its_state_is_told(node: Database, before: JobState) -> None:
    (changed,) = retry_jobs(node, [f"{before}-key"], "ann")
    assert changed.refusal == f"it is {before}: only what is refused, failed or cancelled can be retried"
    assert jobs.job_row(node, f"{before}-key").state is before
    assert events(node, "job_requeued") == ()


@pytest.mark.parametrize("before", [JobState.READY, JobState.RUNNING])
def test_a_job_that_is_to_be_done_is_cancelled(node: Database, before: JobState) -> None:
    (changed,) = cancel_jobs(node, [f"{before}-key"], "ann")
    assert changed.refusal is None
    assert jobs.job_row(node, f"{before}-key").state is JobState.CANCELLED
    assert [one.who for one in events(node, "job_cancelled")] == ["ann"]


@pytest.mark.parametrize("before", [JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED])
def test_no_other_is_cancelled_and_its_state_is_told(node: Database, before: JobState) -> None:
    (changed,) = cancel_jobs(node, [f"{before}-key"], "ann")
    assert changed.refusal == f"it is {before}: only what is ready or running can be cancelled"
    assert jobs.job_row(node, f"{before}-key").state is before


def test_a_job_that_runs_is_not_queued_again_whoever_asks(node: Database) -> None:
    with pytest.raises(IllegalMove):
        jobs.requeue(node, "running-key", "ann")
    assert jobs.job_row(node, "running-key").state is JobState.RUNNING


def test_what_is_dead_is_sent_again(node: Database) -> None:
    (changed,) = replay_deliveries(node, [("2.25.101", "pacs")], "ann")
    assert changed == Changed(name="2.25.101", destination="pacs", before="dead", refusal=None)
    row = delivery_of(node, ("2.25.101", "pacs"))
    assert (row.state, row.attempts) == (DeliveryState.WAITING, 0)
    assert [one.who for one in events(node, "delivery_replayed")] == ["ann"]


@pytest.mark.parametrize(("which", "state"), [(("2.25.102", "pacs"), "sending"), (("2.25.101", "archive"), "verified")])
def test_what_is_not_dead_is_not_sent_again(node: Database, which: tuple[str, str], state: str) -> None:
    (changed,) = replay_deliveries(node, [which], "ann")
    assert changed.refusal == f"it is {state}: only what is dead can be retried"
    row = delivery_of(node, which)
    assert row.state == state
    with pytest.raises(IllegalMove):
        deliveries.replay(node, row, "ann")
