"""Make the jobs of the studies that are ready, and say of the others what they wait for."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from dicomnode import planning, readiness
from dicomnode.describing import FEW, are_few, describe_pending, describe_some, instances_of
from dicomnode.dicom.completeness import Named, content_of, named_by
from dicomnode.domain import (
    Annotation,
    Content,
    Exclusion,
    ImageInstance,
    Instance,
    Job,
    JobOptions,
    ModelIdentity,
    PriorityRule,
    StudyState,
    Wanted,
    priority_of,
)
from dicomnode.errors import Unavailable
from dicomnode.planning import Plan
from dicomnode.readiness import Decision, Patience, Seen, Verdict
from dicomnode.store import arrivals, events, fetches, jobs, related, studies, superseding
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.desk import Desk
from dicomnode.store.fetches import FOR_ANNOTATION

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """How a study is segmented, how long it is waited for, how urgent it is, and whether own results are prompts."""

    quiet_seconds: float
    options: JobOptions
    model: ModelIdentity
    own_results: bool = False
    incomplete_seconds: float = 600.0
    expire_hours: float = 72.0
    asks: bool = True  # whether there is a source to ask for what is missing
    priorities: tuple[PriorityRule, ...] = ()

    @property
    def patience(self) -> Patience:
        """Return how long a study is waited for."""
        quiet, incomplete = timedelta(seconds=self.quiet_seconds), timedelta(seconds=self.incomplete_seconds)
        return Patience(quiet=quiet, incomplete=incomplete)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What is here of a study: what can be made of it, and what its annotations name and is `absent`."""

    images: int
    plan: Plan
    absent: Named
    content: Content


def start_studies(desk: Desk, orders: Orders) -> int:
    """Make the jobs of every study that is ready; return how many jobs are new.

    What came slowly is described while more comes, so that little is left to be done behind the last of it.
    """
    found = studies.to_judge(desk.database)
    slowly = are_few(desk, [study.study_uid for study in found if study.open_associations])
    return sum(_try(desk, orders, study, slowly=slowly) for study in found)


def give_up_studies(desk: Desk, orders: Orders) -> None:
    """Let the studies expire that have waited too long."""
    why = f"given up after {orders.expire_hours:g} hours"
    for study in studies.expire(desk.database, desk.database.now() - timedelta(hours=orders.expire_hours), why):
        log.warning("a study has waited too long", extra={"action": "study_expired", "study": study})


def _try(desk: Desk, orders: Orders, study: StudyRow, *, slowly: bool) -> int:
    """Look at `study`; a bug that only its headers bring out holds it, and not those that wait behind it."""
    try:
        if study.open_associations:
            return _let_come(desk, study, slowly=slowly)
        return _look(desk, orders, study)
    except Unavailable:
        raise
    except Exception as error:
        log.exception("a study failed", extra={"action": "study_failed", "study": study.study_uid})
        reason = f"a bug: {type(error).__name__}: {error}"
        arrivals.settle(desk.database, study, StudyState.HELD, reason, study.evidence)
        return 0


def _let_come(desk: Desk, study: StudyRow, *, slowly: bool) -> int:
    """Describe what came of `study` so far, where that is done beside what comes, and record that more may come."""
    if slowly:
        describe_some(desk, study.study_uid, FEW)  # what comes meanwhile is left to the next look
    return _wait(desk, study, readiness.still_sent(study.open_associations), {})


def _look(desk: Desk, orders: Orders, study: StudyRow) -> int:
    """Start `study` if it is ready, else record what it waits for; return how many jobs are new.

    Its headers are read again only where something came, and before anything is done about it, as what it names may
    have come in another study.
    """
    seen = {"last": study.last_instance_at.isoformat(), "instances": studies.count_of(desk.database, study.study_uid)}
    found = None
    if study.evidence.get("seen") != seen:
        found = _find(desk, orders, study, wakes=study.evidence.get("woke") != seen)
    content = found.content if found else studies.content_of(study.evidence["content"])
    verdict = _judge(desk, orders, study, content, seen)
    if found is None and _moves(study, verdict):
        found = _find(desk, orders, study, wakes=False)
        verdict = _judge(desk, orders, study, found.content, seen)
    noted = {"seen": seen, "woke": seen, "content": studies.facts_of(found.content if found else content)}
    if found is None or not _moves(study, verdict):
        return _wait(desk, study, verdict, noted)
    evidence = {**study.evidence, **noted, **verdict.values()}
    if verdict.decision is Decision.READY:
        return _start(desk, orders, study, found.plan, (str(verdict), evidence))
    _settle(desk, orders, study, found, (str(verdict), evidence))
    return 0


def _judge(desk: Desk, orders: Orders, study: StudyRow, content: Content, now_seen: Mapping[str, Any]) -> Verdict:
    """Judge `study`; what a PACS told counts while there is as much here as when it was asked."""
    told = study.evidence.get("told")
    fresh = told and told["instances"] == now_seen["instances"]
    seen = Seen(
        now=desk.database.now(),
        last_instance_at=study.last_instance_at,
        sendings=studies.sendings(desk.database, study.study_uid),
        content=content,
        told=told["series"] if told and fresh else None,
    )
    return readiness.judge(seen, orders.patience)


def _moves(study: StudyRow, verdict: Verdict) -> bool:
    """Return whether `verdict` takes `study` out of its state."""
    stays = verdict.decision is Decision.INCOMPLETE and study.state is StudyState.INCOMPLETE
    return verdict.decision is not Decision.WAIT and not stays


def _wait(desk: Desk, study: StudyRow, verdict: Verdict, noted: Mapping[str, Any]) -> int:
    asked = study.evidence.get("asked") if verdict.decision is Decision.INCOMPLETE else None
    reason = f"{verdict}{fetches.ASKED_FOR}{asked}" if asked else str(verdict)
    studies.note(desk.database, study, {**noted, **verdict.values()}, reason)
    return 0


def _find(desk: Desk, orders: Orders, study: StudyRow, *, wakes: bool) -> _Found:
    """Return what is here of `study`; where it `wakes`, those that wait for something in it are looked at again."""
    instances = instances_of(desk, study.study_uid)
    if wakes:
        _wake(desk, study, instances)
    annotations = [one for one in instances if isinstance(one, Annotation)]
    for other in related.undescribed_for(desk.database, desk.spool, study.study_uid, annotations):
        describe_pending(desk, other)
    elsewhere = related.related_to(desk.database, desk.spool, study.study_uid, annotations)
    plan = planning.plan((*instances, *elsewhere), own_results=orders.own_results).only_of(study.study_uid)
    companions = {one.sop_instance_uid: one for pair in plan.pairs for one in pair.companions}
    named = named_by((*plan.annotations, *companions.values()))
    absent = named.without(studies.known(desk.database, named.images | named.objects))
    here = studies.counts(desk.database, {pair.images.series_uid for pair in plan.pairs})
    images = sum(isinstance(instance, ImageInstance) for instance in (*instances, *elsewhere))
    content = content_of(images, len(plan.annotations), plan.pairs, named, absent, here)
    return _Found(images=images, plan=plan, absent=absent, content=content)


def _wake(desk: Desk, study: StudyRow, instances: Iterable[Instance]) -> None:
    """Look again at the studies whose annotations name what came in `study`."""
    for waiting in related.waiting_for(desk.database, instances):
        if waiting.study_uid != study.study_uid:
            arrivals.reopen(desk.database, waiting, f"what it names came in study {study.study_uid}")


def _start(desk: Desk, orders: Orders, study: StudyRow, plan: Plan, why: tuple[str, Mapping[str, Any]]) -> int:
    """Make the jobs of `study`, for a reason and evidence; return how many are new."""
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
    log.info("a study is ready for %d new jobs: %s", len(created), why[0], extra=told)
    for after, before in superseding.superseded_by(desk.database, created).items():
        told = {"action": "job_superseded", "job": before[:12], "by": after[:12], "study": study.study_uid}
        log.info("a job takes the place of one of an earlier generation", extra=told)
    return len(created)


def _tell(study: StudyRow, exclusions: Iterable[Exclusion]) -> None:
    """Log that something of `study` was refused while the rest of it goes on; no words that came with an object."""
    if reasons := _reasons(exclusions):
        told = {"action": "study_left_out", "study": study.study_uid, "reasons": reasons}
        log.warning("some of a study that is segmented was refused", extra=told)


def _reasons(exclusions: Iterable[Exclusion]) -> str:
    return ", ".join(sorted({left.reason.value for left in exclusions if left.reason.refuses}))


def _settle(desk: Desk, orders: Orders, study: StudyRow, found: _Found, why: tuple[str, Mapping[str, Any]]) -> None:
    """Record what `study` lacks, and let what its annotations name be fetched; the log gets no words of an object."""
    reason, evidence = why
    state, words = StudyState.INCOMPLETE, reason
    if not found.plan.pairs:
        here = (found.images, len(found.plan.annotations))
        lack = readiness.shortfall(*here, found.plan.exclusions)
        state, reason, words = lack.state, lack.reason, readiness.shortfall(*here, ()).reason
    if orders.asks and (found.absent.images or found.absent.objects):
        state = state if found.plan.pairs else StudyState.HELD
        asked = _ask_for(desk, orders, study, found.absent)
        reason, evidence = f"{reason}{fetches.ASKED_FOR}{asked}", {**evidence, "asked": asked}
    if arrivals.settle(desk.database, study, state, reason, evidence):
        told = {"action": f"study_{state.value}", "study": study.study_uid}
        if reasons := _reasons(found.plan.exclusions):
            told["reasons"] = reasons
        log.warning("a study cannot start: %s", words, extra=told)


def _ask_for(desk: Desk, orders: Orders, study: StudyRow, absent: Named) -> str:
    """Let what is `absent` be fetched; return how long.

    It is asked for before the study is settled, so that no death comes in between.
    """
    wanted = Wanted(series=absent.series, instances=tuple(sorted(absent.images | absent.objects)))
    until = desk.database.now() + timedelta(hours=orders.expire_hours)
    fetches.ask(desk.database, wanted, origin=FOR_ANNOTATION, study_uid=study.study_uid, expires_at=until)
    return f"until {until:%Y-%m-%d %H:%M} UTC"
