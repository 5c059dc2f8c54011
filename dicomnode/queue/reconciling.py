"""Keep the engine and the tables, which are the truth, of one mind."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from dicomnode.queue.engine import Engine
from dicomnode.store import deliveries, fetches, runs, turns
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryKey
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import QueueName
from dicomnode.store.turns import Turn

log = logging.getLogger(__name__)

AT_ONCE = 100  # what waits for a destination that was down for days is enqueued little by little, beside other writers


class Running(Protocol):
    """What runs jobs."""

    @property
    def running(self) -> frozenset[str]:
        """Return the keys of the jobs that are being run."""
        ...

    def break_off(self, keys: Iterable[str]) -> None:
        """End those of the jobs `keys` that are being run."""
        ...


def give_turns(desk: Desk, engine: Engine, queue: QueueName, due: Callable[[Database], Sequence[Turn]]) -> int:
    """Enqueue what is `due` and not in the engine: to be tried again, or made due by somebody; return how many."""
    if found := due(desk.database):
        return turns.give_all(desk, found, engine.active(queue))
    return 0


def deliveries_due(database: Database, destinations: Iterable[str]) -> tuple[Turn, ...]:
    """Return the turns of the deliveries to `destinations` that are due, of each the first AT_ONCE.

    What goes where the settings know nobody any more waits, and has no turn after which it would be due again.
    """
    found = [row for name in destinations for row in deliveries.due(database, {name}, limit=AT_ONCE)]
    return tuple(turns.delivery_turn(row.which, row.priority) for row in found)


def fetches_due(database: Database) -> tuple[Turn, ...]:
    """Return the turns of the fetches that are due."""
    return tuple(turns.fetch_turn(number) for number in fetches.due(database))


def take_back(desk: Desk, engine: Engine) -> int:
    """Give back what was begun and nobody is doing: how it ended could not be recorded; return how much that is."""
    running, sending = runs.begun(desk.database), deliveries.begun(desk.database)
    active = engine.active(QueueName.JOBS) if running else ()
    jobs = [row for row in running if row.key not in active]
    active = engine.active(QueueName.DELIVERIES) if sending else ()
    busy = {DeliveryKey.parse(key).destination for key in active}  # each sends in a turn what else is due, too
    sends = [row for row in sending if row.destination not in busy]
    for job in jobs:
        runs.give_back(desk.database, job)
    for sent in sends:
        deliveries.give_back(desk.database, sent)
    if jobs or sends:
        told: dict[str, object] = {"action": "taken_back", "jobs": len(jobs), "deliveries": len(sends)}
        log.warning("what was begun and nobody does any more is done again", extra=told)
    return len(jobs) + len(sends)


def break_off_unwanted(desk: Desk, workers: Running) -> None:
    """End the jobs that are being run and were cancelled, by whatever process."""
    if running := workers.running:
        workers.break_off(runs.unwanted(desk.database, running))
