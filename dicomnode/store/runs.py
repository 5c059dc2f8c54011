"""Record what becomes of a job that is run: who claimed it, and how that ended."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from dicomnode.domain import JobState, ObjectKind
from dicomnode.errors import Reason, Refused
from dicomnode.store import deliveries, superseding, tables, turns
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryKey
from dicomnode.store.desk import Desk
from dicomnode.store.events import Event, add_event
from dicomnode.store.jobs import Artifact, JobRow, move_job, row_of

MAX_DEATHS = 10  # a job that was running when the node died this often is not tried again
_DIED = "the node died while it ran ({} times)"


def claim(database: Database, key: str) -> JobRow | None:
    """Claim the job: it is running from now on, and one attempt older; None if it is not ready, or is deleted."""
    with database.write() as connection:
        if _state(connection, key) is not JobState.READY:
            return None
        move_job(connection, database, key, JobState.RUNNING, attempts=tables.job.c.attempts + 1)
        return row_of(connection, key)


def complete(desk: Desk, row: JobRow, artifacts: tuple[Artifact, ...], details: Mapping[str, Any]) -> bool:
    """Record that the job is done, what it made, and what is to be sent where: one transaction.

    Each destination gets what its profile wants, of one type of SEG. Return whether the job was still wanted.
    """
    database = desk.database
    with database.write() as connection:
        if not _is_claimed(connection, row):
            return False
        for made in artifacts:
            _keep(connection, row.key, made)
        stale = superseding.is_superseded(connection, row.key)  # what it made is kept, and sent nowhere
        for destination, profile in desk.destinations.items() if not stale else ():
            chosen = profile.chosen(artifacts)
            deliveries.add(connection, row.key, destination, [made.sop_uid for made in chosen], database.now())
            for made in chosen:
                if made.kind is not ObjectKind.SR:  # it waits for the SEGs that it refers to, and then for the sweep
                    turn = turns.delivery_turn(DeliveryKey(made.sop_uid, destination), row.priority)
                    turns.give(connection, desk.enqueue, turn)
        move_job(connection, database, row.key, JobState.DONE, reason=None)
        told = {"job": row.key, **details, "objects": [made.sop_uid for made in artifacts]}
        add_event(connection, Event(at=database.now(), who="node", what="job_done", details=told))
        return True


def stop(database: Database, row: JobRow, after: JobState, reason: str) -> None:
    """Record that the job ended refused or failed, and why, unless it was cancelled meanwhile."""
    with database.write() as connection:
        if _is_claimed(connection, row):
            _stop(connection, database, row.key, after, reason)


def fail(database: Database, key: str, reason: str) -> None:
    """Record that a bug stopped the job, in whatever state it was."""
    with database.write() as connection:
        state = _state(connection, key)
        if state is JobState.READY:
            move_job(connection, database, key, JobState.RUNNING)
        if state in {JobState.READY, JobState.RUNNING}:
            _stop(connection, database, key, JobState.FAILED, reason)


def put_back(database: Database, row: JobRow, reason: str, attempts: int) -> JobState:
    """Let the job be tried again, or fail it if this was the last of `attempts`; return what it is now."""
    with database.write() as connection:
        if not _is_claimed(connection, row):
            return row_of(connection, row.key).state
        after = JobState.FAILED if row.attempts >= attempts else JobState.READY
        _stop(connection, database, row.key, after, f"{reason} (attempt {row.attempts} of {attempts})")
        return after


def give_back(database: Database, row: JobRow) -> None:
    """Let the job be tried again as if it had not been claimed: that it ended is not its doing."""
    with database.write() as connection:
        if _is_claimed(connection, row):
            move_job(connection, database, row.key, JobState.READY, attempts=tables.job.c.attempts - 1)


def recover(database: Database) -> tuple[str, ...]:
    """Give back the jobs that a dead process was running; return their keys.

    They run in processes of their own, so that the node died is no job's doing, and none loses an attempt; one that was
    running each of MAX_DEATHS times is failed all the same.
    """
    with database.write() as connection:
        keys = _running(connection)
        for key in keys:
            deaths = _deaths(connection, key) + 1
            after = JobState.FAILED if deaths >= MAX_DEATHS else JobState.READY
            move_job(connection, database, key, after, attempts=tables.job.c.attempts - 1, reason=_DIED.format(deaths))
            details = {"job": key, "deaths": deaths}
            add_event(connection, Event(at=database.now(), who="node", what="job_interrupted", details=details))
        return keys


def begun(database: Database) -> tuple[JobRow, ...]:
    """Return the jobs that are running."""
    with database.read() as connection:
        return tuple(row_of(connection, key) for key in _running(connection))


def unwanted(database: Database, keys: Iterable[str]) -> tuple[str, ...]:
    """Return which of `keys`, jobs that are being run, are not to be."""
    rows = tables.job.c
    with database.read() as connection:
        wanted = select(rows.job_key).where(rows.job_key.in_(list(keys)), rows.state != JobState.RUNNING.value)
        return tuple(connection.scalars(wanted))


def _keep(connection: Connection, key: str, made: Artifact) -> None:
    """Add the object; one that is there with the same bytes is the same object, and belongs to this job from now on."""
    rows = tables.artifact
    known = connection.scalar(select(rows.c.sha256).where(rows.c.sop_uid == made.sop_uid))
    if known is None:
        connection.execute(insert(rows).values(asdict(made) | {"job_key": key}))
    elif known == made.sha256:
        connection.execute(update(rows).where(rows.c.sop_uid == made.sop_uid).values(job_key=key))
    else:
        detail = f"made before with sha256 {known[:12]}, now {made.sha256[:12]}"
        raise Refused(Reason.UID_CONFLICT, f"object {made.sop_uid}", detail)


def _is_claimed(connection: Connection, row: JobRow) -> bool:
    """Return whether the job still runs as `row` was claimed: nobody cancelled it since, and let it be tried anew."""
    now = row_of(connection, row.key)
    return now.state is JobState.RUNNING and now.enqueued == row.enqueued


def _stop(connection: Connection, database: Database, key: str, after: JobState, reason: str) -> None:
    move_job(connection, database, key, after, reason=reason)
    details = {"job": key, "reason": reason}
    add_event(connection, Event(at=database.now(), who="node", what=f"job_{after.value}", details=details))


def _state(connection: Connection, key: str) -> JobState | None:
    """Return the state of the job; None where it was deleted with its study, before it had its turn."""
    state = connection.scalar(select(tables.job.c.state).where(tables.job.c.job_key == key))
    return None if state is None else JobState(state)


def _running(connection: Connection) -> tuple[str, ...]:
    return tuple(connection.scalars(select(tables.job.c.job_key).where(tables.job.c.state == JobState.RUNNING.value)))


def _deaths(connection: Connection, key: str) -> int:
    """Return how often the node died while the job ran, since somebody requeued it."""
    rows, its = tables.event.c, tables.event.c.details["job"].as_string() == key
    requeued = select(func.coalesce(func.max(rows.id), 0)).where(rows.what == "job_requeued", its).scalar_subquery()
    died = select(func.count()).where(rows.what == "job_interrupted", its, rows.id > requeued)
    return connection.scalar(died) or 0
