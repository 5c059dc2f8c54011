"""Record of each destination whether it can be sent to: its circuit breaker."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, select, update

from dicomnode.domain import BREAKER_MOVES, BreakerState, DeliveryPolicy, DeliveryState
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryRow, Failure, give_up, rows_where
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerRow:
    """The circuit breaker of a destination; `failures` are those in a row, until now."""

    name: str
    state: BreakerState
    failures: int
    since: datetime
    next_probe_at: datetime | None
    last_success_at: datetime | None
    reason: str | None


def all_breakers(database: Database) -> tuple[BreakerRow, ...]:
    """Return the breakers of all destinations that something was ever sent to."""
    with database.read() as connection:
        return tuple(_row(row) for row in connection.execute(select(tables.destination).order_by("name")))


def probes_due(database: Database, among: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the destinations that are to be probed now, of all or of those `among`."""
    rows = tables.destination.c
    wanted = select(rows.name).where(rows.state == BreakerState.OPEN.value, rows.next_probe_at <= database.now())
    with database.read() as connection:
        names = connection.scalars(wanted.order_by(rows.next_probe_at)).all()
    return tuple(name for name in names if among is None or name in among)


def claim_probe(database: Database, name: str, policy: DeliveryPolicy) -> bool:
    """Claim the probe of a destination if it is due; the next is due a while later, whatever becomes of this one."""
    rows = tables.destination
    due = (rows.c.name == name, rows.c.state == BreakerState.OPEN.value, rows.c.next_probe_at <= database.now())
    with database.write() as connection:
        claimed = connection.execute(update(rows).where(*due).values(next_probe_at=database.now() + policy.probe))
        return claimed.rowcount == 1


def probe_succeeded(database: Database, name: str, policy: DeliveryPolicy) -> int:
    """Close the breaker, and let what waits for the destination be sent now; return how much that is.

    A probe is not yet a delivery: the first that fails opens it again. What waits for its next try is sent now where
    nothing else is due, else once the destination took something: an object over which it breaks off each time would
    come first after each probe, and keep all others from it.
    """
    now = database.now()
    with database.write() as connection:
        _close(connection, name, now, failures=max(policy.breaker_failures - 1, 1))
        due = connection.scalar(select(func.count()).where(_waits_for(name), tables.delivery.c.next_at <= now)) or 0
        return due or _pull_forward(connection, name, now)


def probe_failed(database: Database, name: str, reason: str, policy: DeliveryPolicy) -> tuple[DeliveryRow, ...]:
    """Record that the destination is still not there; return what was given up, as it waited for too long."""
    rows, now = tables.delivery.c, database.now()
    with database.write() as connection:
        connection.execute(update(tables.destination).where(tables.destination.c.name == name).values(reason=reason))
        waiting = rows_where(connection, (rows.destination == name) & (rows.state == DeliveryState.WAITING.value))
        late = tuple(row for row in waiting if now - row.since >= policy.give_up)
        for row in late:
            give_up(connection, row, reason, now)
        return late


def succeed(connection: Connection, name: str, now: datetime) -> None:
    """Note within a transaction that the destination did what it was asked; the first time after a probe, all goes."""
    known = _find(connection, name, now)
    _close(connection, name, now, failures=0)
    if known.failures and known.last_success_at == known.since:  # nothing was tried since the probe that closed it
        _pull_forward(connection, name, now)


def fail(connection: Connection, name: str, failure: Failure, policy: DeliveryPolicy, now: datetime) -> bool:
    """Note within a transaction that the destination failed; return whether that opened its breaker."""
    known = _find(connection, name, now)
    failures = known.failures + 1
    changes: dict[str, object] = {"failures": failures, "reason": failure.reason}
    opens = known.state is BreakerState.CLOSED and (failure.at_once or failures >= policy.breaker_failures)
    if opens:
        check_move(BREAKER_MOVES, known.state, BreakerState.OPEN)
        changes |= {"state": BreakerState.OPEN.value, "since": now, "next_probe_at": now + policy.probe}
        details = {"destination": name, "failures": failures, "reason": failure.reason}
        add_event(connection, Event(at=now, who="node", what="destination_open", details=details))
    connection.execute(update(tables.destination).where(tables.destination.c.name == name).values(changes))
    return opens


def lets(destination: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that the breaker of `destination` lets it be sent to."""
    rows = tables.destination.c
    return ~exists().where(rows.name == destination, rows.state == BreakerState.OPEN.value)


def _waits_for(name: str) -> ColumnElement[bool]:
    rows = tables.delivery.c
    return and_(rows.destination == name, rows.state == DeliveryState.WAITING.value)


def _pull_forward(connection: Connection, name: str, now: datetime) -> int:
    """Let what waits for its next try be due, behind what was due before and is as urgent; return how much that is."""
    later = and_(_waits_for(name), tables.delivery.c.next_at > now)
    return connection.execute(update(tables.delivery).where(later).values(next_at=now)).rowcount


def _find(connection: Connection, name: str, now: datetime) -> BreakerRow:
    wanted = select(tables.destination).where(tables.destination.c.name == name)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        new = {"name": name, "state": BreakerState.CLOSED.value, "failures": 0, "since": now}
        connection.execute(insert(tables.destination).values(new))
        row = connection.execute(wanted).one()
    return _row(row)


def _close(connection: Connection, name: str, now: datetime, *, failures: int) -> None:
    known = _find(connection, name, now)
    changes: dict[str, object] = {"failures": failures, "reason": None, "last_success_at": now}
    if known.state is BreakerState.OPEN:
        check_move(BREAKER_MOVES, known.state, BreakerState.CLOSED)
        changes |= {"state": BreakerState.CLOSED.value, "since": now, "next_probe_at": None}
        details = {"destination": name, "seconds": (now - known.since).total_seconds()}
        add_event(connection, Event(at=now, who="node", what="destination_closed", details=details))
    connection.execute(update(tables.destination).where(tables.destination.c.name == name).values(changes))


def _row(row: Row[tuple[object, ...]]) -> BreakerRow:
    return BreakerRow(
        name=row.name,
        state=BreakerState(row.state),
        failures=row.failures,
        since=row.since,
        next_probe_at=row.next_probe_at,
        last_success_at=row.last_success_at,
        reason=row.reason,
    )
