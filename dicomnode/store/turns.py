"""Give rows their turn in the engine: each time is counted, so that it is a new one there."""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, and_, update

from dicomnode.store import tables
from dicomnode.store.delivery_rows import DeliveryKey
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import Enqueue, QueueName, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A row that has something to be done now; a higher `priority` goes first, in its `partition` if it has one."""

    queue: QueueName
    key: str
    priority: int = 0
    partition: str | None = None


def job_turn(key: str, priority: int) -> Turn:
    """Return the turn of a job."""
    return Turn(queue=QueueName.JOBS, key=key, priority=priority)


def delivery_turn(which: DeliveryKey, priority: int) -> Turn:
    """Return the turn of a delivery."""
    return Turn(queue=QueueName.DELIVERIES, key=str(which), priority=priority, partition=which.destination)


def fetch_turn(number: int) -> Turn:
    """Return the turn of a fetch."""
    return Turn(queue=QueueName.FETCHES, key=str(number))


def give(transaction: Transaction, enqueue: Enqueue, turn: Turn) -> None:
    """Give the row a turn that it never had, once `transaction` is committed."""
    table, which = _row(turn)
    counted = update(table).where(which).values(enqueued=table.c.enqueued + 1).returning(table.c.enqueued)
    attempt: int = transaction.execute(counted).scalar_one()
    enqueue(transaction, turn.queue, turn.key, attempt, turn.priority, turn.partition)


def give_all(desk: Desk, turns: Iterable[Turn], active: Container[str]) -> int:
    """Give the rows of `turns` whose key is not `active` a turn, in one transaction; return how many."""
    missing = [turn for turn in turns if turn.key not in active]
    if missing:
        with desk.database.write() as transaction:
            for turn in missing:
                give(transaction, desk.enqueue, turn)
    return len(missing)


def _row(turn: Turn) -> tuple[Table, ColumnElement[bool]]:
    match turn.queue:
        case QueueName.JOBS:
            return tables.job, tables.job.c.job_key == turn.key
        case QueueName.DELIVERIES:
            which, columns = DeliveryKey.parse(turn.key), tables.delivery.c
            return tables.delivery, and_(columns.sop_uid == which.sop_uid, columns.destination == which.destination)
        case QueueName.FETCHES:
            return tables.fetch, tables.fetch.c.id == int(turn.key)
