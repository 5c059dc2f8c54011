"""Tell the engine of rows that have something to be done, in the transaction that made it so, and sweeps to hurry."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, TypeAlias

from sqlalchemy import Connection, Engine, Table, bindparam, exists, select

Transaction: TypeAlias = Connection


class QueueName(StrEnum):
    """What the rows of a queue are."""

    JOBS = "jobs"
    DELIVERIES = "deliveries"  # a partition is a destination
    FETCHES = "fetches"


class Enqueue(Protocol):
    """Tells the engine of the row `key`, whose `attempt` makes it new; a higher `priority` goes first."""

    def __call__(
        self, transaction: Transaction, queue: QueueName, key: str, attempt: int, priority: int, partition: str | None
    ) -> None:
        """Enqueue the row; that it is enqueued already changes nothing."""


Hurry: TypeAlias = Callable[[str], None]  # lets the sweep of a name look at once; one that looks just now is let be

STUDIES = "studies"  # the sweep that starts what is ready


def leave_to_its_time(sweep: str) -> None:
    """Let `sweep` look when its time has come."""


def leave_to_the_sweep(
    transaction: Transaction, queue: QueueName, key: str, attempt: int, priority: int, partition: str | None
) -> None:
    """Tell nobody: the next sweep finds the row."""


def asking(connections: Engine, turns: Table) -> Callable[[str], bool]:
    """Return what tells of a queue, by its name, whether a turn waits in it, by the engine's own table of `turns`."""
    waits = select(exists().where(turns.c.queue_name == bindparam("queue"), turns.c.status == "ENQUEUED"))

    def has_turn(queue: str) -> bool:
        with connections.connect() as connection:
            return bool(connection.execute(waits, {"queue": queue}).scalar_one())

    return has_turn
