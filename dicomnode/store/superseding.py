"""Let the job of a later generation take the place of an earlier one's, and replace what of that was not sent yet."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, select, update

from dicomnode.domain import DELIVERY_MOVES, JOB_MOVES, DeliveryState, JobState
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move

_UNSENT = (DeliveryState.WAITING, DeliveryState.DEAD)  # what is being sent now is replaced if that fails


def predecessor(connection: Connection, job: Mapping[str, Any]) -> str | None:
    """Return the key of the job whose results those of `job`, a row to be, replace; None where there is none.

    It was made in an earlier generation of the study, of the same annotation, and of a plane that `job` has too: the
    number of a stack in its series may change as the series grows. One of the very same inputs with other options is
    none: its results may be the same objects.
    """
    rows = tables.job.c
    later = tables.job.alias()
    earlier = select(rows.job_key, rows.inputs).where(
        rows.study_uid == job["study_uid"],
        rows.generation < job["generation"],
        ~exists().where(later.c.supersedes == rows.job_key, later.c.generation < job["generation"]),
    )
    planes, annotations = _planes(job["inputs"]), job["inputs"]["annotations"]
    for key, inputs in connection.execute(earlier.order_by(rows.generation.desc(), rows.job_key)):
        same = (_planes(inputs), inputs["annotations"]) == (planes, annotations)
        if inputs["annotations"][0][0] == annotations[0][0] and planes & _planes(inputs) and not same:
            return str(key)
    return None


def retire(connection: Connection, before: str, after: str, now: datetime) -> None:
    """Cancel the job `before` if it has not begun, and replace what of it was not sent, as `after` supersedes it."""
    rows, reason = tables.job, f"superseded by job {after[:12]}"
    waiting = and_(rows.c.job_key == before, rows.c.state == JobState.READY.value)
    check_move(JOB_MOVES, JobState.READY, JobState.CANCELLED)
    values = {"state": JobState.CANCELLED.value, "reason": reason, "changed_at": now}
    cancelled = connection.execute(update(rows).where(waiting).values(values)).rowcount
    details = {"job": before, "by": after, "cancelled": bool(cancelled), "replaced": replace_unsent(connection)}
    add_event(connection, Event(at=now, who="node", what="job_superseded", details=details))


def is_superseded(connection: Connection, job: str) -> bool:
    """Return whether a job of a later generation takes the place of `job`."""
    return connection.scalar(select(tables.job.c.job_key).where(tables.job.c.supersedes == job).limit(1)) is not None


def superseded_by(database: Database, jobs: Collection[str]) -> dict[str, str]:
    """Return which of `jobs` take the place of which job."""
    columns = tables.job.c
    wanted = select(columns.job_key, columns.supersedes).where(columns.supersedes.is_not(None))
    with database.read() as connection:
        found = connection.execute(wanted.where(columns.job_key.in_(jobs)))
        return {row.job_key: row.supersedes for row in found}


def replace_unsent(connection: Connection) -> list[list[str]]:
    """Replace what superseded jobs made and is not sent yet; return each object and destination."""
    rows, later = tables.delivery, tables.job.alias()
    stale = exists().where(later.c.supersedes == rows.c.job_key)
    unsent = rows.c.state.in_([one.value for one in _UNSENT])
    for before in _UNSENT:
        check_move(DELIVERY_MOVES, before, DeliveryState.REPLACED)
    values = {"state": DeliveryState.REPLACED.value, "reason": "a later generation's result is sent instead"}
    replaced = update(rows).where(unsent, stale).values(values).returning(rows.c.sop_uid, rows.c.destination)
    return [list(row) for row in connection.execute(replaced)]


def replace_late(database: Database) -> int:
    """Replace what superseded jobs made and came back unsent meanwhile; return how much."""
    rows, later = tables.delivery, tables.job.alias()
    stale = exists().where(later.c.supersedes == rows.c.job_key)
    with database.read() as connection:
        found = connection.scalar(
            select(rows.c.sop_uid).where(rows.c.state.in_([one.value for one in _UNSENT]), stale).limit(1)
        )
    if found is None:
        return 0
    with database.write() as connection:
        replaced = replace_unsent(connection)
        details = {"replaced": replaced}
        add_event(connection, Event(at=database.now(), who="node", what="deliveries_replaced", details=details))
    return len(replaced)


def _planes(inputs: Mapping[str, Any]) -> set[tuple[str, int | None]]:
    return {(uid, frame) for uid, _, frame in inputs["stack"]["planes"]}
