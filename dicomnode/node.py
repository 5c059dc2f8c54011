"""Wire the node together, start and recover it, and shut it down."""

import logging
import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple, Self

from dicomnode import __version__
from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.dispatching import Orders, start_studies
from dicomnode.domain import ModelIdentity, SegSyntax
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Hooks, Limits, Listener
from dicomnode.network.sender import send
from dicomnode.queue.engine import EXECUTOR, Engine, Work
from dicomnode.queue.reconciling import break_off_unwanted, deliveries_due, give_turns, take_back
from dicomnode.queue.steps import do_job, fail_delivery, send_one
from dicomnode.queue.sweeps import Sweep, Sweeps
from dicomnode.receiving import receive
from dicomnode.retention import Keep, delete_old, free_bytes, make_room
from dicomnode.settings import Proof, Settings
from dicomnode.store import arrivals, jobs, nodes, runs
from dicomnode.store.desk import Desk
from dicomnode.store.folder import open_desk
from dicomnode.store.queueing import QueueName
from dicomnode.worker import LoadRuntime, WorkerLimits, Workers

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # how long a shutdown waits for open associations, and then for what is being done


def serve(settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT, then shut it down; a bug that ends one of its parts ends it too."""
    asked: SimpleQueue[int] = SimpleQueue()  # the one queue that a signal handler may put into
    before = {
        number: signal.signal(number, lambda got, _: asked.put(got)) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        with Node(settings) as node:
            while asked.empty() and not node.broken.wait(LOOK_SECONDS):
                pass
        if node.broken.is_set():
            raise RuntimeError("the node stopped because one of its parts failed; the log says which")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Node:
    """A node that can be started and stopped; entered, it runs.

    `load` makes the model in the worker's process, in place of the one that the settings name.
    """

    def __init__(self, settings: Settings, *, load: LoadRuntime | None = None) -> None:
        self.broken = Event()  # set when a bug ended one of its parts
        self.port = settings.listener.port  # once started, the one that is listened on, also where this is 0
        self._settings = settings
        self._load = load or settings.model_wish()
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start the node."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the node."""
        self.stop()

    def start(self) -> None:
        """Recover what a node before this one left, and begin to receive."""
        settings = self._settings
        with ExitStack() as running:
            desk = running.enter_context(open_desk(settings.node.data_dir, settings.output_profiles()))
            workers = Workers(self._load, _limits(settings), settings.jobs.concurrency)
            running.callback(workers.stop)
            model = workers.identity()
            engine = Engine(desk.database, self._break)
            running.callback(engine.close)
            running.callback(_finish, engine, workers)
            desk = replace(desk, enqueue=engine.enqueue)
            listener = _listener(settings, desk)
            sweeps = Sweeps(_sweeps(settings, Parts(desk, engine, workers, listener), model), self._break)
            sweeps.start()
            running.callback(sweeps.stop)
            listener.start()
            running.callback(listener.stop, PATIENCE_SECONDS)
            engine.start(_work(settings, desk, workers))
            self.port = listener.port
            nodes.begin(desk.database, EXECUTOR, "node", _facts(settings, model, self.port))
            running.callback(nodes.end, desk.database, EXECUTOR)
            self._running = running.pop_all()
        told = {"action": "node_started", "ae_title": settings.node.ae_title, "model": model.name}
        told |= dict(model.parameters)
        log.info("the node listens on port %d", self.port, extra=told)

    def stop(self) -> None:
        """Stop receiving, finish or give back what is being done, and close everything."""
        log.info("the node shuts down", extra={"action": "node_stopping"})
        self._running.close()
        log.info("the node is down", extra={"action": "node_stopped"})

    def _break(self, what: str) -> None:
        log.critical("%s failed", what, extra={"action": "part_failed"})
        self.broken.set()


class Parts(NamedTuple):
    """What the sweeps look after."""

    desk: Desk
    engine: Engine
    workers: Workers
    listener: Listener


def _limits(settings: Settings) -> WorkerLimits:
    memory = int(settings.model.memory_gib * 2**30)
    return WorkerLimits(deadline=settings.model.deadline_seconds, memory_bytes=memory or None)


def _facts(settings: Settings, model: ModelIdentity, port: int) -> dict[str, Any]:
    """Return what others are told of this process."""
    facts = {"pid": os.getpid(), "version": __version__, "port": port, "ae_title": settings.node.ae_title}
    return facts | {"model": model.name, "parameters": dict(model.parameters)}


def _finish(engine: Engine, workers: Workers) -> None:
    """Let what is being done end; what does not in time is broken off and given back."""
    engine.halt()
    if not engine.join(PATIENCE_SECONDS):
        workers.stop()
        engine.join(PATIENCE_SECONDS)


def _work(settings: Settings, desk: Desk, workers: Workers) -> dict[QueueName, Work]:
    """Return what is done with the rows of each queue."""
    run = partial(do_job, desk, workers.run, settings.jobs.attempts)
    sends = {}
    for to in settings.destinations:
        peer = Peer(ae_title=to.ae_title or "", host=to.host or "", port=to.port or 0)
        sends[to.name] = partial(_deliver, peer, settings.node.ae_title)
    return {
        QueueName.JOBS: Work(step=run, fail=partial(runs.fail, desk.database), side_by_side=settings.jobs.concurrency),
        QueueName.DELIVERIES: Work(
            step=partial(send_one, desk, sends), fail=partial(fail_delivery, desk), side_by_side=None
        ),
    }


def _deliver(peer: Peer, calling_ae: str, path: Path, syntaxes: tuple[SegSyntax, ...]) -> int:
    return send(path, peer, calling_ae, syntaxes, in_syntax)


def _listener(settings: Settings, desk: Desk) -> Listener:
    hooks = Hooks(
        opened=partial(arrivals.open_association, desk.database),
        closed=partial(arrivals.close_association, desk.database),
        receive=partial(receive, desk),
    )
    limits = Limits(
        max_associations=settings.listener.max_associations,
        max_pdu_bytes=settings.listener.max_pdu_bytes,
        idle_seconds=settings.listener.idle_seconds,
    )
    address = (settings.listener.host, settings.listener.port)
    return Listener(settings.node.ae_title, address, hooks, limits=limits)


def _sweeps(settings: Settings, parts: Parts, model: ModelIdentity) -> dict[str, Sweep]:
    """Return what is looked for regularly."""
    desk, engine = parts.desk, parts.engine
    orders = Orders(
        quiet_seconds=settings.readiness.quiet_seconds,
        options=settings.job_options(),
        model=model,
        own_results=settings.prompts.own_results,
        priorities=tuple(rule.value() for rule in settings.jobs.priorities),
    )
    keep = Keep(
        days=settings.storage.keep_days,
        clean_free_bytes=int(settings.storage.clean_free_gib * 2**30),
        unproven=frozenset(to.name for to in settings.destinations if to.proof is Proof.NONE),
    )
    free = partial(free_bytes, settings.node.data_dir)
    return {
        "listener": Sweep(do=parts.listener.reap, every=0.5),
        "studies": Sweep(do=partial(start_studies, desk, orders), every=0.5),
        "deliveries": Sweep(do=partial(give_turns, desk, engine, QueueName.DELIVERIES, deliveries_due), every=0.5),
        "jobs": Sweep(do=partial(give_turns, desk, engine, QueueName.JOBS, jobs.ready), every=1),
        "cancelled": Sweep(do=partial(break_off_unwanted, desk, parts.workers), every=0.5),
        "lost": Sweep(do=partial(take_back, desk, engine), every=15),
        "heartbeat": Sweep(do=partial(nodes.beat, desk.database, EXECUTOR), every=5),
        "pruning": Sweep(do=engine.prune, every=60),
        "disk": Sweep(do=partial(make_room, desk, keep, free), every=30),
        "retention": Sweep(do=partial(delete_old, desk, keep), every=600),
    }
