"""Find the studies with which nothing is left to do, and forget them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, not_, or_, select

from dicomnode.domain import CommitmentState, DeliveryState, FetchState, JobState, ProvenBy, StudyState, Uid
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event

_FETCHED = (FetchState.DONE.value, FetchState.FAILED.value)
_REPORTED = (CommitmentState.REPORTED.value, CommitmentState.GIVEN_UP.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deleted:
    """What was deleted of a study; `keys` are its files in the spool, which no row knows any more."""

    study_uid: Uid
    instances: int
    objects: int
    jobs: int
    keys: tuple[str, ...]


def finished(database: Database, before: datetime) -> tuple[Uid, ...]:
    """Return the studies with which nothing is left to do, and nothing was done since `before`, the oldest first.

    That is: it was segmented or is given up; all of its jobs ended; each object is verified, replaced by another, or
    delivered where its answer is proof enough; no job that is still to be run needs its images.
    """
    rows = tables.study.c
    wanted = select(rows.study_uid).where(_is_finished(before)).order_by(rows.last_instance_at)
    with database.read() as connection:
        return tuple(Uid(uid) for uid in connection.scalars(wanted))


def forget(database: Database, study_uid: Uid, before: datetime, why: str) -> Deleted | None:
    """Delete every row of the study but those of the audit; return what it was, None if it is not finished any more.

    Its files are to be deleted after this: a crash between leaves files that no row knows, which the next start lays
    aside, and never a row without its file.
    """
    study = tables.study.c.study_uid == study_uid
    with database.write() as connection:
        if connection.scalar(select(tables.study.c.study_uid).where(study, _is_finished(before))) is None:
            return None
        deleted = _delete(connection, study_uid)
        connection.execute(delete(tables.study).where(study))
        told = {"study": study_uid, "why": why, "instances": deleted.instances, "objects": deleted.objects}
        add_event(connection, Event(at=database.now(), who="node", what="study_deleted", details=told))
        return deleted


def forget_strays(database: Database, before: datetime, limit: int = 1000) -> tuple[str, ...]:
    """Delete the rows of instances of no study, received before `before`, and return their keys.

    They are results of this node that came back after their study was deleted. What no study has any more goes with
    them: associations, and what pulls and others' requests for storage commitment came to, all as old.
    """
    rows, opened, asked, promised = tables.instance, tables.association, tables.fetch, tables.commitment
    alone = and_(rows.c.received_at < before, not_(exists().where(tables.study.c.study_uid == rows.c.study_uid)))
    empty = and_(opened.c.closed_at < before, not_(exists().where(rows.c.association_id == opened.c.id)))
    with database.write() as connection:
        keys = tuple(connection.scalars(select(rows.c.key).where(alone).limit(limit)))
        connection.execute(delete(rows).where(rows.c.key.in_(keys)))
        connection.execute(delete(opened).where(empty))
        connection.execute(delete(asked).where(asked.c.created_at < before, asked.c.state.in_(_FETCHED)))
        connection.execute(delete(promised).where(promised.c.created_at < before, promised.c.state.in_(_REPORTED)))
        return keys


def _is_finished(before: datetime) -> ColumnElement[bool]:
    rows, jobs, sent = tables.study.c, tables.job.alias(), tables.delivery.c
    states = [StudyState.DISPATCHED.value, StudyState.EXPIRED.value]
    to_run = jobs.c.state.in_([JobState.READY.value, JobState.RUNNING.value])
    images_of = jobs.c.inputs["stack"]["study_uid"].as_string()
    needed = exists().where(to_run, or_(jobs.c.study_uid == rows.study_uid, images_of == rows.study_uid))
    made_since = exists().where(jobs.c.study_uid == rows.study_uid, jobs.c.changed_at >= before)
    sent_since = or_(sent.delivered_at >= before, sent.verified_at >= before)
    open_or_new = or_(_is_open(), sent_since)
    to_send = exists().where(jobs.c.study_uid == rows.study_uid, sent.job_key == jobs.c.job_key, open_or_new)
    old = and_(rows.last_instance_at < before, not_(made_since))
    return and_(rows.state.in_(states), old, not_(needed), not_(to_send))


def _is_open() -> ColumnElement[bool]:
    """Return whether something is still to be done for a delivery, or somebody has to decide."""
    rows = tables.delivery.c
    settled = [DeliveryState.VERIFIED.value, DeliveryState.REPLACED.value]
    answered = and_(rows.state == DeliveryState.DELIVERED.value, func.coalesce(rows.proof, "") == ProvenBy.ANSWER.value)
    return not_(or_(rows.state.in_(settled), answered))


def _delete(connection: Connection, study_uid: Uid) -> Deleted:
    """Delete what hangs on the study, from the leaves inwards."""
    received, made, jobs = tables.instance, tables.artifact, tables.job
    its_jobs = select(jobs.c.job_key).where(jobs.c.study_uid == study_uid)
    its_objects = made.c.job_key.in_(its_jobs)
    drawn = select(received.c.sop_uid).where(received.c.study_uid == study_uid)
    keys = [
        *connection.scalars(select(received.c.key).where(received.c.study_uid == study_uid)),
        *connection.scalars(select(made.c.key).where(its_objects)),
    ]
    connection.execute(delete(tables.delivery).where(tables.delivery.c.job_key.in_(its_jobs)))
    objects = connection.execute(delete(made).where(its_objects)).rowcount
    connection.execute(delete(tables.match).where(tables.match.c.annotation_uid.in_(drawn)))
    ended = connection.execute(delete(jobs).where(jobs.c.study_uid == study_uid)).rowcount
    connection.execute(delete(tables.fetch).where(tables.fetch.c.study_uid == study_uid))
    instances = connection.execute(delete(received).where(received.c.study_uid == study_uid)).rowcount
    return Deleted(study_uid=study_uid, instances=instances, objects=objects, jobs=ended, keys=tuple(keys))
