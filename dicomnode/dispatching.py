"""Make the jobs of the studies that are ready, and say of the others that went quiet what they lack."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta

from dicomnode import planning, readiness
from dicomnode.domain import (
    Annotation,
    Exclusion,
    ImageInstance,
    Instance,
    JobOptions,
    ModelIdentity,
    StudyState,
)
from dicomnode.errors import Unavailable
from dicomnode.readiness import Shortfall
from dicomnode.store import arrivals, events, fetches, jobs, related
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """How a study is to be segmented, how long it has to be quiet first, and whether own results are prompts."""

    quiet_seconds: float
    options: JobOptions
    model: ModelIdentity
    own_results: bool = False
    fetch_hours: float | None = None  # for how long sources are asked for missing images; None where there is none


def start_studies(desk: Desk, orders: Orders) -> int:
    """Make the jobs of every study that is ready; return how many jobs are new."""
    created = 0
    for study in arrivals.receiving(desk.database):
        now = desk.database.now()
        evidence = readiness.judge(study.last_instance_at, study.open_associations, now, orders.quiet_seconds)
        if evidence.ready:
            created += _try(desk, orders, study, str(evidence))
    return created


def _try(desk: Desk, orders: Orders, study: StudyRow, why: str) -> int:
    """Start `study`; a bug that only its headers bring out holds it, and not those that wait behind it."""
    try:
        return _start(desk, orders, study, why)
    except Unavailable:
        raise
    except Exception as error:
        log.exception("a study failed", extra={"action": "study_failed", "study": study.study_uid})
        arrivals.settle(desk.database, study, StudyState.HELD, f"a bug: {type(error).__name__}: {error}")
        return 0


def _start(desk: Desk, orders: Orders, study: StudyRow, why: str) -> int:
    """Make the jobs of `study`, or record what it lacks; return how many jobs are new."""
    instances = arrivals.instances_of(desk.database, desk.spool, study.study_uid)
    if study.reason is None:  # else it is looked at again for what came in another study, and nothing new is in it
        _wake(desk, study, instances)
    annotations = [one for one in instances if isinstance(one, Annotation)]
    named = related.related_to(desk.database, desk.spool, study.study_uid, annotations)
    images = sum(isinstance(instance, ImageInstance) for instance in (*instances, *named))
    plan = planning.plan((*instances, *named), own_results=orders.own_results).only_of(study.study_uid)
    if not plan.pairs:
        lack = readiness.shortfall(images, len(plan.annotations), plan.exclusions)
        _settle(desk, study, _fetched(desk, orders, study, plan.annotations, lack), plan.exclusions)
        return 0
    work = [(pair, planning.job_of(pair, orders.options, orders.model)) for pair in plan.pairs]
    created = jobs.dispatch(desk.database, study, work, why)
    if created is None:
        return 0
    if plan.exclusions:
        details = {"study": study.study_uid, "left_out": [asdict(left) for left in plan.exclusions]}
        events.record_event(desk.database, "node", "left_out", details)
        _tell(study, plan.exclusions)
    told = {"action": "study_dispatched", "study": study.study_uid, "generation": str(study.generation)}
    log.info("a study of %d images is ready for %d new jobs: %s", images, len(created), why, extra=told)
    return len(created)


def _tell(study: StudyRow, exclusions: Iterable[Exclusion]) -> None:
    """Log that something of `study` was refused while the rest of it goes on; no words that came with an object."""
    if reasons := _reasons(exclusions):
        told = {"action": "study_left_out", "study": study.study_uid, "reasons": reasons}
        log.warning("some of a study that is segmented was refused", extra=told)


def _reasons(exclusions: Iterable[Exclusion]) -> str:
    return ", ".join(sorted({left.reason.value for left in exclusions if left.reason.refuses}))


def _wake(desk: Desk, study: StudyRow, instances: Iterable[Instance]) -> None:
    """Look again at the studies whose annotations name what came in `study`."""
    for waiting in related.waiting_for(desk.database, instances):
        if waiting.study_uid != study.study_uid:
            arrivals.reopen(desk.database, waiting, f"what it names came in study {study.study_uid}")


def _fetched(
    desk: Desk, orders: Orders, study: StudyRow, annotations: Iterable[Annotation], lack: Shortfall
) -> Shortfall:
    """Let the sources be asked for what `annotations` name and is not here; return `lack` with how long they are."""
    wanted = fetches.wanted_by(desk.database, annotations)
    if wanted is None or orders.fetch_hours is None:
        return lack
    until = desk.database.now() + timedelta(hours=orders.fetch_hours)
    fetches.ask(desk.database, wanted, origin=fetches.FOR_ANNOTATION, study_uid=study.study_uid, expires_at=until)
    reason = f"{lack.reason}{fetches.FETCHING}until {until:%Y-%m-%d %H:%M} UTC"
    return Shortfall(state=StudyState.HELD, reason=reason)


def _settle(desk: Desk, study: StudyRow, lack: Shortfall, exclusions: Iterable[Exclusion]) -> None:
    """Record what `study` lacks; the log gets no words that came with an object."""
    if arrivals.settle(desk.database, study, lack.state, lack.reason):
        told = {"action": f"study_{lack.state.value}", "study": study.study_uid, "reasons": _reasons(exclusions)}
        log.warning("a study went quiet and cannot start", extra=told)
