"""Read what there is to say of the whole node, as it was at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, func, select

from dicomnode.domain import FetchState, JobState, StudyState
from dicomnode.errors import Reason
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.queues import DeadLetter, Queue, dead_letters, queues_of

_WAITING = (StudyState.RECEIVING, StudyState.INCOMPLETE, StudyState.HELD, StudyState.READY)
_STOPPED = (JobState.REFUSED, JobState.FAILED)
_OPEN = (FetchState.WAITING, FetchState.RUNNING)
_LAST = 10  # of what ended badly

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAssociation:
    """An association that somebody has with this node."""

    peer_ae: str
    called_ae: str | None
    host: str | None
    opened_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingStudy:
    """A study without jobs of its newest images; `since` it stands there, `evidence` is what was seen of it."""

    study_uid: str
    state: StudyState
    reason: str | None
    since: datetime
    last_instance_at: datetime
    generation: int
    open_associations: int
    evidence: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class JobBrief:
    """A job that runs, or that ended without a result."""

    key: str
    study_uid: str
    state: JobState
    reason: str | None
    attempts: int
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenFetch:
    """Something that is asked of a source; None is any of them."""

    id: int
    origin: str
    study_uid: str | None
    source: str | None
    state: FetchState
    attempts: int
    created_at: datetime
    next_at: datetime
    expires_at: datetime | None
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """An instance that came with the UID of another one, and is not used."""

    sop_uid: str
    sender: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Everything there is to say of the node; `stopped`, `dead` and `conflicts` have the last few, newest first."""

    associations: tuple[OpenAssociation, ...]
    studies: Mapping[StudyState, int]
    waiting: tuple[WaitingStudy, ...]
    jobs: Mapping[JobState, int]
    oldest_ready: datetime | None
    running: tuple[JobBrief, ...]
    stopped: tuple[JobBrief, ...]
    queues: Mapping[str, Queue]
    dead: tuple[DeadLetter, ...]
    fetches: Mapping[FetchState, int]
    open_fetches: tuple[OpenFetch, ...]
    conflicts: tuple[Conflict, ...]
    instances: int
    received_bytes: int


def summary(database: Database) -> Summary:
    """Return where everything stands, in one transaction that keeps no writer waiting."""
    jobs = tables.job.c
    with database.read() as connection:
        ready = select(func.min(jobs.changed_at)).where(jobs.state == JobState.READY.value)
        held = select(func.count(), func.coalesce(func.sum(tables.instance.c.size), 0)).select_from(tables.instance)
        instances, size = connection.execute(held).one()
        return Summary(
            associations=tuple(_associations(connection)),
            studies=_counts(connection, tables.study.c.state, StudyState),
            waiting=tuple(_waiting(connection)),
            jobs=_counts(connection, jobs.state, JobState),
            oldest_ready=connection.scalar(ready),
            running=_jobs(connection, (JobState.RUNNING,), limit=None),
            stopped=_jobs(connection, _STOPPED, limit=_LAST),
            queues=queues_of(connection),
            dead=dead_letters(connection, _LAST),
            fetches=_counts(connection, tables.fetch.c.state, FetchState),
            open_fetches=tuple(_fetches(connection)),
            conflicts=tuple(_conflicts(connection)),
            instances=instances,
            received_bytes=size,
        )


def _counts(connection: Connection, column: Column[str], states: type[State]) -> dict[State, int]:
    """Return how many rows stand in each of `states` that any stands in."""
    rows = connection.execute(select(column, func.count()).group_by(column))
    found: dict[str, int] = {name: number for name, number in rows}  # noqa: C416 - a row is no pair to the type checker
    return {state: found[state.value] for state in states if state.value in found}


def _associations(connection: Connection) -> Iterator[OpenAssociation]:
    rows = tables.association
    for row in connection.execute(select(rows).where(rows.c.closed_at.is_(None)).order_by(rows.c.id)):
        yield OpenAssociation(peer_ae=row.peer_ae, called_ae=row.called_ae, host=row.peer_host, opened_at=row.opened_at)


def _waiting(connection: Connection) -> Iterator[WaitingStudy]:
    """Yield the studies that wait, those that wait the longest first."""
    rows = tables.study
    since = func.coalesce(rows.c.changed_at, rows.c.last_instance_at)
    open_ = _open_associations(connection)
    wanted = select(rows).where(rows.c.state.in_([state.value for state in _WAITING]))
    for row in connection.execute(wanted.order_by(since, rows.c.study_uid)):
        yield WaitingStudy(
            study_uid=row.study_uid,
            state=StudyState(row.state),
            reason=row.reason,
            since=row.changed_at or row.last_instance_at,
            last_instance_at=row.last_instance_at,
            generation=row.generation,
            open_associations=open_.get(row.study_uid, 0),
            evidence=row.evidence,
        )


def _open_associations(connection: Connection) -> dict[str, int]:
    """Return how many open associations brought instances of each study that any did."""
    brought, open_ = tables.instance.c, tables.association.c
    joined = select(brought.study_uid, func.count(open_.id.distinct()))
    joined = joined.join_from(tables.association, tables.instance, brought.association_id == open_.id)
    rows = connection.execute(joined.where(open_.closed_at.is_(None)).group_by(brought.study_uid))
    return {study_uid: number for study_uid, number in rows}  # noqa: C416 - likewise


def _jobs(connection: Connection, states: tuple[JobState, ...], limit: int | None) -> tuple[JobBrief, ...]:
    rows = tables.job.c
    wanted = select(rows.job_key, rows.study_uid, rows.state, rows.reason, rows.attempts, rows.changed_at)
    wanted = wanted.where(rows.state.in_([state.value for state in states]))
    return tuple(
        JobBrief(
            key=row.job_key,
            study_uid=row.study_uid,
            state=JobState(row.state),
            reason=row.reason,
            attempts=row.attempts,
            since=row.changed_at,
        )
        for row in connection.execute(wanted.order_by(rows.changed_at.desc(), rows.job_key).limit(limit))
    )


def _fetches(connection: Connection) -> Iterator[OpenFetch]:
    rows = tables.fetch
    wanted = select(rows).where(rows.c.state.in_([state.value for state in _OPEN]))
    for row in connection.execute(wanted.order_by(rows.c.id)):
        yield OpenFetch(
            id=row.id,
            origin=row.origin,
            study_uid=row.study_uid,
            source=row.source,
            state=FetchState(row.state),
            attempts=row.attempts,
            created_at=row.created_at,
            next_at=row.next_at,
            expires_at=row.expires_at,
            reason=row.reason,
        )


def _conflicts(connection: Connection) -> Iterator[Conflict]:
    rows = tables.event
    wanted = select(rows).where(rows.c.what == Reason.UID_CONFLICT).order_by(rows.c.id.desc()).limit(_LAST)
    for row in connection.execute(wanted):
        yield Conflict(sop_uid=str(row.details.get("sop_uid", "")), sender=row.who, at=row.at)
