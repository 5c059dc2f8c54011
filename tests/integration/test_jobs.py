from dataclasses import replace

import pytest

from dicomnode.domain import (
    FOLLOW,
    DeliveryState,
    JobOptions,
    JobState,
    Rule,
    Strategy,
    StudyState,
)
from dicomnode.store import arrivals, deliveries, jobs, runs, turns
from dicomnode.store.database import Database
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.rows import (
    STUDY,
    Clock,
    annotation,
    artifact,
    claimed,
    desk_of,
    dispatch,
    done_job,
    image,
    ready_job,
    receive,
)


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
    assert jobs.dispatch(desk_of(database), seen, [], ("it was quiet", {})) is None
    assert jobs.all_jobs(database) == ()


def test_a_job_that_exists_is_not_made_again(database: Database) -> None:
    ready_job(database)
    receive(database, image(2, "ff"))
    assert dispatch(database) == ()
    assert len(jobs.all_jobs(database)) == 1


def test_a_claimed_job_is_running(database: Database) -> None:
    ready_job(database)
    row = claimed(database)
    assert (row.key, row.state, row.attempts) == ("j1", JobState.RUNNING, 1)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.DONE, JobState.CANCELLED])
def test_a_job_that_is_not_ready_is_not_claimed(database: Database, state: JobState) -> None:
    ready_job(database)
    if state is JobState.CANCELLED:
        jobs.cancel(database, "j1", "somebody")
    else:
        row = claimed(database)
        if state is JobState.DONE:
            assert runs.complete(desk_of(database), row, (), {})
    assert jobs.job_row(database, "j1").state is state
    assert runs.claim(database, "j1") is None


def test_what_a_cancelled_job_made_is_not_kept(database: Database) -> None:
    ready_job(database)
    row = claimed(database)
    jobs.cancel(database, "j1", "somebody")
    assert not runs.complete(desk_of(database, "pacs"), row, (artifact(),), {})
    runs.stop(database, row, JobState.REFUSED, "no box")
    runs.give_back(database, row)
    assert runs.put_back(database, row, "it crashed", 3) is JobState.CANCELLED
    assert deliveries.all_deliveries(database) == ()
    now = jobs.job_row(database, "j1")
    assert (now.state, now.reason) == (JobState.CANCELLED, "cancelled by somebody")


def test_a_job_that_is_requeued_while_it_was_still_run_is_not_ended_by_its_earlier_run(database: Database) -> None:
    desk = desk_of(database)
    ready_job(database)
    first = claimed(database)
    jobs.cancel(database, "j1", "somebody")
    jobs.requeue(database, "j1", "somebody")
    assert turns.give_all(desk, jobs.ready(database), ()) == 1
    second = claimed(database)
    runs.stop(database, first, JobState.REFUSED, "no box")
    assert jobs.job_row(database, "j1").state is JobState.RUNNING
    assert runs.complete(desk, second, (), {})


def test_a_job_given_back_was_not_tried(database: Database) -> None:
    ready_job(database)
    runs.give_back(database, claimed(database))
    assert jobs.job_row(database, "j1").attempts == 0


def test_a_job_that_ends_its_process_is_tried_again_and_fails_at_last(database: Database) -> None:
    ready_job(database)
    found = [runs.put_back(database, claimed(database), "it crashed", 3) for _ in range(3)]
    assert found == [JobState.READY, JobState.READY, JobState.FAILED]
    assert jobs.job_row(database, "j1").reason == "it crashed (attempt 3 of 3)"
    jobs.requeue(database, "j1", "somebody")
    assert jobs.job_row(database, "j1").attempts == 0


def test_a_job_loses_no_attempt_by_the_death_of_the_node_and_fails_if_that_goes_on(database: Database) -> None:
    ready_job(database)
    for _ in range(runs.MAX_DEATHS - 1):
        assert claimed(database).attempts == 1
        assert runs.recover(database) == ("j1",)
        assert jobs.job_row(database, "j1").attempts == 0
    claimed(database)
    assert runs.recover(database) == ("j1",)
    row = jobs.job_row(database, "j1")
    assert (row.state, row.reason) == (JobState.FAILED, "the node died while it ran (10 times)")


def test_a_job_that_is_requeued_may_see_the_node_die_as_often_as_a_new_one(database: Database) -> None:
    ready_job(database)
    for _ in range(runs.MAX_DEATHS):
        claimed(database)
        runs.recover(database)
    jobs.requeue(database, "j1", "somebody")
    claimed(database)
    runs.recover(database)
    assert jobs.job_row(database, "j1").state is JobState.READY


def test_a_job_whose_study_was_deleted_before_it_had_its_turn_is_nobodys_any_more(database: Database) -> None:
    assert runs.claim(database, "j1") is None
    runs.fail(database, "j1", "a bug")


def test_a_refused_job_says_why(database: Database) -> None:
    ready_job(database)
    runs.stop(database, claimed(database), JobState.REFUSED, "no box")
    assert jobs.job_row(database, "j1").reason == "no box"
    assert [event.details["reason"] for event in events(database, "job_refused")] == ["no box"]


@pytest.mark.parametrize("is_claimed", [True, False])
def test_a_bug_fails_a_job_wherever_it_stands(database: Database, *, is_claimed: bool) -> None:
    ready_job(database)
    if is_claimed:
        claimed(database)
    runs.fail(database, "j1", "a bug: KeyError: 'x'")
    runs.fail(database, "j1", "another")
    row = jobs.job_row(database, "j1")
    assert (row.state, row.reason) == (JobState.FAILED, "a bug: KeyError: 'x'")


def test_the_most_urgent_job_is_ready_first_and_then_the_oldest(database: Database, clock: Clock) -> None:
    receive(database, image(), annotation())
    for key, priority in (("old", 0), ("new", 0), ("urgent", 5)):
        dispatch(database, key, priority=priority)
        clock.advance(seconds=1)
        receive(database, image(int(clock.now.timestamp())))
    assert [turn.key for turn in jobs.ready(database)] == ["urgent", "old", "new"]
    assert [turn.key for turn in jobs.ready(database) if turn.priority == 5] == ["urgent"]


def test_the_deliveries_of_an_urgent_job_go_first(database: Database) -> None:
    receive(database, image(), annotation())
    dispatch(database, "j1", priority=5)
    assert runs.complete(desk_of(database, "pacs"), claimed(database), (artifact(),), {})
    assert [row.priority for row in deliveries.due(database)] == [5]


def test_a_done_job_has_a_delivery_for_each_destination(database: Database) -> None:
    done_job(database, "pacs", "archive")
    assert {(row.destination, row.state, row.key) for row in deliveries.all_deliveries(database)} == {
        ("pacs", DeliveryState.WAITING, "outbox/1.2.6.1.dcm"),
        ("archive", DeliveryState.WAITING, "outbox/1.2.6.1.dcm"),
    }
    (done,) = events(database, "job_done")
    assert done.details == {"job": "j1", "seconds": 1.5, "objects": ["1.2.6.1"]}
