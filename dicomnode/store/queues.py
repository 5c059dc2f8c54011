"""Read what each destination has to be sent, was sent and would not take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, and_, func, select

from dicomnode.domain import BreakerState, DeliveryState
from dicomnode.store import tables

_UNSENT = (DeliveryState.WAITING, DeliveryState.SENDING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """Whether a destination is sent to, as its row says; it has one once something was sent there."""

    state: BreakerState
    since: datetime
    failures: int
    next_probe_at: datetime | None
    last_success_at: datetime | None
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """The deliveries to one destination."""

    counts: Mapping[DeliveryState, int] = field(default_factory=dict)
    oldest: datetime | None = None  # of what waits or is being sent
    next_at: datetime | None = None  # when the next of those that wait may be tried
    last_error: str | None = None
    last_delivered_at: datetime | None = None
    breaker: Breaker | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """An object that a destination will not take."""

    sop_uid: str
    destination: str
    reason: str | None


def queues_of(connection: Connection) -> dict[str, Queue]:
    """Return what each destination has to be sent or was sent, also of those that the settings have no more."""
    counts = _counts_of_destinations(connection)
    breakers = {row.name: _breaker(row) for row in connection.execute(select(tables.destination))}
    return {
        name: Queue(
            counts=counts.get(name, {}),
            oldest=_oldest(connection, name, tables.delivery.c.created_at, _UNSENT),
            next_at=_oldest(connection, name, tables.delivery.c.next_at, (DeliveryState.WAITING,)),
            last_error=_last_error(connection, name),
            last_delivered_at=_last_delivered(connection, name),
            breaker=breakers.get(name),
        )
        for name in sorted({*counts, *breakers})
    }


def dead_letters(connection: Connection, limit: int) -> tuple[DeadLetter, ...]:
    """Return the last objects that a destination would not take, newest first."""
    rows = tables.delivery
    wanted = select(rows).where(rows.c.state == DeliveryState.DEAD.value)
    found = connection.execute(wanted.order_by(rows.c.next_at.desc(), rows.c.sop_uid).limit(limit))
    return tuple(DeadLetter(sop_uid=row.sop_uid, destination=row.destination, reason=row.reason) for row in found)


def _counts_of_destinations(connection: Connection) -> dict[str, dict[DeliveryState, int]]:
    rows = tables.delivery.c
    counted = select(rows.destination, rows.state, func.count()).group_by(rows.destination, rows.state)
    found: dict[str, dict[DeliveryState, int]] = {}
    for destination, state, number in connection.execute(counted):
        found.setdefault(destination, {})[DeliveryState(state)] = number
    return found


def _breaker(row: Any) -> Breaker:  # noqa: ANN401 - a row
    return Breaker(
        state=BreakerState(row.state),
        since=row.since,
        failures=row.failures,
        next_probe_at=row.next_probe_at,
        last_success_at=row.last_success_at,
        reason=row.reason,
    )


def _oldest(
    connection: Connection, destination: str, column: Column[datetime], states: tuple[DeliveryState, ...]
) -> datetime | None:
    rows = tables.delivery.c
    which = and_(rows.destination == destination, rows.state.in_([state.value for state in states]))
    oldest: datetime | None = connection.scalar(select(func.min(column)).where(which))
    return oldest


def _last_error(connection: Connection, destination: str) -> str | None:
    """Return why what is to be tried last was not taken: each failure puts the next try off."""
    rows = tables.delivery.c
    states = [state.value for state in _UNSENT]
    which = and_(rows.destination == destination, rows.state.in_(states), rows.reason.is_not(None))
    return connection.scalar(select(rows.reason).where(which).order_by(rows.next_at.desc()).limit(1))


def _last_delivered(connection: Connection, destination: str) -> datetime | None:
    rows = tables.delivery.c
    newest = select(func.max(rows.delivered_at)).where(rows.destination == destination)
    last: datetime | None = connection.scalar(newest)
    return last
