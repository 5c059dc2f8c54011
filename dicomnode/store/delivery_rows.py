"""One delivery as its row says it: what of it is read, and how its state moves."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select, true, update

from dicomnode.domain import DELIVERY_MOVES, DeliveryState, ObjectKind, ProvenBy, SegType, Uid, parse_uid
from dicomnode.store import tables
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move


class DeliveryKey(NamedTuple):
    """Which object goes where; as text it is the key of a step."""

    sop_uid: Uid
    destination: str

    def __str__(self) -> str:
        """Return it as one word."""
        return f"{self.destination}/{self.sop_uid}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that `text` is."""
        destination, _, sop_uid = text.partition("/")
        return cls(parse_uid(sop_uid, f"delivery {text}"), destination)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """The sending of one object to one destination; `file` is its key in the spool.

    `since` is when it came to be sent, or was renewed; `asked` are the transactions of storage commitment that it was
    asked for in and that may still be answered, the latest first.
    """

    sop_uid: Uid
    sop_class_uid: Uid
    destination: str
    state: DeliveryState
    priority: int
    attempts: int
    next_at: datetime
    since: datetime
    delivered_at: datetime | None
    proof: ProvenBy | None
    proof_attempts: int
    asked: tuple[Uid, ...]
    reason: str | None
    key: str
    sha256: str
    kind: ObjectKind
    alternative: SegType | None

    @property
    def which(self) -> DeliveryKey:
        """Return what tells it from all others."""
        return DeliveryKey(self.sop_uid, self.destination)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a destination did not do now what it was asked, and how long to wait until it is asked again.

    `at_once` is set where one such failure is enough to leave the destination alone.
    """

    reason: str
    wait: timedelta
    at_once: bool = False


def rows_where(
    connection: Connection, wanted: ColumnElement[bool], limit: int | None = None
) -> tuple[DeliveryRow, ...]:
    """Return the deliveries that `wanted` holds of, the most urgent first."""
    rows = tables.delivery.c
    order = (rows.priority.desc(), rows.next_at, rows.created_at, rows.sop_uid, rows.destination)
    return tuple(_row(found) for found in connection.execute(_all().where(wanted).order_by(*order).limit(limit)))


def sent_to(among: Collection[str] | None) -> ColumnElement[bool]:
    """Return the condition that a delivery is to one of the destinations `among`; None is any."""
    return true() if among is None else tables.delivery.c.destination.in_(among)


def row_of(connection: Connection, which: DeliveryKey) -> DeliveryRow:
    """Return the delivery `which`."""
    return _row(connection.execute(_all().where(_is(which))).one())


def move(connection: Connection, which: DeliveryKey, after: DeliveryState, **changes: object) -> None:
    """Move a delivery to `after`, and change columns with it."""
    rows = tables.delivery
    before = connection.execute(select(rows.c.state).where(_is(which))).scalar_one()
    check_move(DELIVERY_MOVES, DeliveryState(before), after)
    connection.execute(update(rows).where(_is(which)).values(state=after.value, **changes))


def change(connection: Connection, which: DeliveryKey, **changes: object) -> None:
    """Change columns of a delivery that stays in its state."""
    connection.execute(update(tables.delivery).where(_is(which)).values(**changes))


def give_up(connection: Connection, row: DeliveryRow, reason: str, now: datetime) -> None:
    """Let a delivery be dead that could not be made in time."""
    days = (now - row.since).total_seconds() / 86400
    told = f"given up after {days:.1f} days and {row.attempts} tries: {reason}"
    move(connection, row.which, DeliveryState.DEAD, reason=told)
    details = {"sop_uid": row.sop_uid, "destination": row.destination, "reason": told}
    add_event(connection, Event(at=now, who="node", what="delivery_dead", details=details))


def asked_text(transactions: tuple[Uid, ...]) -> str | None:
    """Return `transactions` as the column keeps them: like several values of a DICOM element."""
    return "\\".join(transactions) or None


def seg_type(text: str | None) -> SegType | None:
    """Return the type of SEG that a column says."""
    return None if text is None else SegType(text)


def _is(which: DeliveryKey) -> ColumnElement[bool]:
    rows = tables.delivery.c
    return and_(rows.sop_uid == which.sop_uid, rows.destination == which.destination)


def _all() -> Select[tuple[object, ...]]:
    rows, made = tables.delivery, tables.artifact
    columns = (made.c.key, made.c.sha256, made.c.kind, made.c.alternative, made.c.sop_class_uid)
    return select(rows, *columns).join(made, rows.c.sop_uid == made.c.sop_uid)


def _row(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(
        sop_uid=Uid(row.sop_uid),
        sop_class_uid=Uid(row.sop_class_uid),
        destination=row.destination,
        state=DeliveryState(row.state),
        priority=row.priority,
        attempts=row.attempts,
        next_at=row.next_at,
        since=row.renewed_at or row.created_at,
        delivered_at=row.delivered_at,
        proof=row.proof and ProvenBy(row.proof),
        proof_attempts=row.proof_attempts,
        asked=tuple(Uid(one) for one in (row.transaction_uid or "").split("\\") if one),
        reason=row.reason,
        key=row.key,
        sha256=row.sha256,
        kind=ObjectKind(row.kind),
        alternative=seg_type(row.alternative),
    )
