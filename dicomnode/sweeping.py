"""Say what a node looks for regularly, and how often."""

from datetime import timedelta
from functools import partial
from typing import NamedTuple

from dicomnode.comparing import settle_conflicts
from dicomnode.counting import Count, ask_counts
from dicomnode.dispatching import Orders, give_up_studies, start_studies
from dicomnode.domain import ModelIdentity, parse_cron
from dicomnode.fetching import ask_pull, wanted_of
from dicomnode.listeners import Listeners
from dicomnode.network.listener import Listener
from dicomnode.queue.committing import report_next
from dicomnode.queue.courier import Courier, attending
from dicomnode.queue.delivering import attend
from dicomnode.queue.engine import EXECUTOR, Engine
from dicomnode.queue.reconciling import break_off_unwanted, deliveries_due, fetches_due, give_turns, take_back
from dicomnode.queue.sweeps import Sweep
from dicomnode.retention import Keep, delete_old, free_bytes, make_room
from dicomnode.settings import Pull, Settings
from dicomnode.store import jobs, nodes, superseding
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import STUDIES, QueueName
from dicomnode.wiring import reporter_of
from dicomnode.worker import Workers

_OFTEN, _SOON, _NOW_AND_THEN, _SELDOM = 0.5, 1.0, 15.0, 600.0  # seconds


class Parts(NamedTuple):
    """What the sweeps look after."""

    courier: Courier
    engine: Engine
    workers: Workers
    listener: Listener | Listeners


def sweeps(settings: Settings, parts: Parts, model: ModelIdentity, count: Count | None) -> dict[str, Sweep]:
    """Return what is looked for regularly, by its name; `count` tells how many objects of a study others have."""
    return {
        **_of_the_node(settings, parts),
        **_of_studies(settings, parts.courier.desk, model, count),
        **_of_work(settings, parts),
        **{f"pull {pull.name}": _pull(settings, parts.courier.desk, pull) for pull in settings.pulls},
    }


def _of_the_node(settings: Settings, parts: Parts) -> dict[str, Sweep]:
    desk, engine = parts.courier.desk, parts.engine
    keep = Keep(days=settings.storage.keep_days, clean_free_bytes=int(settings.storage.clean_free_gib * 2**30))
    free = partial(free_bytes, settings.node.data_dir)
    return {
        "listener": Sweep(do=parts.listener.reap, every=_OFTEN),
        "heartbeat": Sweep(do=partial(nodes.beat, desk.database, EXECUTOR), every=5),
        "pruning": Sweep(do=engine.prune, every=60),
        "disk": Sweep(do=partial(make_room, desk, keep, free), every=30),
        "retention": Sweep(do=partial(delete_old, desk, keep), every=_SELDOM),
    }


def _of_studies(settings: Settings, desk: Desk, model: ModelIdentity, count: Count | None) -> dict[str, Sweep]:
    orders = Orders(
        quiet_seconds=settings.readiness.quiet_seconds,
        incomplete_seconds=settings.readiness.incomplete_seconds,
        expire_hours=settings.readiness.expire_hours,
        options=settings.job_options(),
        model=model,
        own_results=settings.prompts.own_results,
        asks=any(source.fetch for source in settings.sources),
        priorities=tuple(rule.value() for rule in settings.jobs.priorities),
    )
    found = {
        STUDIES: Sweep(do=partial(start_studies, desk, orders), every=_OFTEN),
        "expiry": Sweep(do=partial(give_up_studies, desk, orders), every=_NOW_AND_THEN),
        "conflicts": Sweep(do=partial(settle_conflicts, desk), every=_SOON),
    }
    if count is not None:
        found["counts"] = Sweep(do=partial(ask_counts, desk, count), every=_OFTEN)
    return found


def _of_work(settings: Settings, parts: Parts) -> dict[str, Sweep]:
    courier, engine = parts.courier, parts.engine
    desk, to_send = courier.desk, partial(deliveries_due, destinations=courier.destinations)
    found = {
        "jobs": Sweep(do=partial(give_turns, desk, engine, QueueName.JOBS, jobs.ready), every=_SOON),
        "deliveries": Sweep(do=partial(give_turns, desk, engine, QueueName.DELIVERIES, to_send), every=_OFTEN),
        "fetches": Sweep(do=partial(give_turns, desk, engine, QueueName.FETCHES, fetches_due), every=_SOON),
        "superseded": Sweep(do=partial(superseding.replace_late, desk.database), every=_SOON),
        "cancelled": Sweep(do=partial(break_off_unwanted, desk, parts.workers), every=_OFTEN),
        "lost": Sweep(do=partial(take_back, desk, engine), every=_NOW_AND_THEN),
    }
    for name in courier.destinations:
        found[attending(name)] = Sweep(do=partial(attend, courier, name), every=_OFTEN)
    if settings.listener.storage_commitment:
        found["commitments"] = Sweep(do=partial(report_next, courier, reporter_of(settings)), every=_SOON)
    return found


def _pull(settings: Settings, desk: Desk, pull: Pull) -> Sweep:
    """Return what lets `pull` be fetched, unless what it named before still is."""

    def do() -> None:
        expires_at = desk.database.now() + timedelta(hours=settings.readiness.expire_hours)
        ask_pull(desk.database, pull.name, pull.source, wanted_of(pull.query, pull.limit), expires_at)

    return Sweep(do=do, cron=parse_cron(pull.cron))
