"""The tables are the truth: what the engine does not know of them, or knows otherwise, is put right."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

import pytest

from dicomnode.domain import JobState
from dicomnode.queue.engine import Engine
from dicomnode.queue.reconciling import deliveries_due, give_turns, take_back
from dicomnode.store import arrivals, deliveries, jobs, runs, tables
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryKey
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import QueueName, Transaction
from tests.rows import (
    STUDY,
    annotation,
    artifact,
    claim_delivery,
    claimed,
    desk_of,
    dispatch_to,
    done_job,
    image,
    ready_job,
    receive,
)

JOBS, DELIVERIES = QueueName.JOBS, QueueName.DELIVERIES
TO_PACS = partial(deliveries_due, destinations=["pacs"])


def nobody(what: str) -> None:
    raise AssertionError(f"{what} failed")


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """Lend an engine that is not started: whose turn it is stays as it is."""
    engine = Engine(database, nobody)
    yield engine
    engine.close()


@pytest.fixture
def desk(database: Database, engine: Engine) -> Desk:
    return replace(desk_of(database, "pacs"), enqueue=engine.enqueue)


def test_a_job_is_enqueued_with_its_dispatch(desk: Desk, engine: Engine) -> None:
    receive(desk.database, image(), annotation())
    assert dispatch_to(desk) == ("j1",)
    assert engine.active(JOBS) == {"j1"}
    assert give_turns(desk, engine, JOBS, jobs.ready) == 0


def test_a_dispatch_that_fails_enqueues_nothing_and_what_cannot_be_enqueued_is_not_dispatched(
    desk: Desk, engine: Engine
) -> None:
    def enqueues_and_fails(
        transaction: Transaction, queue: QueueName, key: str, attempt: int, priority: int, partition: str | None
    ) -> None:
        engine.enqueue(transaction, queue, key, attempt, priority, partition)
        raise ZeroDivisionError

    receive(desk.database, image(), annotation())
    with pytest.raises(ZeroDivisionError):
        dispatch_to(replace(desk, enqueue=enqueues_and_fails))
    assert engine.active(JOBS) == frozenset()
    assert jobs.all_jobs(desk.database) == ()
    assert [study.study_uid for study in arrivals.receiving(desk.database)] == [STUDY]


def test_a_job_that_is_ready_and_that_the_engine_does_not_know_is_enqueued(desk: Desk, engine: Engine) -> None:
    ready_job(desk.database)
    assert engine.active(JOBS) == frozenset()
    assert give_turns(desk, engine, JOBS, jobs.ready) == 1
    assert engine.active(JOBS) == {"j1"}


def test_the_deliveries_of_a_job_are_enqueued_with_its_end(desk: Desk, engine: Engine) -> None:
    ready_job(desk.database)
    assert runs.complete(desk, claimed(desk.database), (artifact(),), {})
    assert engine.active(DELIVERIES) == {"pacs/1.2.6.1"}
    assert give_turns(desk, engine, DELIVERIES, TO_PACS) == 0


def test_what_was_begun_and_nobody_does_is_given_back(desk: Desk, engine: Engine) -> None:
    ready_job(desk.database)
    claimed(desk.database)
    assert take_back(desk, engine) == 1
    row = jobs.job_row(desk.database, "j1")
    assert (row.state, row.attempts) == (JobState.READY, 0)
    assert runs.complete(replace(desk_of(desk.database, "pacs")), claimed(desk.database), (artifact(),), {})
    assert claim_delivery(desk.database) is not None
    assert take_back(desk, engine) == 1
    assert [one.sop_uid for one in deliveries.due(desk.database)] == ["1.2.6.1"]
    assert give_turns(desk, engine, DELIVERIES, TO_PACS) == 1


def test_what_has_its_turn_is_not_given_back(desk: Desk, engine: Engine) -> None:
    receive(desk.database, image(), annotation())
    dispatch_to(desk)
    claimed(desk.database)
    assert take_back(desk, engine) == 0


def test_what_is_sent_in_the_turn_of_another_object_is_not_given_back(desk: Desk, engine: Engine) -> None:
    ready_job(desk.database)
    made = (artifact("1.2.6.1", "a"), artifact("1.2.6.2", "b"))
    assert runs.complete(desk, claimed(desk.database), made[:1], {})
    with desk.database.write() as connection:
        connection.execute(tables.artifact.insert().values(asdict(made[1]) | {"job_key": "j1"}))
        deliveries.add(connection, "j1", "pacs", [made[1].sop_uid], desk.database.now())
    assert engine.active(DELIVERIES) == {"pacs/1.2.6.1"}
    assert deliveries.claim(desk.database, DeliveryKey(made[1].sop_uid, "pacs")) is not None
    assert take_back(desk, engine) == 0


def test_what_waits_for_a_destination_that_nobody_knows_any_more_has_no_turns(desk: Desk, engine: Engine) -> None:
    done_job(desk.database, "gone")
    assert give_turns(desk, engine, DELIVERIES, TO_PACS) == 0


def test_what_waited_for_days_is_enqueued_little_by_little(desk: Desk, engine: Engine) -> None:
    done_job(desk.database, "pacs", made=tuple(artifact(f"1.2.6.{number}", f"{number}") for number in range(120)))
    assert [give_turns(desk, engine, DELIVERIES, TO_PACS) for _ in range(2)] == [100, 0]
