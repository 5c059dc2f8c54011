from dataclasses import replace

import pytest

from dicomnode.domain import (
    FOLLOW,
    SEG_ONLY,
    DeliveryState,
    JobOptions,
    JobState,
    Rule,
    Strategy,
    StudyState,
)
from dicomnode.store import arrivals, deliveries, jobs
from dicomnode.store.database import Database
from dicomnode.store.events import events
from dicomnode.store.jobs import MAX_ATTEMPTS
from dicomnode.store.moves import IllegalMove
from dicomnode.store.spool import Spool
from tests.rows import STUDY, Clock, annotation, artifact, dispatch, done_job, image, ready_job, receive


def test_a_dispatched_study_has_its_job(database: Database) -> None:
    ready_job(database)
    study = arrivals.study_of(database, STUDY)
    assert study is not None
    assert study.state is StudyState.DISPATCHED
    assert [(job.key, job.state) for job in jobs.all_jobs(database)] == [("j1", JobState.READY)]


def test_a_job_comes_back_with_its_instances(database: Database, spool: Spool) -> None:
    ready_job(database)
    job = jobs.load(database, spool, jobs.job_row(database, "j1"))
    assert job.images.images == (replace(image(), path=spool.path("1.2.3.1-aa.dcm")),)
    assert job.annotation == replace(annotation(), path=spool.path("1.2.4.1-bb.dcm"))
    assert job.options == JobOptions(roi="liver")
    assert job.elsewhere == ("3",)


def test_a_job_comes_back_with_its_rules(database: Database, spool: Spool) -> None:
    rules = (Rule(modality=("CT",), window="lung"), Rule(roi="liver", strategy=Strategy.STATIC, propagate=FOLLOW))
    options = JobOptions(strategy=Strategy.PROPAGATE, propagate=2, window="40/400", reference=True, rules=rules)
    receive(database, image(), annotation())
    dispatch(database, options=options)
    assert jobs.load(database, spool, jobs.job_row(database, "j1")).options == options


def test_a_study_that_received_something_meanwhile_is_not_dispatched(database: Database, clock: Clock) -> None:
    receive(database, image(), annotation())
    seen = arrivals.receiving(database)[0]
    clock.advance(seconds=1)
    receive(database, image(2, "ff"))
    assert jobs.dispatch(database, seen, [], "it was quiet") is None
    assert jobs.all_jobs(database) == ()


def test_a_job_that_exists_is_not_made_again(database: Database) -> None:
    ready_job(database)
    receive(database, image(2, "ff"))
    assert dispatch(database) == ()
    assert len(jobs.all_jobs(database)) == 1


def test_a_claimed_job_is_running(database: Database) -> None:
    ready_job(database)
    claimed = jobs.claim(database)
    assert claimed is not None
    assert (claimed.key, claimed.state, claimed.attempts) == ("j1", JobState.RUNNING, 1)


def test_a_job_whose_end_could_not_be_recorded_is_claimed_again_as_if_it_had_not_been(database: Database) -> None:
    ready_job(database)
    assert jobs.claim(database) == jobs.claim(database)


def test_a_done_job_is_not_claimed_again(database: Database) -> None:
    done_job(database)
    assert jobs.claim(database) is None


def test_a_job_that_is_not_running_cannot_be_completed(database: Database) -> None:
    ready_job(database)
    with pytest.raises(IllegalMove):
        jobs.complete(database, "j1", (artifact(),), {"pacs": SEG_ONLY}, {})
    assert deliveries.all_deliveries(database) == ()


def test_a_job_given_back_was_not_tried(database: Database) -> None:
    ready_job(database)
    jobs.claim(database)
    jobs.give_back(database)
    assert jobs.job_row(database, "j1").attempts == 0


def test_a_job_whose_process_died_is_tried_again_and_fails_at_last(database: Database) -> None:
    ready_job(database)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claimed = jobs.claim(database)
        assert claimed is not None
        assert claimed.attempts == attempt
        assert jobs.recover(database) == ("j1",)
    row = jobs.job_row(database, "j1")
    assert (row.state, row.reason) == (JobState.FAILED, "the node died while it ran (attempt 3 of 3)")
    assert jobs.claim(database) is None


def test_a_refused_job_says_why(database: Database) -> None:
    ready_job(database)
    jobs.claim(database)
    jobs.stop(database, "j1", JobState.REFUSED, "no box")
    assert jobs.job_row(database, "j1").reason == "no box"
    assert [event.details["reason"] for event in events(database, "job_refused")] == ["no box"]


def test_a_done_job_has_a_delivery_for_each_destination(database: Database) -> None:
    done_job(database, "pacs", "archive")
    assert {(row.destination, row.state, row.key) for row in deliveries.all_deliveries(database)} == {
        ("pacs", DeliveryState.WAITING, "outbox/1.2.6.1.dcm"),
        ("archive", DeliveryState.WAITING, "outbox/1.2.6.1.dcm"),
    }
    (done,) = events(database, "job_done")
    assert done.details == {"job": "j1", "seconds": 1.5, "objects": ["1.2.6.1"]}
