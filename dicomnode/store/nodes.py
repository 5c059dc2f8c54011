"""Record who runs: one row a process, with the time when it was last seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from dicomnode.store import tables
from dicomnode.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRow:
    """One process of a node; `facts` are its pid, version, port, AE title and model."""

    executor_id: str
    role: str
    started_at: datetime
    seen_at: datetime
    facts: Mapping[str, Any]


def begin(database: Database, executor_id: str, role: str, facts: Mapping[str, Any]) -> None:
    """Record that the process runs from now on."""
    now = database.now()
    row = {"executor_id": executor_id, "role": role, "started_at": now, "seen_at": now, "facts": dict(facts)}
    with database.write() as connection:
        connection.execute(delete(tables.node).where(tables.node.c.executor_id == executor_id))
        connection.execute(insert(tables.node).values(row))


def beat(database: Database, executor_id: str) -> None:
    """Record that the process still runs."""
    which = tables.node.c.executor_id == executor_id
    with database.write() as connection:
        connection.execute(update(tables.node).where(which).values(seen_at=database.now()))


def end(database: Database, executor_id: str) -> None:
    """Record that the process ended as it should."""
    with database.write() as connection:
        connection.execute(delete(tables.node).where(tables.node.c.executor_id == executor_id))


def all_nodes(database: Database) -> tuple[NodeRow, ...]:
    """Return every process that runs, or died without a word."""
    with database.read() as connection:
        rows = connection.execute(select(tables.node).order_by(tables.node.c.started_at)).all()
    return tuple(
        NodeRow(
            executor_id=row.executor_id, role=row.role, started_at=row.started_at, seen_at=row.seen_at, facts=row.facts
        )
        for row in rows
    )
