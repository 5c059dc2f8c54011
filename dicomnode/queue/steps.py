"""Do a job by the key of its row: claim it, do it, record what became of it."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from dicomnode.domain import Exclusion, Job, JobState, ObjectKind, Outcome, WrittenObject
from dicomnode.errors import ModelLost, Reason, Refused, Unavailable
from dicomnode.store import jobs, runs
from dicomnode.store.desk import Desk
from dicomnode.store.jobs import Artifact, JobRow
from dicomnode.store.spool import Spool

log = logging.getLogger(__name__)

Run = Callable[[Job], Outcome | BaseException | None]


def do_job(desk: Desk, run: Run, attempts: int, key: str) -> None:
    """Claim the job `key` and run it; nothing happens where it is not ready.

    `run` gives the outcome, or what the job ended with: Refused stops it for good, Unavailable lets it be tried again
    until it was tried `attempts` times, any other exception is a bug and fails it. ModelLost is raised: the job waits
    with all others until the model is there. None means that it was broken off: it is cancelled, or the node stops.
    """
    claimed = runs.claim(desk.database, key)
    if claimed is None:
        return
    started = time.monotonic()
    result = run(jobs.load(desk.database, desk.spool, claimed))
    match result:
        case Outcome(objects=()):
            _refuse(desk, claimed, _nothing_made(claimed, result))
        case Outcome():
            _hand_over(desk, claimed, result, time.monotonic() - started)
        case Refused():
            _refuse(desk, claimed, result)
        case ModelLost():
            runs.give_back(desk.database, claimed)
            raise result
        case Unavailable():
            _try_again(desk, claimed, str(result), attempts)
        case None:
            log.info("a job is broken off", extra=_about(claimed, "job_broken_off"))
            runs.give_back(desk.database, claimed)
        case BaseException():
            log.error("a job failed", extra=_about(claimed, "job_failed"), exc_info=result)
            runs.stop(desk.database, claimed, JobState.FAILED, f"{type(result).__name__}: {result}")


def _hand_over(desk: Desk, row: JobRow, outcome: Outcome, seconds: float) -> None:
    """Keep what the job made, and record it with its deliveries; what is kept is never made again under its UID."""
    for left in outcome.exclusions:
        told = {"reason": left.reason.value}  # its words may name a region as somebody typed it: not for the log
        level = logging.WARNING if left.reason.refuses else logging.INFO
        log.log(level, "part of an annotation was left out", extra=_about(row, "prompt_left_out") | told)
    try:
        made = tuple(_keep(desk.spool, row, found) for found in outcome.objects)
    except OSError as error:
        runs.give_back(desk.database, row)
        raise Unavailable(f"an object cannot be kept: {error.strerror}") from error
    details: dict[str, Any] = {"seconds": round(seconds, 3), "left_out": [_words(left) for left in outcome.exclusions]}
    details["notes"] = list(outcome.notes)
    try:
        wanted = runs.complete(desk, row, made, details)
    except Refused as error:
        _refuse(desk, row, error)
        return
    if not wanted:
        log.info("what a cancelled job made is not kept", extra=_about(row, "job_not_wanted"))
        return
    _tell_types(desk, row, made)
    log.info("a job is done", extra=_about(row, "job_done") | {"seconds": round(seconds, 3), "objects": len(made)})
    if not desk.destinations:
        kept = {"files": [artifact.key for artifact in made]}
        log.warning(
            "there is no destination: the objects stay in the outbox", extra=_about(row, "kept_in_outbox") | kept
        )


def _tell_types(desk: Desk, row: JobRow, made: Sequence[Artifact]) -> None:
    """Log which destination gets another type of SEG than it wants most; why is in the notes, which name regions."""
    for destination, profile in desk.destinations.items():
        types = [one.alternative for one in profile.chosen(made) if one.kind is ObjectKind.SEG]
        if types and types[0] is not profile.types[0]:
            told = {"destination": destination, "before": profile.types[0].value, "after": f"{types[0]}"}
            words = "a type of SEG is not made, as the masks do not allow it"
            log.info(words, extra=_about(row, "seg_type_not_made") | told)


def _keep(spool: Spool, row: JobRow, found: WrittenObject) -> Artifact:
    key = f"outbox/{row.key[:16]}/{found.sop_instance_uid}.dcm"
    spool.put(key, [found.content])
    return Artifact(
        kind=found.kind,
        sop_uid=found.sop_instance_uid,
        sop_class_uid=found.sop_class_uid,
        key=key,
        sha256=hashlib.sha256(found.content).hexdigest(),
        alternative=found.alternative,
    )


def _nothing_made(row: JobRow, outcome: Outcome) -> Refused:
    """Return why a job made no object: the first of what was left out, with all of it in words."""
    reason = next((left.reason for left in outcome.exclusions if left.reason.refuses), Reason.EMPTY_RESULT)
    detail = "; ".join(_words(left) for left in outcome.exclusions)
    return Refused(reason, f"job {row.key[:12]}", detail or "nothing was segmented")


def _words(left: Exclusion) -> str:
    return f"{left.what}: {left.reason}: {left.detail}"


def _refuse(desk: Desk, row: JobRow, error: Refused) -> None:
    log.warning("a job is refused", extra=_about(row, "job_refused") | {"reason": error.reason.value})
    runs.stop(desk.database, row, JobState.REFUSED, str(error))


def _try_again(desk: Desk, row: JobRow, reason: str, attempts: int) -> None:
    after = runs.put_back(desk.database, row, reason, attempts)
    log.error("a job did not end: %s", reason, extra=_about(row, f"job_{after.value}"))


def _about(row: JobRow, action: str) -> dict[str, Any]:
    return {"action": action, "job": row.key[:12], "attempts": row.attempts}
