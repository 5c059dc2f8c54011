"""Make the jobs of the studies that are ready, and say of the others that went quiet what they lack."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from dicomnode import planning, readiness
from dicomnode.domain import (
    Annotation,
    Exclusion,
    ImageInstance,
    Instance,
    Job,
    JobOptions,
    ModelIdentity,
    PriorityRule,
    StudyState,
    priority_of,
)
from dicomnode.errors import Unavailable
from dicomnode.readiness import Shortfall
from dicomnode.store import arrivals, events, jobs, related
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """How a study is to be segmented, how long it has to be quiet first, and how urgent it is.

    `own_results` says whether they are prompts.
    """

    quiet_seconds: float
    options: JobOptions
    model: ModelIdentity
    own_results: bool = False
    priorities: tuple[PriorityRule, ...] = ()


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
        _settle(desk, study, readiness.shortfall(images, len(plan.annotations), plan.exclusions), plan.exclusions)
        return 0
    work = [(pair, planning.job_of(pair, orders.options, orders.model)) for pair in plan.pairs]
    senders = arrivals.senders_of(desk.database, study.study_uid)

    def priority(job: Job) -> int:
        return priority_of(orders.priorities, senders, job.images.modality)

    created = jobs.dispatch(desk, study, work, why, priority)
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


def _settle(desk: Desk, study: StudyRow, lack: Shortfall, exclusions: Iterable[Exclusion]) -> None:
    """Record what `study` lacks; the log gets no words that came with an object."""
    if arrivals.settle(desk.database, study, lack.state, lack.reason):
        told = {"action": f"study_{lack.state.value}", "study": study.study_uid, "reasons": _reasons(exclusions)}
        log.warning("a study went quiet and cannot start", extra=told)
