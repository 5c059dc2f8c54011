"""Say which instances came with a UID that others had before, and record whether they are the same object."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select, update

from dicomnode.domain import Uid
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """Other bytes under a SOP Instance UID, and those that are in use: their files in the spool."""

    sop_uid: Uid
    digest: str
    key: str
    used: str


def not_compared(database: Database, limit: int) -> tuple[Conflict, ...]:
    """Return at most `limit` conflicts that were not compared yet."""
    rows, used = tables.instance, tables.instance.alias()
    query = select(rows.c.sop_uid, rows.c.digest, rows.c.key, used.c.key.label("used"))
    query = query.join(used, and_(used.c.sop_uid == rows.c.sop_uid, ~used.c.conflict))
    query = query.where(rows.c.conflict, rows.c.same_object.is_(None)).limit(limit)
    with database.read() as connection:
        return tuple(
            Conflict(sop_uid=Uid(row.sop_uid), digest=row.digest, key=row.key, used=row.used)
            for row in connection.execute(query)
        )


def settle(database: Database, conflict: Conflict, *, same: bool, why: str) -> None:
    """Record whether the conflict is one: what is the same object is a duplicate."""
    rows = tables.instance.c
    which = and_(rows.sop_uid == conflict.sop_uid, rows.digest == conflict.digest)
    details: dict[str, Any] = {"sop_uid": conflict.sop_uid, "digest": conflict.digest, "same": same, "why": why}
    with database.write() as connection:
        connection.execute(update(tables.instance).where(which).values(same_object=same))
        add_event(connection, Event(at=database.now(), who="node", what="conflict_settled", details=details))
