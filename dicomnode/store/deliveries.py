"""Record deliveries: one row an object and destination, its tries, and when the next is due."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, insert, not_, or_, select, true, update

from dicomnode.domain import DELIVERY_MOVES, DeliveryState, ObjectKind, OutputProfile, SegType, Uid
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import IllegalMove, check_move

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
    kind: ObjectKind
    alternative: SegType | None


def retry_after(attempts: int) -> timedelta:
    """Return how long to wait after `attempts` tries that failed."""
    return RETRY_AFTER[min(attempts, len(RETRY_AFTER)) - 1]


def add(connection: Connection, job: str, destination: str, objects: Iterable[Uid], now: datetime) -> None:
    """Let the `objects` that `job` made be sent to `destination`, those that never were to be until now."""
    rows = tables.delivery
    for sop_uid in dict.fromkeys(objects):
        here = and_(rows.c.sop_uid == sop_uid, rows.c.destination == destination)
        if connection.scalar(select(rows.c.state).where(here)) is None:
            row = {"sop_uid": sop_uid, "destination": destination, "job_key": job, "attempts": 0}
            due = {"state": DeliveryState.WAITING.value, "next_at": now, "created_at": now}
            connection.execute(insert(rows).values(row | due))


def claim(database: Database, destination: str) -> DeliveryRow | None:
    """Claim what has been due for `destination` the longest: it is being sent from now on.

    An SR waits for the SEGs of its job that are still to be sent there, as it refers to them.
    A destination is sent to one object at a time, so one that is still being sent now was left when the database could
    not be written: it is due first.
    """
    rows = tables.delivery
    with database.write() as connection:
        _recover(connection, database, rows.c.destination == destination)
        sop_uid = connection.scalar(_first_due(destination, database.now()))
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


def fall_back(database: Database, row: DeliveryRow, profile: OutputProfile, reason: str) -> SegType | None:
    """Let the next type of SEG that `profile` names and the job made be sent in place of that of `row`; return which.

    What refers to the SEGs is replaced with them, in one transaction. Where there is no other type nothing is changed,
    and None is returned.
    """
    if row.alternative is None:
        return None
    with database.write() as connection:
        which = tables.artifact.c.sop_uid == row.sop_uid
        job = connection.execute(select(tables.artifact.c.job_key).where(which)).scalar_one()
        made = _made_by(connection, job)
        chosen = profile.chosen(made, after=row.alternative)
        if not chosen:
            return None
        old = [one.sop_uid for one in made if one.alternative is row.alternative]
        for sop_uid in _unsent(connection, row.destination, old):
            _move(connection, (sop_uid, row.destination), DeliveryState.REPLACED, reason=reason)
        add(connection, job, row.destination, [one.sop_uid for one in chosen], database.now())
        after = chosen[0].alternative
        details = {"sop_uid": row.sop_uid, "destination": row.destination, "reason": reason}
        details |= {"before": row.alternative.value, "after": str(after)}
        add_event(connection, Event(at=database.now(), who="node", what="delivery_fell_back", details=details))
        return after


def replay(database: Database, row: DeliveryRow, who: str) -> None:
    """Let the object that was given up be sent again now."""
    with database.write() as connection:
        which = (row.sop_uid, row.destination)
        if (state := _row(connection, which).state) is not DeliveryState.DEAD:
            raise IllegalMove(f"it is {state}")  # what sends it may let it be sent again, and nobody else
        _move(connection, which, DeliveryState.WAITING, attempts=0, next_at=database.now())
        details = {"sop_uid": row.sop_uid, "destination": row.destination}
        add_event(connection, Event(at=database.now(), who=who, what="delivery_replayed", details=details))


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


def delivery_row(database: Database, which: tuple[Uid, str]) -> DeliveryRow:
    """Return the row of one delivery, that of an object to a destination."""
    with database.read() as connection:
        return _row(connection, which)


def all_deliveries(database: Database) -> tuple[DeliveryRow, ...]:
    """Return every delivery."""
    columns = tables.delivery.c
    with database.read() as connection:
        keys = connection.execute(select(columns.sop_uid, columns.destination).order_by(columns.next_at)).all()
        return tuple(_row(connection, (sop_uid, destination)) for sop_uid, destination in keys)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """One object as its row says it."""

    sop_uid: Uid
    kind: ObjectKind
    alternative: SegType | None


def _first_due(destination: str, now: datetime) -> Select[str]:
    rows, made, segs, others = tables.delivery, tables.artifact, tables.artifact.alias(), tables.delivery.alias()
    states = [DeliveryState.WAITING.value, DeliveryState.SENDING.value]
    unsent = select(others.c.sop_uid).where(others.c.destination == destination, others.c.state.in_(states))
    before = exists().where(
        segs.c.job_key == made.c.job_key, segs.c.kind == ObjectKind.SEG.value, segs.c.sop_uid.in_(unsent)
    )
    return (
        select(rows.c.sop_uid)
        .join(made, rows.c.sop_uid == made.c.sop_uid)
        .where(rows.c.destination == destination, rows.c.state == DeliveryState.WAITING.value, rows.c.next_at <= now)
        .where(or_(made.c.kind != ObjectKind.SR.value, not_(before)))
        .order_by(rows.c.next_at, rows.c.sop_uid)
        .limit(1)
    )


def _made_by(connection: Connection, job: str) -> tuple[_Made, ...]:
    columns = tables.artifact.c
    wanted = select(columns.sop_uid, columns.kind, columns.alternative).where(columns.job_key == job)
    return tuple(
        _Made(sop_uid=Uid(row.sop_uid), kind=ObjectKind(row.kind), alternative=_type(row.alternative))
        for row in connection.execute(wanted.order_by(columns.sop_uid))
    )


def _type(text: str | None) -> SegType | None:
    return None if text is None else SegType(text)


def _unsent(connection: Connection, destination: str, objects: Iterable[Uid]) -> tuple[str, ...]:
    """Return those of `objects` that `destination` did not take."""
    columns = tables.delivery.c
    states = [DeliveryState.WAITING.value, DeliveryState.SENDING.value, DeliveryState.DEAD.value]
    which = and_(columns.destination == destination, columns.sop_uid.in_(list(objects)), columns.state.in_(states))
    return tuple(connection.scalars(select(columns.sop_uid).where(which)))


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
    joined = select(rows, made.c.key, made.c.kind, made.c.alternative).join(made, rows.c.sop_uid == made.c.sop_uid)
    row = connection.execute(joined.where(rows.c.sop_uid == sop_uid, rows.c.destination == destination)).one()
    return DeliveryRow(
        sop_uid=Uid(row.sop_uid),
        destination=row.destination,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        reason=row.reason,
        key=row.key,
        kind=ObjectKind(row.kind),
        alternative=_type(row.alternative),
    )
