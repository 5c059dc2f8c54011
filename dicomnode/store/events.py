"""The audit: what happened, when and through whom; rows are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from dicomnode.store.database import Database
from dicomnode.store.tables import event


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened."""

    at: datetime
    who: str
    what: str
    details: Mapping[str, Any]


def add_event(connection: Connection, happened: Event) -> None:
    """Add `happened` within the transaction of `connection`."""
    row = {"at": happened.at, "who": happened.who, "what": happened.what, "details": dict(happened.details)}
    connection.execute(insert(event).values(row))


def record_event(database: Database, who: str, what: str, details: Mapping[str, Any]) -> None:
    """Add an event that goes with no other change."""
    with database.write() as connection:
        add_event(connection, Event(at=database.now(), who=who, what=what, details=details))


def events(database: Database, what: str) -> tuple[Event, ...]:
    """Return every `what` that happened, oldest first."""
    with database.read() as connection:
        rows = connection.execute(select(event).where(event.c.what == what).order_by(event.c.id))
        return tuple(Event(at=row.at, who=row.who, what=row.what, details=row.details) for row in rows)
