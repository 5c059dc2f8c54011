"""Wire the node together, start and recover it, and shut it down."""

import logging
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import Any, Self

from dicomnode import __version__, sweeping
from dicomnode.counting import Count
from dicomnode.domain import ModelIdentity
from dicomnode.fetching import do_fetch
from dicomnode.queue.courier import Courier
from dicomnode.queue.delivering import fail_delivery, send
from dicomnode.queue.engine import EXECUTOR, Engine, Work
from dicomnode.queue.steps import do_job
from dicomnode.queue.sweeps import Sweeps
from dicomnode.settings import Settings
from dicomnode.store import fetches, nodes, runs
from dicomnode.store.folder import open_desk
from dicomnode.store.queueing import QueueName
from dicomnode.sweeping import Parts
from dicomnode.wiring import count_of, courier_of, errand_of, listener_of
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

    `load` makes the model in the worker's process, in place of the one that the settings name; `count` tells how many
    objects of a study others have, in place of the sources of the settings.
    """

    def __init__(self, settings: Settings, *, load: LoadRuntime | None = None, count: Count | None = None) -> None:
        self.broken = Event()  # set when a bug ended one of its parts
        self.port = settings.listener.port  # once started, the one that is listened on, also where this is 0
        self._settings = settings
        self._load = load or settings.model_wish()
        self._count = count or count_of(settings)
        self._stopping = Event()
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
        self._stopping.clear()
        with ExitStack() as running:
            desk = running.enter_context(open_desk(settings.node.data_dir, settings.output_profiles()))
            workers = Workers(self._load, _limits(settings), settings.jobs.concurrency)
            running.callback(workers.stop)
            model = workers.identity()
            engine = Engine(desk.database, self._break)
            running.callback(engine.close)
            running.callback(_finish, engine, workers)
            sweeps = Sweeps(self._break)
            desk = replace(desk, enqueue=engine.enqueue, hurry=sweeps.hurry)
            courier = courier_of(settings, desk)
            listener = listener_of(settings, desk)
            parts = Parts(courier=courier, engine=engine, workers=workers, listener=listener)
            sweeps.start(sweeping.sweeps(settings, parts, model, self._count))
            running.callback(sweeps.stop)
            running.callback(self._stopping.set)
            listener.start()
            running.callback(listener.stop, PATIENCE_SECONDS)
            engine.start(self._work(courier, workers))
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

    def _work(self, courier: Courier, workers: Workers) -> dict[QueueName, Work]:
        """Return what is done with the rows of each queue."""
        desk, asked = courier.desk, self._settings.jobs
        errand = errand_of(self._settings, desk, self._stopping.is_set)
        return {
            QueueName.JOBS: Work(
                step=partial(do_job, desk, workers.run, asked.attempts),
                fail=partial(runs.fail, desk.database),
                side_by_side=asked.concurrency,
            ),
            QueueName.DELIVERIES: Work(
                step=partial(send, courier), fail=partial(fail_delivery, courier), side_by_side=None
            ),
            QueueName.FETCHES: Work(
                step=lambda key: do_fetch(desk, int(key), errand),
                fail=lambda key, reason: fetches.fail_by_bug(desk.database, int(key), reason),
                side_by_side=1,
            ),
        }

    def _break(self, what: str) -> None:
        log.critical("%s failed", what, extra={"action": "part_failed"})
        self.broken.set()


def _limits(settings: Settings) -> WorkerLimits:
    memory = int(settings.model.memory_gib * 2**30)
    return WorkerLimits(deadline=settings.model.deadline_seconds, memory_bytes=memory or None)


def _facts(settings: Settings, model: ModelIdentity, port: int) -> dict[str, Any]:
    """Return what others are told of this process."""
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "version": __version__, "port": port}
    about = {"ae_title": settings.node.ae_title, "model": model.name, "parameters": dict(model.parameters)}
    return facts | about


def _finish(engine: Engine, workers: Workers) -> None:
    """Let what is being done end; what does not in time is broken off and given back."""
    engine.halt()
    if not engine.join(PATIENCE_SECONDS):
        workers.stop()
        engine.join(PATIENCE_SECONDS)
