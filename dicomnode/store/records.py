"""Read jobs and deliveries as people ask for them: lists, single ones, and what happened to them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, String, cast, func, or_, select

from dicomnode.domain import DeliveryState, JobState
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event

_AT_ONCE = 500  # SQLite binds a limited number of values


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """One job with everything that its row says; `superseded_by` is a job of newer images of its study."""

    key: str
    state: JobState
    reason: str | None
    attempts: int
    priority: int
    study_uid: str
    generation: int
    inputs: Mapping[str, Any]
    created_at: datetime
    changed_at: datetime
    supersedes: str | None
    superseded_by: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchRecord:
    """Why an annotation means a stack."""

    rule: str
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectRecord:
    """One object that a job made; `key` is its file in the spool."""

    sop_uid: str
    kind: str
    sop_class_uid: str
    alternative: str | None
    sha256: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRecord:
    """The sending of one object to one destination, with everything that its row says."""

    sop_uid: str
    kind: str
    destination: str
    state: DeliveryState
    reason: str | None
    attempts: int
    priority: int
    job: str
    created_at: datetime
    next_at: datetime
    delivered_at: datetime | None
    verified_at: datetime | None
    proof: str | None
    proof_attempts: int
    transaction_uid: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """Which jobs or deliveries are asked for: in one of `states` (none is all), of a study, to a destination."""

    states: tuple[str, ...] = ()
    study_uid: str | None = None
    destination: str | None = None
    limit: int | None = None


def list_jobs(database: Database, wish: Wish) -> tuple[tuple[JobRecord, ...], int]:
    """Return the jobs that `wish` asks for, those that changed last first, and how many there are without its limit."""
    rows = tables.job.c
    wanted = select(rows.job_key)
    if wish.states:
        wanted = wanted.where(rows.state.in_(wish.states))
    if wish.study_uid is not None:
        wanted = wanted.where(rows.study_uid == wish.study_uid)
    with database.read() as connection:
        total = connection.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        keys = connection.scalars(wanted.order_by(rows.changed_at.desc(), rows.job_key).limit(wish.limit)).all()
        return _jobs(connection, keys), total


def jobs_like(database: Database, start: str) -> tuple[JobRecord, ...]:
    """Return the jobs whose keys begin with `start`, two at most: what is whole and there is one."""
    rows = tables.job.c
    like = select(rows.job_key).where(rows.job_key.startswith(start, autoescape=True))
    with database.read() as connection:
        found = _jobs(connection, [start])
        return found or _jobs(connection, connection.scalars(like.order_by(rows.job_key).limit(2)).all())


def match_of(database: Database, job: JobRecord) -> MatchRecord | None:
    """Return why the annotation of `job` means its stack."""
    rows = tables.match.c
    annotation, _ = job.inputs["annotations"][0]
    which = (rows.annotation_uid == annotation, rows.stack_key == job.inputs["stack"]["key"])
    with database.read() as connection:
        row = connection.execute(select(rows.rule, rows.evidence).where(*which)).one_or_none()
    return None if row is None else MatchRecord(rule=row.rule, evidence=row.evidence)


def objects_of(database: Database, key: str) -> tuple[ObjectRecord, ...]:
    """Return what the job `key` made."""
    rows = tables.artifact.c
    with database.read() as connection:
        found = connection.execute(select(tables.artifact).where(rows.job_key == key).order_by(rows.kind, rows.sop_uid))
        return tuple(
            ObjectRecord(
                sop_uid=row.sop_uid,
                kind=row.kind,
                sop_class_uid=row.sop_class_uid,
                alternative=row.alternative,
                sha256=row.sha256,
                key=row.key,
            )
            for row in found
        )


def list_deliveries(database: Database, wish: Wish) -> tuple[tuple[DeliveryRecord, ...], int]:
    """Return the deliveries that `wish` asks for, the newest first, and how many there are without its limit."""
    rows = tables.delivery.c
    wanted = _deliveries()
    if wish.states:
        wanted = wanted.where(rows.state.in_(wish.states))
    if wish.destination is not None:
        wanted = wanted.where(rows.destination == wish.destination)
    if wish.study_uid is not None:
        wanted = wanted.join(tables.job, tables.job.c.job_key == rows.job_key)
        wanted = wanted.where(tables.job.c.study_uid == wish.study_uid)
    with database.read() as connection:
        total = connection.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        order = (rows.created_at.desc(), rows.sop_uid, rows.destination)
        return tuple(map(_delivery, connection.execute(wanted.order_by(*order).limit(wish.limit)))), total


def deliveries_of(database: Database, objects: Collection[str]) -> tuple[DeliveryRecord, ...]:
    """Return the deliveries of `objects`, which are those of one job."""
    rows = tables.delivery.c
    with database.read() as connection:
        wanted = _deliveries().where(rows.sop_uid.in_(objects)).order_by(rows.sop_uid, rows.destination)
        return tuple(map(_delivery, connection.execute(wanted)))


def objects_like(database: Database, ending: str) -> tuple[str, ...]:
    """Return the UIDs of objects that end so, two at most: one that is whole and there is one."""
    rows = tables.artifact.c
    with database.read() as connection:
        if connection.scalar(select(rows.sop_uid).where(rows.sop_uid == ending)) is not None:
            return (ending,)
        like = rows.sop_uid.endswith(ending, autoescape=True)
        return tuple(connection.scalars(select(rows.sop_uid).where(like).order_by(rows.sop_uid).limit(2)))


def history(database: Database, names: Iterable[str], since: datetime) -> tuple[Event, ...]:
    """Return the events since then whose details name one of `names`, keys and UIDs, oldest first."""
    rows = tables.event.c
    details = cast(rows.details, String)
    named = or_(*(details.contains(f'"{name}"', autoescape=True) for name in names))
    with database.read() as connection:
        found = connection.execute(select(tables.event).where(rows.at >= since, named).order_by(rows.id))
        return tuple(Event(at=row.at, who=row.who, what=row.what, details=row.details) for row in found)


def _jobs(connection: Connection, keys: Sequence[str]) -> tuple[JobRecord, ...]:
    """Return the jobs `keys`, those that there are, in order; their rows are large, so no other is read."""
    rows = tables.job.c
    by: dict[str, str] = {}
    found: dict[str, Row[Any]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        found |= {row.job_key: row for row in connection.execute(select(tables.job).where(rows.job_key.in_(some)))}
        newer = select(rows.supersedes, rows.job_key).where(rows.supersedes.in_(some)).order_by(rows.job_key.desc())
        by |= {row.supersedes: row.job_key for row in connection.execute(newer)}
    return tuple(_job(found[key], by.get(key)) for key in keys if key in found)


def _job(row: Row[Any], superseded_by: str | None) -> JobRecord:
    return JobRecord(
        key=row.job_key,
        state=JobState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        priority=row.priority,
        study_uid=row.study_uid,
        generation=row.generation,
        inputs=row.inputs,
        created_at=row.created_at,
        changed_at=row.changed_at,
        supersedes=row.supersedes,
        superseded_by=superseded_by,
    )


def _deliveries() -> Select[Any]:
    joined = tables.delivery.c.sop_uid == tables.artifact.c.sop_uid
    return select(tables.delivery, tables.artifact.c.kind).join(tables.artifact, joined)


def _delivery(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(
        sop_uid=row.sop_uid,
        kind=row.kind,
        destination=row.destination,
        state=DeliveryState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        priority=row.priority,
        job=row.job_key,
        created_at=row.created_at,
        next_at=row.next_at,
        delivered_at=row.delivered_at,
        verified_at=row.verified_at,
        proof=row.proof,
        proof_attempts=row.proof_attempts,
        transaction_uid=row.transaction_uid,
    )
