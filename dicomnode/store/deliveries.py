"""Record deliveries: one row an object and destination, its tries, and when the next is due."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, select, true, update

from dicomnode.domain import DELIVERY_MOVES, DeliveryState, Uid
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move

RETRY_AFTER = (  # after the first try that failed, the second, ...; the last for all that follow
    timedelta(seconds=3),
    timedelta(minutes=1),
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=60),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """The sending of one object to one destination; `key` is the object's file in the spool."""

    sop_uid: Uid
    destination: str
    state: DeliveryState
    attempts: int
    reason: str | None
    key: str


def retry_after(attempts: int) -> timedelta:
    """Return how long to wait after `attempts` tries that failed."""
    return RETRY_AFTER[min(attempts, len(RETRY_AFTER)) - 1]


def claim(database: Database, destination: str) -> DeliveryRow | None:
    """Claim what has been due for `destination` the longest: it is being sent from now on.

    A destination is sent to one object at a time, so one that is still being sent now was left when the database could
    not be written: it is due first.
    """
    rows = tables.delivery
    due = and_(rows.c.destination == destination, rows.c.state == DeliveryState.WAITING.value)
    first = select(rows.c.sop_uid).where(due).order_by(rows.c.next_at, rows.c.sop_uid).limit(1)
    with database.write() as connection:
        _recover(connection, database, rows.c.destination == destination)
        sop_uid = connection.scalar(first.where(rows.c.next_at <= database.now()))
        if sop_uid is None:
            return None
        _move(connection, (sop_uid, destination), DeliveryState.SENDING, attempts=rows.c.attempts + 1)
        return _row(connection, (sop_uid, destination))


def delivered(database: Database, row: DeliveryRow, status: int) -> None:
    """Record that the destination took the object with `status`."""
    with database.write() as connection:
        _move(connection, (row.sop_uid, row.destination), DeliveryState.DELIVERED, reason=None)
        details = {"sop_uid": row.sop_uid, "destination": row.destination, "status": f"0x{status:04X}"}
        add_event(connection, Event(at=database.now(), who="node", what="delivered", details=details))


def put_back(database: Database, row: DeliveryRow, reason: str) -> timedelta:
    """Let the object be sent again later; return how much later."""
    wait = retry_after(row.attempts)
    with database.write() as connection:
        next_at = database.now() + wait
        _move(connection, (row.sop_uid, row.destination), DeliveryState.WAITING, reason=reason, next_at=next_at)
    return wait


def bury(database: Database, row: DeliveryRow, reason: str) -> None:
    """Record that the destination will never take the object, and why."""
    with database.write() as connection:
        _move(connection, (row.sop_uid, row.destination), DeliveryState.DEAD, reason=reason)
        details = {"sop_uid": row.sop_uid, "destination": row.destination, "reason": reason}
        add_event(connection, Event(at=database.now(), who="node", what="delivery_dead", details=details))


def recover(database: Database) -> int:
    """Let what a dead process was sending be sent again at once; return how many."""
    with database.write() as connection:
        return _recover(connection, database, true())


def revive(database: Database) -> int:
    """Let what a destination refused for good be sent again: its settings, or this node's, may have been mended."""
    columns = tables.delivery.c
    with database.write() as connection:
        dead = select(columns.sop_uid, columns.destination).where(columns.state == DeliveryState.DEAD.value)
        found = connection.execute(dead).all()
        for sop_uid, destination in found:
            _move(connection, (sop_uid, destination), DeliveryState.WAITING, next_at=database.now())
    return len(found)


def all_deliveries(database: Database) -> tuple[DeliveryRow, ...]:
    """Return every delivery."""
    columns = tables.delivery.c
    with database.read() as connection:
        keys = connection.execute(select(columns.sop_uid, columns.destination).order_by(columns.next_at)).all()
        return tuple(_row(connection, (sop_uid, destination)) for sop_uid, destination in keys)


def _recover(connection: Connection, database: Database, which: ColumnElement[bool]) -> int:
    columns = tables.delivery.c
    sending = select(columns.sop_uid, columns.destination).where(columns.state == DeliveryState.SENDING.value, which)
    found = connection.execute(sending).all()
    for sop_uid, destination in found:
        reason = "what became of it was not recorded when it was sent"
        _move(connection, (sop_uid, destination), DeliveryState.WAITING, reason=reason, next_at=database.now())
    return len(found)


def _move(connection: Connection, which: tuple[str, str], after: DeliveryState, **changes: object) -> None:
    check_move(DELIVERY_MOVES, _row(connection, which).state, after)
    sop_uid, destination = which
    rows = tables.delivery
    here = and_(rows.c.sop_uid == sop_uid, rows.c.destination == destination)
    connection.execute(update(rows).where(here).values(state=after.value, **changes))


def _row(connection: Connection, which: tuple[str, str]) -> DeliveryRow:
    sop_uid, destination = which
    rows, made = tables.delivery, tables.artifact
    joined = select(rows, made.c.key).join(made, rows.c.sop_uid == made.c.sop_uid)
    row = connection.execute(joined.where(rows.c.sop_uid == sop_uid, rows.c.destination == destination)).one()
    return DeliveryRow(
        sop_uid=Uid(row.sop_uid),
        destination=row.destination,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        reason=row.reason,
        key=row.key,
    )
