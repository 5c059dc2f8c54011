"""Record jobs: which there are, who claimed them, what became of them."""

from collections.abc import Iterable, Mapping
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
    OutputProfile,
    Pair,
    PlaneSource,
    SegType,
    StackImages,
    StudyState,
    Uid,
)
from dicomnode.errors import Reason, Refused
from dicomnode.store import deliveries, tables
from dicomnode.store.arrivals import StudyRow, move_study
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.facts import instance_of
from dicomnode.store.moves import IllegalMove, check_move
from dicomnode.store.spool import Spool

MAX_ATTEMPTS = 3  # a job that ended its process this often is not tried again

_OPTIONS = TypeAdapter(JobOptions)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """One job as the table has it; `inputs` names its instances by (SOP Instance UID, sha256)."""

    key: str
    state: JobState
    reason: str | None
    attempts: int
    inputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One object that a job made, as a file in the spool; `alternative` is that of the object."""

    kind: ObjectKind
    sop_uid: Uid
    sop_class_uid: Uid
    key: str
    sha256: str
    alternative: SegType | None = None


def dispatch(database: Database, study: StudyRow, work: Iterable[tuple[Pair, Job]], why: str) -> tuple[str, ...] | None:
    """Record the pairs and jobs of `study`; return the keys of the new jobs, None if something arrived since."""
    with database.write() as connection:
        if not move_study(connection, study, StudyState.READY, why):
            return None
        created = tuple(key for pair, job in work if (key := _add(connection, database, study, pair, job)))
        move_study(connection, replace(study, state=StudyState.READY), StudyState.DISPATCHED, why)
        details = {"study": study.study_uid, "generation": study.generation, "why": why, "jobs": list(created)}
        add_event(connection, Event(at=database.now(), who="node", what="study_dispatched", details=details))
        return created


def claim(database: Database) -> JobRow | None:
    """Claim the oldest job that is ready: it is running from now on, and one attempt older.

    Jobs are run one after another, so one that is still running now was left when the database could not be written:
    it is given back first.
    """
    ready = select(tables.job.c.job_key).where(tables.job.c.state == JobState.READY.value)
    with database.write() as connection:
        _give_back(connection, database)
        key = connection.scalar(ready.order_by(tables.job.c.created_at, tables.job.c.job_key).limit(1))
        if key is None:
            return None
        _move(connection, database, key, JobState.RUNNING, attempts=tables.job.c.attempts + 1)
        return _row(connection, key)


def load(database: Database, spool: Spool, row: JobRow) -> Job:
    """Return the job of `row` with its instances."""
    stack, options = row.inputs["stack"], row.inputs["options"]
    named = [((uid, sha256), frame) for uid, sha256, frame in stack["planes"]]
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


def complete(
    database: Database,
    key: str,
    artifacts: tuple[Artifact, ...],
    destinations: Mapping[str, OutputProfile],
    details: Mapping[str, Any],
) -> None:
    """Record that the job is done, what it made, and what is to be sent where: one transaction.

    Each of `destinations` gets what its profile wants, of one type of SEG.
    """
    with database.write() as connection:
        for made in artifacts:
            _keep(connection, key, made)
        for destination, profile in destinations.items():
            chosen = [made.sop_uid for made in profile.chosen(artifacts)]
            deliveries.add(connection, key, destination, chosen, database.now())
        _move(connection, database, key, JobState.DONE, reason=None)
        told = {"job": key, **details, "objects": [made.sop_uid for made in artifacts]}
        add_event(connection, Event(at=database.now(), who="node", what="job_done", details=told))


def stop(database: Database, key: str, after: JobState, reason: str) -> None:
    """Record that the job ended refused or failed, and why."""
    with database.write() as connection:
        _move(connection, database, key, after, reason=reason)
        details = {"job": key, "reason": reason}
        add_event(connection, Event(at=database.now(), who="node", what=f"job_{after.value}", details=details))


def put_back(database: Database, key: str, reason: str) -> JobState:
    """Let the job be tried again, or fail it if it was tried often enough; return which."""
    with database.write() as connection:
        return _put_back(connection, database, key, reason)


def cancel(database: Database, key: str, who: str) -> None:
    """Record that `who` wants the job not to be done; what runs it breaks it off when it sees that."""
    with database.write() as connection:
        _move(connection, database, key, JobState.CANCELLED, reason=f"cancelled by {who}")
        add_event(connection, Event(at=database.now(), who=who, what="job_cancelled", details={"job": key}))


def requeue(database: Database, key: str, who: str) -> None:
    """Let the job that was refused, failed or cancelled be tried again, as if it had never been."""
    with database.write() as connection:
        if _row(connection, key).state is JobState.RUNNING:
            raise IllegalMove("it runs")  # what runs it may let it be tried again, and nobody else
        _move(connection, database, key, JobState.READY, attempts=0)
        add_event(connection, Event(at=database.now(), who=who, what="job_requeued", details={"job": key}))


def give_back(database: Database) -> None:
    """Let the job that was running be tried again as if it had not been claimed: that it ended is not its doing."""
    with database.write() as connection:
        _give_back(connection, database)


def recover(database: Database) -> tuple[str, ...]:
    """Put back the jobs that a dead process was running; return their keys."""
    with database.write() as connection:
        keys = _running(connection)
        for key in keys:
            _put_back(connection, database, key, "the node died while it ran")
        return keys


def job_row(database: Database, key: str) -> JobRow:
    """Return the job's row."""
    with database.read() as connection:
        return _row(connection, key)


def all_jobs(database: Database) -> tuple[JobRow, ...]:
    """Return every job, oldest first."""
    with database.read() as connection:
        keys = connection.scalars(select(tables.job.c.job_key).order_by(tables.job.c.created_at)).all()
        return tuple(_row(connection, key) for key in keys)


def _add(connection: Connection, database: Database, study: StudyRow, pair: Pair, job: Job) -> str | None:
    """Add the match, and the job unless it is there; return the key of a new job."""
    _match(connection, pair)
    if connection.execute(select(tables.job.c.job_key).where(tables.job.c.job_key == job.key)).first():
        return None
    now = database.now()
    row = {"job_key": job.key, "study_uid": study.study_uid, "generation": study.generation, "attempts": 0}
    row |= {"state": JobState.READY.value, "inputs": _inputs(job), "created_at": now, "changed_at": now}
    connection.execute(insert(tables.job).values(row))
    return job.key


def _match(connection: Connection, pair: Pair) -> None:
    evidence = {"rule": pair.rule.value, "evidence": pair.evidence}
    match = {"annotation_uid": pair.annotation.sop_instance_uid, "stack_key": pair.images.key}
    known = connection.execute(update(tables.match).filter_by(**match).values(evidence))
    if not known.rowcount:
        connection.execute(insert(tables.match).values(match | evidence))


def _inputs(job: Job) -> dict[str, Any]:
    planes = [[image.sop_instance_uid, image.sha256, frame.number] for image, frame in job.images.planes]
    stack = {
        "key": job.images.key,
        "series_uid": job.images.series_uid,
        "study_uid": job.images.study_uid,
        "modality": job.images.modality,
        "frame_of_reference_uid": job.images.frame_of_reference_uid,
        "planes": planes,
        "split": [list(one) for one in job.images.split],
    }
    annotations = [[one.sop_instance_uid, one.sha256] for one in (job.annotation, *job.companions)]
    elsewhere = list(job.elsewhere)
    return {"stack": stack, "annotations": annotations, "options": asdict(job.options), "elsewhere": elsewhere}


def _by_number(image: ImageInstance) -> dict[int | None, PlaneSource]:
    return {frame.number: PlaneSource(image, frame) for frame in image.frames}


def _instances(
    connection: Connection, spool: Spool, identities: list[tuple[str, ...]]
) -> dict[tuple[str, ...], Instance]:
    """Return the instances that `identities`, (SOP Instance UID, sha256), name."""
    columns = tables.instance.c
    found: dict[tuple[str, ...], Instance] = {}
    for start in range(0, len(identities), 500):  # SQLite binds a limited number of values
        some = identities[start : start + 500]
        rows = connection.execute(select(tables.instance).where(tuple_(columns.sop_uid, columns.sha256).in_(some)))
        found |= {(row.sop_uid, row.sha256): instance_of(row.kind, row.facts, spool.path(row.key)) for row in rows}
    return found


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


def _running(connection: Connection) -> tuple[str, ...]:
    return tuple(connection.scalars(select(tables.job.c.job_key).where(tables.job.c.state == JobState.RUNNING.value)))


def _give_back(connection: Connection, database: Database) -> None:
    for key in _running(connection):
        _move(connection, database, key, JobState.READY, attempts=tables.job.c.attempts - 1)


def _put_back(connection: Connection, database: Database, key: str, reason: str) -> JobState:
    attempts = _row(connection, key).attempts
    after = JobState.FAILED if attempts >= MAX_ATTEMPTS else JobState.READY
    told = f"{reason} (attempt {attempts} of {MAX_ATTEMPTS})"
    _move(connection, database, key, after, reason=told)
    details = {"job": key, "reason": told}
    add_event(connection, Event(at=database.now(), who="node", what=f"job_{after.value}", details=details))
    return after


def _move(connection: Connection, database: Database, key: str, after: JobState, **changes: object) -> None:
    check_move(JOB_MOVES, _row(connection, key).state, after)
    which = tables.job.c.job_key == key
    values = {"state": after.value, "changed_at": database.now(), **changes}
    connection.execute(update(tables.job).where(which).values(values))


def _row(connection: Connection, key: str) -> JobRow:
    row = connection.execute(select(tables.job).where(tables.job.c.job_key == key)).one()
    return JobRow(key=key, state=JobState(row.state), reason=row.reason, attempts=row.attempts, inputs=row.inputs)
