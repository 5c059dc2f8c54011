"""Say what is known of studies, and record what was seen of them: the evidence, and what expires."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update

from dicomnode.domain import STUDY_MOVES, AssociationEnd, Content, Sending, StudyState, Uid
from dicomnode.store import arrivals, tables
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move

_CONTENT = TypeAdapter(Content)
_AT_ONCE = 500  # SQLite binds a limited number of values
T = TypeVar("T", bound=str)


def to_judge(database: Database) -> tuple[StudyRow, ...]:
    """Return the studies that instances are coming for, and those that wait until something more of them comes."""
    rows = tables.study.c
    waits = and_(rows.state == StudyState.INCOMPLETE.value, rows.evidence["until"].as_string().is_not(None))
    return arrivals.studies_where(database, or_(rows.state == StudyState.RECEIVING.value, waits))


def sendings(database: Database, study_uid: Uid) -> tuple[Sending, ...]:
    """Return the associations that brought the study, and those of their callers that may bring more or make good.

    Those are the ones that are open, and the ones that began after the last instance in one that broke off.
    """
    rows, came = tables.association, tables.instance
    brought = select(came.c.association_id, func.max(came.c.received_at).label("last_at"))
    brought = brought.where(came.c.study_uid == study_uid).group_by(came.c.association_id)
    with database.read() as connection:
        last_at: dict[int, datetime] = {row.association_id: row.last_at for row in connection.execute(brought)}
        own = connection.execute(select(rows).where(rows.c.id.in_(last_at))).all()
        callers = {row.peer_ae for row in own}
        broken = [last_at[row.id] for row in own if row.ended not in {None, AssociationEnd.RELEASED.value}]
        more: ColumnElement[bool] = rows.c.closed_at.is_(None)
        if broken:
            more = or_(more, rows.c.opened_at >= min(broken))
        others = select(rows).where(rows.c.peer_ae.in_(callers), more)
        found = {row.id: row for row in (*own, *connection.execute(others))}
    return tuple(_sending(row, last_at.get(number)) for number, row in sorted(found.items()))


def count_of(database: Database, study_uid: Uid) -> int:
    """Return how many instances of the study came."""
    rows = tables.instance
    with database.read() as connection:
        found: int = connection.scalar(select(func.count()).where(rows.c.study_uid == study_uid)) or 0
    return found


def counts(database: Database, series: Collection[Uid]) -> dict[Uid, int]:
    """Return how many instances of each of `series` are here, each SOP Instance UID once."""
    rows = tables.instance
    found: dict[Uid, int] = dict.fromkeys(series, 0)
    with database.read() as connection:
        for some in _parts(series):
            query = select(rows.c.series_uid, func.count()).where(rows.c.series_uid.in_(some), ~rows.c.conflict)
            found |= {Uid(uid): number for uid, number in connection.execute(query.group_by(rows.c.series_uid))}
    return found


def known(database: Database, objects: Collection[Uid]) -> frozenset[Uid]:
    """Return which of `objects` came or were made here."""
    found: set[Uid] = set()
    with database.read() as connection:
        for column in (tables.instance.c.sop_uid, tables.artifact.c.sop_uid):
            for some in _parts(objects):
                found |= {Uid(uid) for uid in connection.scalars(select(column).where(column.in_(some)))}
    return frozenset(found)


def note(database: Database, study: StudyRow, evidence: Mapping[str, Any], reason: str | None = None) -> None:
    """Add `evidence` to what is recorded of `study`, with `reason`, where it still stands as it was read.

    Nothing is written where that changes nothing.
    """
    rows = tables.study
    reason = reason or study.reason
    if reason == study.reason and {**study.evidence, **evidence} == study.evidence:
        return
    which = and_(rows.c.study_uid == study.study_uid, rows.c.state == study.state.value)
    same = which & (rows.c.last_instance_at == study.last_instance_at)
    with database.write() as connection:
        before = connection.execute(select(rows.c.evidence).where(same)).one_or_none()
        if before is not None:
            after = {**(before.evidence or {}), **evidence}
            connection.execute(update(rows).where(same).values(evidence=after, reason=reason))


def facts_of(content: Content) -> dict[str, Any]:
    """Return `content` as JSON values."""
    facts: dict[str, Any] = _CONTENT.dump_python(content, mode="json")
    return facts


def content_of(facts: Mapping[str, Any]) -> Content:
    """Return the content that `facts_of` turned into values."""
    return _CONTENT.validate_python(facts)


def expire(database: Database, before: datetime, why: str) -> tuple[Uid, ...]:
    """Give up the studies that have been incomplete or held since `before`; return which."""
    rows = tables.study
    since = func.coalesce(rows.c.changed_at, rows.c.last_instance_at)
    waiting = [StudyState.INCOMPLETE.value, StudyState.HELD.value]
    with database.read() as connection:
        found = connection.execute(select(rows).where(rows.c.state.in_(waiting), since <= before)).all()
    return _give_up(database, found, StudyState.EXPIRED, {row.study_uid: f"{why}: {row.reason}" for row in found})


def _give_up(
    database: Database, found: Sequence[Row[Any]], after: StudyState, reasons: Mapping[str, str]
) -> tuple[Uid, ...]:
    """Move the studies of `found`, each for its reason, where they still stand as they were read; return which."""
    rows = tables.study
    moved = []
    for row in found:
        check_move(STUDY_MOVES, StudyState(row.state), after)
        which = and_(rows.c.study_uid == row.study_uid, rows.c.state == row.state)
        now, reason = database.now(), reasons[row.study_uid]
        with database.write() as connection:
            values = {"state": after.value, "reason": reason, "changed_at": now}
            if connection.execute(update(rows).where(which).values(values)).rowcount:
                details = {"study": row.study_uid, "reason": reason}
                add_event(connection, Event(at=now, who="node", what=f"study_{after.value}", details=details))
                moved.append(Uid(row.study_uid))
    return tuple(moved)


def _sending(row: Row[Any], last_at: datetime | None) -> Sending:
    return Sending(
        caller=row.peer_ae,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        ended=AssociationEnd(row.ended) if row.ended else None,
        last_at=last_at,
    )


def _parts(values: Iterable[T]) -> Iterator[list[T]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
