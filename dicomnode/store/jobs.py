"""Record jobs: which there are, who claimed them, what became of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, tuple_, update

from dicomnode.domain import (
    JOB_MOVES,
    Annotation,
    ImageInstance,
    Instance,
    Job,
    JobOptions,
    JobState,
    ObjectKind,
    Pair,
    PlaneSource,
    SegType,
    StackImages,
    StudyState,
    Uid,
)
from dicomnode.store import superseding, tables, turns
from dicomnode.store.arrivals import StudyRow, move_study
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import Event, add_event
from dicomnode.store.facts import instance_of
from dicomnode.store.moves import IllegalMove, check_move
from dicomnode.store.spool import Spool
from dicomnode.store.turns import Turn

_OPTIONS = TypeAdapter(JobOptions)


def _none(_job: Job) -> int:
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """One job as the table has it; `inputs` names its instances by (SOP Instance UID, digest)."""

    key: str
    state: JobState
    reason: str | None
    attempts: int
    inputs: Mapping[str, Any]
    study_uid: Uid
    priority: int
    enqueued: int  # how often: a claim is known by it


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One object that a job made, as a file in the spool; `alternative` is that of the object."""

    kind: ObjectKind
    sop_uid: Uid
    sop_class_uid: Uid
    key: str
    sha256: str
    alternative: SegType | None = None


def dispatch(
    desk: Desk,
    study: StudyRow,
    work: Iterable[tuple[Pair, Job]],
    why: tuple[str, Mapping[str, Any]],
    priority: Callable[[Job], int] = _none,
) -> tuple[str, ...] | None:
    """Record the pairs and jobs of `study`, for a reason and evidence, and enqueue the jobs: one transaction.

    Return the keys of the new jobs, each with its `priority`, None if something arrived since. A new job supersedes the
    one that an earlier generation made of the same annotation and planes of the same stack.
    """
    database, (reason, evidence) = desk.database, why
    with database.write() as connection:
        changes = {"reason": reason, "evidence": evidence}
        if not move_study(connection, study, StudyState.READY, changes, database.now()):
            return None
        created = tuple(key for pair, job in work if (key := _add(connection, desk, study, pair, job, priority(job))))
        move_study(connection, replace(study, state=StudyState.READY), StudyState.DISPATCHED, {}, database.now())
        details = {"study": study.study_uid, "generation": study.generation, "why": reason, "jobs": list(created)}
        details["findings"] = evidence.get("findings", [])
        add_event(connection, Event(at=database.now(), who="node", what="study_dispatched", details=details))
        return created


def load(database: Database, spool: Spool, row: JobRow) -> Job:
    """Return the job of `row` with its instances."""
    stack, options = row.inputs["stack"], row.inputs["options"]
    named = [((uid, digest), frame) for uid, digest, frame in stack["planes"]]
    annotations = [tuple(identity) for identity in row.inputs["annotations"]]
    with database.read() as connection:
        found = _instances(connection, spool, [*annotations, *dict.fromkeys(identity for identity, _ in named)])
    drawn = [one for identity in annotations if isinstance(one := found[identity], Annotation)]
    if len(drawn) < len(annotations):
        raise TypeError(f"job {row.key}: one of {annotations} is no annotation")
    frames = {key: _by_number(one) for key, one in found.items() if isinstance(one, ImageInstance)}
    planes = tuple(frames[identity][number] for identity, number in named)
    split = tuple((name, value) for name, value in stack["split"])
    return Job(
        key=row.key,
        images=StackImages(**{**stack, "planes": planes, "split": split}),
        annotation=drawn[0],
        options=_OPTIONS.validate_python(options),
        companions=tuple(drawn[1:]),
        elsewhere=tuple(row.inputs.get("elsewhere", ())),
    )


def cancel(database: Database, key: str, who: str) -> None:
    """Record that `who` wants the job not to be done; what runs it breaks it off when it sees that."""
    with database.write() as connection:
        move_job(connection, database, key, JobState.CANCELLED, reason=f"cancelled by {who}")
        add_event(connection, Event(at=database.now(), who=who, what="job_cancelled", details={"job": key}))


def requeue(database: Database, key: str, who: str) -> None:
    """Let the job that was refused, failed or cancelled be tried again, as if it had never been."""
    with database.write() as connection:
        if row_of(connection, key).state is JobState.RUNNING:
            raise IllegalMove("it runs")  # what runs it may let it be tried again, and nobody else
        move_job(connection, database, key, JobState.READY, attempts=0, reason=None)
        add_event(connection, Event(at=database.now(), who=who, what="job_requeued", details={"job": key}))


def ready(database: Database) -> tuple[Turn, ...]:
    """Return the turns of the jobs that are ready, the most urgent first."""
    rows = tables.job.c
    wanted = select(rows.job_key, rows.priority).where(rows.state == JobState.READY.value)
    with database.read() as connection:
        found = connection.execute(wanted.order_by(rows.priority.desc(), rows.created_at, rows.job_key)).all()
    return tuple(turns.job_turn(key, priority) for key, priority in found)


def job_row(database: Database, key: str) -> JobRow:
    """Return the job's row."""
    with database.read() as connection:
        return row_of(connection, key)


def all_jobs(database: Database) -> tuple[JobRow, ...]:
    """Return every job, oldest first."""
    with database.read() as connection:
        keys = connection.scalars(select(tables.job.c.job_key).order_by(tables.job.c.created_at)).all()
        return tuple(row_of(connection, key) for key in keys)


def move_job(connection: Connection, database: Database, key: str, after: JobState, **changes: object) -> None:
    """Move the job within a transaction, if the move is legal."""
    check_move(JOB_MOVES, row_of(connection, key).state, after)
    which = tables.job.c.job_key == key
    values = {"state": after.value, "changed_at": database.now(), **changes}
    connection.execute(update(tables.job).where(which).values(values))


def row_of(connection: Connection, key: str) -> JobRow:
    """Return the job's row within a transaction."""
    row = connection.execute(select(tables.job).where(tables.job.c.job_key == key)).one()
    return JobRow(
        key=key,
        state=JobState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        inputs=row.inputs,
        study_uid=Uid(row.study_uid),
        priority=row.priority,
        enqueued=row.enqueued,
    )


def _add(connection: Connection, desk: Desk, study: StudyRow, pair: Pair, job: Job, priority: int) -> str | None:
    """Add the match, and the job with its turn unless it is there; return the key of a new job."""
    _match(connection, pair)
    if connection.execute(select(tables.job.c.job_key).where(tables.job.c.job_key == job.key)).first():
        return None
    now = desk.database.now()
    row = {"job_key": job.key, "study_uid": study.study_uid, "generation": study.generation, "priority": priority}
    row |= {"state": JobState.READY.value, "inputs": _inputs(job), "created_at": now, "changed_at": now, "attempts": 0}
    before = superseding.predecessor(connection, row)
    connection.execute(insert(tables.job).values(row | {"supersedes": before}))
    if before is not None:
        superseding.retire(connection, before, job.key, now)
    turns.give(connection, desk.enqueue, turns.job_turn(job.key, priority))
    return job.key


def _match(connection: Connection, pair: Pair) -> None:
    evidence = {"rule": pair.rule.value, "evidence": pair.evidence}
    match = {"annotation_uid": pair.annotation.sop_instance_uid, "stack_key": pair.images.key}
    known = connection.execute(update(tables.match).filter_by(**match).values(evidence))
    if not known.rowcount:
        connection.execute(insert(tables.match).values(match | evidence))


def _inputs(job: Job) -> dict[str, Any]:
    planes = [[image.sop_instance_uid, image.digest, frame.number] for image, frame in job.images.planes]
    stack = {
        "key": job.images.key,
        "series_uid": job.images.series_uid,
        "study_uid": job.images.study_uid,
        "modality": job.images.modality,
        "frame_of_reference_uid": job.images.frame_of_reference_uid,
        "planes": planes,
        "split": [list(one) for one in job.images.split],
    }
    annotations = [[one.sop_instance_uid, one.digest] for one in (job.annotation, *job.companions)]
    elsewhere = list(job.elsewhere)
    return {"stack": stack, "annotations": annotations, "options": asdict(job.options), "elsewhere": elsewhere}


def _by_number(image: ImageInstance) -> dict[int | None, PlaneSource]:
    return {frame.number: PlaneSource(image, frame) for frame in image.frames}


def _instances(
    connection: Connection, spool: Spool, identities: list[tuple[str, ...]]
) -> dict[tuple[str, ...], Instance]:
    """Return the instances that `identities`, (SOP Instance UID, digest), name."""
    columns = tables.instance.c
    found: dict[tuple[str, ...], Instance] = {}
    for start in range(0, len(identities), 500):  # SQLite binds a limited number of values
        some = identities[start : start + 500]
        rows = connection.execute(select(tables.instance).where(tuple_(columns.sop_uid, columns.digest).in_(some)))
        found |= {(row.sop_uid, row.digest): instance_of(row.kind, row.facts, spool.path(row.key)) for row in rows}
    return found
