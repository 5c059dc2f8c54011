"""Keep the engine and the tables, which are the truth, of one mind."""

from collections.abc import Iterable
from typing import Protocol

from dicomnode.queue.engine import Engine
from dicomnode.store import deliveries, jobs, runs, turns
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import QueueName


class Running(Protocol):
    """What runs jobs."""

    @property
    def running(self) -> frozenset[str]:
        """Return the keys of the jobs that are being run."""

    def break_off(self, keys: Iterable[str]) -> None:
        """End those of the jobs `keys` that are being run."""


def give_jobs(desk: Desk, engine: Engine) -> int:
    """Enqueue the jobs that are ready and that the engine does not know: to be tried again, or requeued by somebody."""
    if found := jobs.ready(desk.database):
        return turns.give_all(desk, found, engine.active(QueueName.JOBS))
    return 0


def give_deliveries(desk: Desk, engine: Engine) -> int:
    """Enqueue the deliveries that are due and that the engine does not know."""
    if found := deliveries.due(desk.database):
        due = (turns.delivery_turn(row.sop_uid, row.destination, row.priority) for row in found)
        return turns.give_all(desk, due, engine.active(QueueName.DELIVERIES))
    return 0


def take_back(desk: Desk, engine: Engine) -> int:
    """Give back what was begun and nobody is doing: how it ended could not be recorded; return how much that is."""
    running, sending = runs.begun(desk.database), deliveries.begun(desk.database)
    jobs_ = engine.active(QueueName.JOBS) if running else frozenset()
    sends = engine.active(QueueName.DELIVERIES) if sending else frozenset()
    lost_jobs = [row for row in running if row.key not in jobs_]
    lost_sends = [row for row in sending if turns.delivery_key(row.sop_uid, row.destination) not in sends]
    for job in lost_jobs:
        runs.give_back(desk.database, job)
    for sent in lost_sends:
        deliveries.give_back(desk.database, sent)
    return len(lost_jobs) + len(lost_sends)


def break_off_unwanted(desk: Desk, workers: Running) -> None:
    """End the jobs that are being run and were cancelled, by whatever process."""
    if running := workers.running:
        workers.break_off(runs.unwanted(desk.database, running))
