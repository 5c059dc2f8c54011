"""Record what is to be asked of other systems: what an annotation lacks, and what somebody pulls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter
from sqlalchemy import insert, select, update

from dicomnode.domain import Uid
from dicomnode.store import tables
from dicomnode.store.database import Database

FOR_ANNOTATION = "annotation"  # the origin of what an annotation lacks


class FetchState(StrEnum):
    """Where a fetch stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # no source has it, or none answered in time


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is asked for: whole studies, series, single instances (any of them), or what a query matches."""

    studies: tuple[Uid, ...] = ()
    series: tuple[Uid, ...] = ()
    instances: tuple[Uid, ...] = ()
    query: Mapping[str, str] | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchRow:
    """One fetch as the table has it; `study_uid` is that of the study that waits for it."""

    id: int
    origin: str
    study_uid: Uid | None
    source: str | None
    wanted: Wanted
    state: FetchState
    attempts: int
    next_at: datetime
    expires_at: datetime | None
    reason: str | None


_WANTED = TypeAdapter(Wanted)


def ask(
    database: Database,
    wanted: Wanted,
    *,
    origin: str,
    study_uid: Uid | None = None,
    source: str | None = None,
    expires_at: datetime | None = None,
) -> int:
    """Let `wanted` be fetched, of `source` alone or of any; return the number of the fetch.

    What a study waits for already is not asked for twice: it is looked for again at once.
    """
    rows = tables.fetch
    with database.write() as connection:
        now = database.now()
        open_ = rows.c.state.in_([FetchState.WAITING.value, FetchState.RUNNING.value])
        same = select(rows.c.id).where(rows.c.study_uid == study_uid, rows.c.origin == origin, open_)
        known: int | None = connection.scalar(same) if study_uid else None
        if known is not None:
            changes = {"wanted": asdict(wanted), "next_at": now}
            connection.execute(update(rows).where(rows.c.id == known).values(changes))
            return known
        row: dict[str, object] = {"origin": origin, "study_uid": study_uid, "source": source, "wanted": asdict(wanted)}
        row |= {"state": FetchState.WAITING.value, "attempts": 0, "created_at": now, "next_at": now}
        inserted = insert(rows).values(row | {"expires_at": expires_at}).returning(rows.c.id)
        number: int = connection.execute(inserted).scalar_one()
        return number


def fetches_of(database: Database, study_uid: Uid | None = None) -> tuple[FetchRow, ...]:
    """Return the fetches that the study waits or waited for, or all, oldest first."""
    wanted = select(tables.fetch).order_by(tables.fetch.c.id)
    if study_uid is not None:
        wanted = wanted.where(tables.fetch.c.study_uid == study_uid)
    with database.read() as connection:
        return tuple(
            FetchRow(
                id=row.id,
                origin=row.origin,
                study_uid=row.study_uid and Uid(row.study_uid),
                source=row.source,
                wanted=_WANTED.validate_python(row.wanted),
                state=FetchState(row.state),
                attempts=row.attempts,
                next_at=row.next_at,
                expires_at=row.expires_at,
                reason=row.reason,
            )
            for row in connection.execute(wanted)
        )
