"""What is done with is deleted, by its age or because the disk fills up, and nothing else is."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dicomnode.domain import CommitmentState, FetchState, JobState, ProvenBy, SopReference, StudyState, Uid, Wanted
from dicomnode.errors import Unavailable
from dicomnode.retention import Keep, delete_old, make_room
from dicomnode.store import arrivals, commitments, deliveries, fetches, jobs, proofs, runs
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.rows import (
    STUDY,
    Clock,
    artifact,
    claim_delivery,
    claimed,
    desk_of,
    image,
    own_result,
    ready_job,
    receive,
)

KEEP = Keep(days=30, clean_free_bytes=1000)


@pytest.fixture
def desk(database: Database, spool: Spool) -> Desk:
    return replace(desk_of(database, "pacs"), spool=spool)


def put(desk: Desk, *keys: str) -> None:
    """Keep files, written when the clock of the test says."""
    at = desk.database.now().timestamp()
    for key in keys:
        desk.spool.put(key, [b"bytes"])
        os.utime(desk.spool.path(key), (at, at))


def done(desk: Desk, by: ProvenBy | None = ProvenBy.QUERY) -> None:
    """Let a study be segmented and its object delivered, and proven if `by` something."""
    ready_job(desk.database)
    assert runs.complete(desk, claimed(desk.database), (artifact(),), {})
    put(desk, *arrivals.known_keys(desk.database))
    row = claim_delivery(desk.database)
    assert row is not None
    deliveries.delivered(desk.database, row, 0)
    if by is not None:
        proofs.proven(desk.database, deliveries.delivery_row(desk.database, row.which), by)


def is_there(desk: Desk) -> bool:
    """Return whether the study and all of its files are there, and not one of them is without the other."""
    keys = set(desk.spool.keys())
    assert keys == set(arrivals.known_keys(desk.database))
    known = arrivals.study_of(desk.database, STUDY) is not None
    assert known is bool(keys)
    return known


def test_a_study_that_is_done_with_is_deleted_when_it_is_old_and_the_audit_stays(desk: Desk, clock: Clock) -> None:
    done(desk)
    clock.advance(days=29)
    assert delete_old(desk, KEEP) == 0
    assert is_there(desk)
    clock.advance(days=2)
    assert delete_old(desk, KEEP) == 1
    assert not is_there(desk)
    assert jobs.all_jobs(desk.database) == ()
    assert deliveries.all_deliveries(desk.database) == ()
    (told,) = events(desk.database, "study_deleted")
    assert told.details == {"study": STUDY, "why": "age", "instances": 2, "objects": 1}
    assert len(events(desk.database, "job_done")) == 1


def test_it_may_come_again_and_is_segmented_again(desk: Desk, clock: Clock) -> None:
    done(desk)
    clock.advance(days=31)
    delete_old(desk, KEEP)
    done(desk)
    assert is_there(desk)


def test_with_zero_days_everything_is_kept_for_ever(desk: Desk, clock: Clock) -> None:
    done(desk)
    clock.advance(days=10000)
    assert delete_old(desk, replace(KEEP, days=0)) == 0
    assert is_there(desk)


def test_what_no_proof_came_for_is_kept(desk: Desk, clock: Clock) -> None:
    done(desk, by=None)
    clock.advance(days=31)
    assert delete_old(desk, KEEP) == 0
    assert is_there(desk)


def test_what_an_answer_proves_is_done_with(desk: Desk, clock: Clock) -> None:
    done(desk, by=ProvenBy.ANSWER)
    clock.advance(days=31)
    assert delete_old(desk, KEEP) == 1


def test_what_could_not_be_delivered_is_kept_for_somebody_to_decide(desk: Desk, clock: Clock) -> None:
    ready_job(desk.database)
    assert runs.complete(desk, claimed(desk.database), (artifact(),), {})
    row = claim_delivery(desk.database)
    assert row is not None
    deliveries.bury(desk.database, row, "it answered 0xC000")
    clock.advance(days=31)
    assert delete_old(desk, KEEP) == 0


@pytest.mark.parametrize("state", [StudyState.INCOMPLETE, StudyState.HELD])
def test_a_study_that_waits_is_kept(desk: Desk, clock: Clock, state: StudyState) -> None:
    receive(desk.database, image())
    arrivals.settle(desk.database, arrivals.receiving(desk.database)[0], state, "something is missing")
    clock.advance(days=31)
    assert delete_old(desk, KEEP) == 0


def test_a_study_with_a_job_to_be_run_is_kept_and_so_long_after_it_was_refused(desk: Desk, clock: Clock) -> None:
    ready_job(desk.database)
    clock.advance(days=31)
    assert delete_old(desk, KEEP) == 0
    runs.stop(desk.database, claimed(desk.database), JobState.REFUSED, "no box")
    assert delete_old(desk, KEEP) == 0
    clock.advance(days=31)
    assert delete_old(desk, KEEP) == 1


def test_an_own_result_that_came_back_after_its_study_was_deleted_goes_too(desk: Desk, clock: Clock) -> None:
    receive(desk.database, own_result())
    put(desk, *arrivals.known_keys(desk.database))
    assert len(arrivals.known_keys(desk.database)) == 1
    clock.advance(days=31)
    delete_old(desk, KEEP)
    assert arrivals.known_keys(desk.database) == frozenset()
    assert list(desk.spool.keys()) == []


def test_what_came_of_requests_of_others_and_of_pulls_goes_as_late(desk: Desk, clock: Clock) -> None:
    named = SopReference(Uid("1.2.3"), Uid("1.2.6.1"))
    for number in (1, 2):
        commitments.ask(desk.database, Uid(f"1.9.{number}"), ("MODALITY", "10.0.0.7"), [named])
        fetches.ask(desk.database, Wanted(studies=(Uid(f"1.8.{number}"),)), origin="command")
    told, _ = commitments.due(desk.database)
    commitments.settle(desk.database, told, CommitmentState.REPORTED)
    fetch = fetches.claim(desk.database, fetches.due(desk.database)[0])
    assert fetch is not None
    fetches.fail(desk.database, fetch, "no source has it")
    clock.advance(days=29)
    delete_old(desk, KEEP)
    assert len(fetches.fetches_of(desk.database)) == 2
    clock.advance(days=2)
    delete_old(desk, KEEP)
    assert [row.state for row in fetches.fetches_of(desk.database)] == [FetchState.WAITING]
    assert [row.transaction_uid for row in commitments.due(desk.database)] == ["1.9.2"]


def test_a_file_that_is_received_again_just_now_is_not_deleted_with_the_row_before_it(desk: Desk, clock: Clock) -> None:
    done(desk)
    clock.advance(days=31)
    key = "1.2.3.1-aa.dcm"
    put(desk, key)
    delete_old(desk, KEEP)
    assert list(desk.spool.keys()) == [key]


def test_a_crash_between_rows_and_files_leaves_files_that_the_start_lays_aside(
    desk: Desk, clock: Clock, tmp_path: Path
) -> None:
    class Dies(Spool):
        def discard(self, key: str, before: object) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    done(desk)
    clock.advance(days=31)
    with pytest.raises(KeyboardInterrupt):
        delete_old(replace(desk, spool=Dies(tmp_path / "spool")), KEEP)
    assert arrivals.known_keys(desk.database) == frozenset()
    assert desk.spool.sweep(arrivals.known_keys(desk.database)) == 3
    assert list(desk.spool.keys()) == []


def test_a_disk_that_fails_is_not_a_bug(desk: Desk, clock: Clock, tmp_path: Path) -> None:
    class Fails(Spool):
        def discard(self, key: str, before: object) -> None:  # noqa: ARG002
            raise OSError(5, "Input/output error")

    done(desk)
    clock.advance(days=31)
    with pytest.raises(Unavailable, match="what is done with cannot be deleted: Input/output error"):
        delete_old(replace(desk, spool=Fails(tmp_path / "spool")), KEEP)


def test_what_was_laid_aside_goes_as_late_as_everything_else(desk: Desk) -> None:
    put(desk, "studies/stranger.dcm")
    assert desk.spool.sweep(frozenset()) == 1
    laid_aside = desk.spool.path("orphans/studies/stranger.dcm")
    assert desk.spool.clear_orphans(desk.database.now()) == 0
    assert laid_aside.exists()
    assert desk.spool.clear_orphans(desk.database.now() + timedelta(days=10000)) == 1
    assert not laid_aside.exists()


def test_a_full_disk_lets_the_oldest_go_before_their_time_until_there_is_room(desk: Desk, clock: Clock) -> None:
    done(desk)
    clock.advance(minutes=5)
    assert make_room(desk, KEEP, lambda: 999) == 0
    clock.advance(minutes=6)
    assert make_room(desk, KEEP, lambda: 1000) == 0
    assert is_there(desk)
    assert make_room(desk, KEEP, lambda: 1000 if not is_there(desk) else 999) == 1
    assert [event.details["why"] for event in events(desk.database, "study_deleted")] == ["disk"]
