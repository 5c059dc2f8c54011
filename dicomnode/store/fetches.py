"""Record what is to be asked of other systems: what an annotation lacks, and what somebody pulls."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, Select, and_, insert, or_, select, update

from dicomnode.domain import FETCH_MOVES, Annotation, FetchState, StudyState, Uid, Wanted
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move

FOR_ANNOTATION = "annotation"  # the origin of what an annotation lacks
ASKED_FOR = "; what is missing is asked for: "  # what follows in a study's reason is what became of it
ATTEMPTS = 5  # how often a source is asked that answers and does not give what it says it has
SILENCE = timedelta(minutes=15)  # a fetch that is being done says so more often
RETRY_AFTER = (  # after the first try that failed, the second, ...; the last for all that follow
    *(timedelta(seconds=seconds) for seconds in (5, 30)),
    *(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 60)),
)

_WANTED = TypeAdapter(Wanted)
_OPEN = (FetchState.WAITING.value, FetchState.RUNNING.value)
_AT_ONCE = 500  # SQLite binds a limited number of values


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchRow:
    """One fetch as the table has it; `study_uid` is that of the study that waits for it.

    `found` is how many objects the sources have of what is wanted, and `kept` how many of them are here; None before
    they were asked.
    """

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
    found: int | None = None
    kept: int | None = None

    def has_expired(self, now: datetime) -> bool:
        """Return whether it has waited for too long."""
        return self.expires_at is not None and self.expires_at <= now


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

    What is being fetched already, for the same study or in the same words, is not asked for twice: it is looked for
    again at once.
    """
    rows = tables.fetch
    with database.write() as connection:
        now = database.now()
        known = _same(connection, wanted, (origin, source, study_uid))
        if known is not None:
            same = update(rows).where(rows.c.id == known)
            connection.execute(same.values(wanted=asdict(wanted)))
            connection.execute(same.where(rows.c.state == FetchState.WAITING.value).values(next_at=now, reason=None))
            return known
        row: dict[str, object] = {"origin": origin, "study_uid": study_uid, "source": source, "wanted": asdict(wanted)}
        row |= {"state": FetchState.WAITING.value, "attempts": 0, "created_at": now, "next_at": now}
        inserted = insert(rows).values(row | {"expires_at": expires_at}).returning(rows.c.id)
        number: int = connection.execute(inserted).scalar_one()
        return number


def wanted_by(database: Database, annotations: Iterable[Annotation]) -> Wanted | None:
    """Return what `annotations` name and is not here, if there is anything: the series, and objects of which all is."""
    series: dict[Uid, None] = {}
    instances: dict[Uid, None] = {}
    for annotation in annotations:
        named = dict.fromkeys([plane.sop_instance_uid for plane, _ in annotation.references] + [*annotation.objects])
        lacking = named.keys() - here(database, named)
        if lacking or not named:
            series |= dict.fromkeys(annotation.referenced_series)
            instances |= {uid: None for uid in named if uid in lacking}
    if not series and not instances:
        return None
    return Wanted(series=tuple(series), instances=tuple(instances), around=True)


def due(database: Database) -> tuple[int, ...]:
    """Return the numbers of the fetches that are due, or have waited for too long, the longest due first.

    One that is being done and did not say so for a long time is due, too: what became of it could not be recorded.
    """
    rows, now = tables.fetch, database.now()
    waiting = and_(rows.c.state == FetchState.WAITING.value, or_(rows.c.next_at <= now, rows.c.expires_at <= now))
    left = and_(rows.c.state == FetchState.RUNNING.value, rows.c.next_at <= now)
    with database.read() as connection:
        found = select(rows.c.id).where(or_(waiting, left)).order_by(rows.c.next_at, rows.c.id)
        return tuple(connection.scalars(found))


def claim(database: Database, number: int) -> FetchRow | None:
    """Claim the fetch `number`, if it is due: it is being done from now on."""
    with database.write() as connection:
        row, now = _row(connection, number), database.now()
        if row is None or row.state.value not in _OPEN or not (row.next_at <= now or row.has_expired(now)):
            return None
        if row.state is FetchState.RUNNING:
            _move(connection, row, FetchState.WAITING)
            row = replace(row, state=FetchState.WAITING)
        _move(connection, row, FetchState.RUNNING, attempts=row.attempts + 1, next_at=now + SILENCE)
        return _row(connection, number)


def tell(database: Database, number: int, found: int, kept: int) -> None:
    """Record how far the fetch is."""
    with database.write() as connection:
        which = tables.fetch.c.id == number
        told = {"found": found, "kept": kept, "next_at": database.now() + SILENCE}
        connection.execute(update(tables.fetch).where(which).values(told))


def finish(database: Database, row: FetchRow, reason: str | None = None) -> bool:
    """Record that all that was wanted is here; return whether it is: more may be wanted since the fetch began."""
    with database.write() as connection:
        now = database.now()
        current = _row(connection, row.id)
        if current is not None and current.wanted != row.wanted:
            _move(connection, row, FetchState.WAITING, next_at=now)
            return False
        _move(connection, row, FetchState.DONE, reason=reason)
        add_event(connection, Event(at=now, who="node", what="fetch_done", details=_details(row)))
        return True


def fail(database: Database, row: FetchRow, reason: str) -> None:
    """Record that what is wanted will not come, and tell the study that waits for it why."""
    with database.write() as connection:
        _move(connection, row, FetchState.FAILED, reason=reason)
        _tell_study(connection, row, f"it could not be fetched: {reason}")
        details = _details(row) | {"reason": reason}
        add_event(connection, Event(at=database.now(), who="node", what="fetch_failed", details=details))


def fail_by_bug(database: Database, number: int, reason: str) -> None:
    """Record that a bug keeps the fetch `number` from being done, if it is being done."""
    row = fetch_of(database, number)
    if row is not None and row.state is FetchState.RUNNING:
        fail(database, row, reason)


def put_back(database: Database, row: FetchRow, reason: str) -> timedelta:
    """Let the fetch be tried again later, and tell the study that waits for it why; return how much later."""
    wait = RETRY_AFTER[min(row.attempts, len(RETRY_AFTER)) - 1]
    until = f", until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else ""
    with database.write() as connection:
        _move(connection, row, FetchState.WAITING, reason=reason, next_at=database.now() + wait)
        _tell_study(connection, row, f"it is fetched again and again{until}: {reason}")
    return wait


def recover(database: Database) -> int:
    """Let what a dead process was fetching be fetched again at once; return how many fetches."""
    with database.write() as connection:
        running = select(tables.fetch.c.id).where(tables.fetch.c.state == FetchState.RUNNING.value)
        found = [_row(connection, number) for number in connection.scalars(running).all()]
        for row in found:
            if row is not None:
                _move(connection, row, FetchState.WAITING, next_at=database.now())
    return len(found)


def fetch_of(database: Database, number: int) -> FetchRow | None:
    """Return the fetch `number`, if there is one."""
    with database.read() as connection:
        return _row(connection, number)


def fetches_of(database: Database, study_uid: Uid | None = None) -> tuple[FetchRow, ...]:
    """Return the fetches that the study waits or waited for, or all, oldest first."""
    wanted = select(tables.fetch).order_by(tables.fetch.c.id)
    if study_uid is not None:
        wanted = wanted.where(tables.fetch.c.study_uid == study_uid)
    with database.read() as connection:
        return tuple(_fetch(row) for row in connection.execute(wanted))


def is_open(database: Database, origin: str) -> bool:
    """Return whether something that `origin` asked for is still to be looked for, but for single studies."""
    rows = tables.fetch.c
    open_ = select(rows.id).where(rows.origin == origin, rows.study_uid.is_(None), rows.state.in_(_OPEN))
    with database.read() as connection:
        return connection.execute(open_.limit(1)).first() is not None


def here(database: Database, objects: Collection[Uid]) -> frozenset[Uid]:
    """Return which of `objects` are here: received, or made here."""
    wanted, found = sorted(objects), set[str]()
    with database.read() as connection:
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            for column in (tables.instance.c.sop_uid, tables.artifact.c.sop_uid):
                found |= set(connection.scalars(select(column).where(column.in_(some))))
    return frozenset(Uid(uid) for uid in found)


def _same(connection: Connection, wanted: Wanted, who: tuple[str, str | None, Uid | None]) -> int | None:
    """Return the number of the open fetch of the same study, or without one, of the same words."""
    origin, source, study_uid = who
    rows = tables.fetch
    open_: Select[tuple[object, ...]] = select(rows).where(
        rows.c.origin == origin,
        rows.c.source.is_(None) if source is None else rows.c.source == source,
        rows.c.study_uid.is_(None) if study_uid is None else rows.c.study_uid == study_uid,
        rows.c.state.in_(_OPEN),
    )
    found = (_fetch(row) for row in connection.execute(open_))
    return next((row.id for row in found if study_uid is not None or row.wanted == wanted), None)


def _tell_study(connection: Connection, row: FetchRow, reason: str) -> None:
    """Let the study that waits for `row` say why it does; one that has moved on is left alone."""
    if row.origin != FOR_ANNOTATION or row.study_uid is None:
        return
    study = tables.study
    which = study.c.study_uid == row.study_uid
    lacking = study.c.state.in_([StudyState.HELD.value, StudyState.INCOMPLETE.value])
    found = connection.execute(select(study.c.reason, study.c.evidence).where(which, lacking)).one_or_none()
    if found is not None:
        before = (found.reason or "").partition(ASKED_FOR)[0]
        told = {"reason": f"{before}{ASKED_FOR}{reason}", "evidence": {**(found.evidence or {}), "asked": reason}}
        connection.execute(update(study).where(which).values(told))


def _details(row: FetchRow) -> dict[str, object]:
    return {"fetch": row.id, "origin": row.origin, "study": row.study_uid, "attempts": row.attempts}


def _move(connection: Connection, row: FetchRow, after: FetchState, **changes: object) -> None:
    check_move(FETCH_MOVES, row.state, after)
    connection.execute(update(tables.fetch).where(tables.fetch.c.id == row.id).values(state=after.value, **changes))


def _row(connection: Connection, number: int) -> FetchRow | None:
    row = connection.execute(select(tables.fetch).where(tables.fetch.c.id == number)).one_or_none()
    return _fetch(row) if row else None


def _fetch(row: Row[tuple[object, ...]]) -> FetchRow:
    return FetchRow(
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
        found=row.found,
        kept=row.kept,
    )
