"""Record deliveries: one row an object and destination, its tries, and when the next is due."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, not_, select, true

from dicomnode.domain import DELIVERY_MOVES, DeliveryPolicy, DeliveryState, ObjectKind, OutputProfile, SegType, Uid
from dicomnode.store import breakers, tables
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import (
    DeliveryKey,
    DeliveryRow,
    Failure,
    give_up,
    move,
    row_of,
    rows_where,
    seg_type,
    sent_to,
)
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import IllegalMove

__all__ = [
    "DeliveryKey",
    "DeliveryRow",
    "Failure",
    "PutBack",
    "add",
    "all_deliveries",
    "begun",
    "bury",
    "claim",
    "delivered",
    "delivery_row",
    "due",
    "fail",
    "fall_back",
    "give_back",
    "put_back",
    "recover",
    "replay",
    "replay_all",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PutBack:
    """What became of a delivery that failed, and whether its destination is left alone from now on."""

    state: DeliveryState
    opened: bool


def add(connection: Connection, job: str, destination: str, objects: Iterable[Uid], now: datetime) -> None:
    """Let the `objects` that `job` made be sent to `destination`, those that never were to be until now."""
    rows = tables.delivery
    priority = connection.scalar(select(tables.job.c.priority).where(tables.job.c.job_key == job))
    for sop_uid in dict.fromkeys(objects):
        here = and_(rows.c.sop_uid == sop_uid, rows.c.destination == destination)
        if connection.scalar(select(rows.c.state).where(here)) is None:
            row = {"sop_uid": sop_uid, "destination": destination, "job_key": job, "attempts": 0}
            due = {"state": DeliveryState.WAITING.value, "priority": priority, "next_at": now, "created_at": now}
            connection.execute(insert(rows).values(row | due))


def due(database: Database, among: Collection[str] | None = None, limit: int | None = None) -> tuple[DeliveryRow, ...]:
    """Return what is to be sent now, the most urgent first: to all destinations, or to those `among`.

    An SR waits for the SEGs of its job that are still to be sent there, as it refers to them. What goes to a
    destination that is left alone waits for its probe.
    """
    with database.read() as connection:
        return rows_where(connection, and_(_is_due(database.now()), sent_to(among)), limit)


def claim(database: Database, which: DeliveryKey) -> DeliveryRow | None:
    """Claim a delivery, if it is due: it is being sent from now on.

    A destination is sent to one object at a time, so what is still being sent there now was left when the database
    could not be written: it is due again.
    """
    rows = tables.delivery.c
    here = and_(rows.sop_uid == which.sop_uid, rows.destination == which.destination)
    with database.write() as connection:
        _recover(connection, database, rows.destination == which.destination)
        if not rows_where(connection, and_(here, _is_due(database.now()))):
            return None
        move(connection, which, DeliveryState.SENDING, attempts=rows.attempts + 1)
        return row_of(connection, which)


def delivered(database: Database, row: DeliveryRow, status: int) -> None:
    """Record that the destination took the object with `status`; its proof is due now."""
    with database.write() as connection:
        now = database.now()
        taken = {"reason": None, "delivered_at": now, "next_at": now, "transaction_uid": None}
        move(connection, row.which, DeliveryState.DELIVERED, **taken)
        breakers.succeed(connection, row.destination, now)
        details = {"sop_uid": row.sop_uid, "destination": row.destination, "status": f"0x{status:04X}"}
        add_event(connection, Event(at=now, who="node", what="delivered", details=details))


def put_back(database: Database, row: DeliveryRow, failure: Failure, policy: DeliveryPolicy) -> PutBack:
    """Let the object be sent again later, or give it up if that was tried for too long; count it to the destination."""
    with database.write() as connection:
        now = database.now()
        opened = breakers.fail(connection, row.destination, failure, policy, now)
        if now - row.since >= policy.give_up:
            give_up(connection, row, failure.reason, now)
            return PutBack(state=DeliveryState.DEAD, opened=opened)
        move(connection, row.which, DeliveryState.WAITING, reason=failure.reason, next_at=now + failure.wait)
        return PutBack(state=DeliveryState.WAITING, opened=opened)


def bury(database: Database, row: DeliveryRow, reason: str) -> None:
    """Record that the destination will never take the object, and why."""
    with database.write() as connection:
        move(connection, row.which, DeliveryState.DEAD, reason=reason)
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
            move(connection, DeliveryKey(Uid(sop_uid), row.destination), DeliveryState.REPLACED, reason=reason)
        add(connection, job, row.destination, [one.sop_uid for one in chosen], database.now())
        after = chosen[0].alternative
        details = {"sop_uid": row.sop_uid, "destination": row.destination, "reason": reason}
        details |= {"before": row.alternative.value, "after": str(after)}
        add_event(connection, Event(at=database.now(), who="node", what="delivery_fell_back", details=details))
        return after


def replay(database: Database, row: DeliveryRow, who: str) -> None:
    """Let the object that was given up be sent again now, as if it had never been."""
    with database.write() as connection:
        if (state := row_of(connection, row.which).state) is not DeliveryState.DEAD:
            raise IllegalMove(f"it is {state}")  # what sends it may let it be sent again, and nobody else
        _replay(connection, row, who, database.now())


def replay_all(database: Database, destination: str, who: str) -> int:
    """Let everything that was given up for `destination` be sent again now; return how much that is."""
    rows = tables.delivery.c
    dead = and_(rows.destination == destination, rows.state == DeliveryState.DEAD.value)
    with database.write() as connection:
        found = rows_where(connection, dead)
        for row in found:
            _replay(connection, row, who, database.now())
        return len(found)


def recover(database: Database, destination: str | None = None) -> int:
    """Let what a dead process was sending, to all destinations or to one, be sent again at once; return how many."""
    rows = tables.delivery.c
    which = and_(rows.state == DeliveryState.SENDING.value, sent_to(None if destination is None else {destination}))
    with database.read() as connection:
        if not rows_where(connection, which, 1):
            return 0
    with database.write() as connection:
        return _recover(connection, database, which)


def begun(database: Database) -> tuple[DeliveryRow, ...]:
    """Return what is being sent."""
    with database.read() as connection:
        return rows_where(connection, tables.delivery.c.state == DeliveryState.SENDING.value)


def give_back(database: Database, row: DeliveryRow) -> None:
    """Let the object be sent again at once, if it is still being sent as `row` was claimed."""
    rows = tables.delivery.c
    here = and_(rows.sop_uid == row.sop_uid, rows.destination == row.destination, rows.attempts == row.attempts)
    with database.write() as connection:
        _recover(connection, database, here)


def fail(database: Database, which: DeliveryKey, reason: str) -> None:
    """Record that a bug keeps the object from being sent."""
    with database.read() as connection:
        row = row_of(connection, which)
    if DeliveryState.DEAD in DELIVERY_MOVES[row.state]:
        bury(database, row, reason)


def delivery_row(database: Database, which: DeliveryKey) -> DeliveryRow:
    """Return the delivery `which`."""
    with database.read() as connection:
        return row_of(connection, which)


def all_deliveries(database: Database) -> tuple[DeliveryRow, ...]:
    """Return every delivery, the most urgent first."""
    with database.read() as connection:
        return rows_where(connection, true())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """One object as its row says it."""

    sop_uid: Uid
    kind: ObjectKind
    alternative: SegType | None


def _is_due(now: datetime) -> ColumnElement[bool]:
    rows, made, segs, others = (
        tables.delivery,
        tables.artifact.alias(),
        tables.artifact.alias(),
        tables.delivery.alias(),
    )
    states = [DeliveryState.WAITING.value, DeliveryState.SENDING.value]
    unsent = select(others.c.sop_uid).where(others.c.destination == rows.c.destination, others.c.state.in_(states))
    first = exists().where(
        made.c.sop_uid == rows.c.sop_uid,
        made.c.kind == ObjectKind.SR.value,
        segs.c.job_key == made.c.job_key,
        segs.c.kind == ObjectKind.SEG.value,
        segs.c.sop_uid.in_(unsent),
    )
    stale = exists().where(tables.job.c.supersedes == rows.c.job_key)  # a later generation's result goes instead
    due_now = and_(rows.c.state == DeliveryState.WAITING.value, rows.c.next_at <= now)
    return and_(due_now, breakers.lets(rows.c.destination), not_(first), not_(stale))


def _made_by(connection: Connection, job: str) -> tuple[_Made, ...]:
    columns = tables.artifact.c
    wanted = select(columns.sop_uid, columns.kind, columns.alternative).where(columns.job_key == job)
    return tuple(
        _Made(sop_uid=Uid(row.sop_uid), kind=ObjectKind(row.kind), alternative=seg_type(row.alternative))
        for row in connection.execute(wanted.order_by(columns.sop_uid))
    )


def _unsent(connection: Connection, destination: str, objects: Iterable[Uid]) -> tuple[str, ...]:
    """Return those of `objects` that `destination` did not take."""
    columns = tables.delivery.c
    states = [DeliveryState.WAITING.value, DeliveryState.SENDING.value, DeliveryState.DEAD.value]
    which = and_(columns.destination == destination, columns.sop_uid.in_(list(objects)), columns.state.in_(states))
    return tuple(connection.scalars(select(columns.sop_uid).where(which)))


def _replay(connection: Connection, row: DeliveryRow, who: str, now: datetime) -> None:
    anew = {"attempts": 0, "proof_attempts": 0, "transaction_uid": None, "next_at": now, "renewed_at": now}
    move(connection, row.which, DeliveryState.WAITING, **anew)
    details = {"sop_uid": row.sop_uid, "destination": row.destination}
    add_event(connection, Event(at=now, who=who, what="delivery_replayed", details=details))


def _recover(connection: Connection, database: Database, which: ColumnElement[bool]) -> int:
    found = rows_where(connection, and_(tables.delivery.c.state == DeliveryState.SENDING.value, which))
    for row in found:
        reason = "what became of it was not recorded when it was sent"
        move(connection, row.which, DeliveryState.WAITING, reason=reason, next_at=database.now())
    return len(found)
