"""Wire the node together, start and recover it, and shut it down."""

import fcntl
import logging
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import Self

from dicomnode.dispatching import Orders, start_studies
from dicomnode.domain import CommitmentReport, ModelIdentity
from dicomnode.errors import Unavailable
from dicomnode.network import commitment
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Hooks, Limits, Listener
from dicomnode.queue.committing import Reporter, report_next, take
from dicomnode.queue.courier import Courier
from dicomnode.queue.delivering import serve as serve_destination
from dicomnode.queue.engine import Engine
from dicomnode.queue.proving import hear
from dicomnode.queue.steps import do_next_job
from dicomnode.queue.sweeps import Sweep, Sweeps
from dicomnode.receiving import receive
from dicomnode.settings import Settings, reach
from dicomnode.store import arrivals, deliveries, jobs
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Spool
from dicomnode.worker import LoadRuntime, Worker, WorkerLimits

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # how long a shutdown waits for open associations, and then for what is being done


def serve(settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT, then shut it down; a bug that ends one of its threads ends it too."""
    asked: SimpleQueue[int] = SimpleQueue()  # the one queue that a signal handler may put into
    before = {
        number: signal.signal(number, lambda got, _: asked.put(got)) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        with Node(settings) as node:
            while asked.empty() and not node.broken.wait(SWEEP_SECONDS):
                pass
        if node.broken.is_set():
            raise RuntimeError("the node stopped because one of its threads failed; the log says which")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Node:
    """A node that can be started and stopped; entered, it runs.

    `load` makes the model in the worker's process, in place of the one that the settings name.
    """

    def __init__(self, settings: Settings, *, load: LoadRuntime | None = None) -> None:
        self.broken = Event()  # set when a bug ended one of its threads
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
        with ExitStack() as running:
            desk = running.enter_context(_open_desk(self._settings))
            worker = Worker(self._load, _limits(self._settings))
            running.callback(worker.stop)
            model = worker.identity()
            courier = _courier(self._settings, desk)
            engine = Engine(self._lanes(desk, worker, courier), on_death=self._break)
            running.callback(_finish, engine, worker)
            listener = _listener(self._settings, desk, courier)
            sweeps = Sweeps(_tasks(self._settings, desk, engine, listener, model), every=SWEEP_SECONDS)
            engine.start()
            sweeps.start()
            running.callback(sweeps.stop)
            listener.start()
            running.callback(listener.stop, PATIENCE_SECONDS)
            self._running = running.pop_all()
        self.port = listener.port
        told = {"action": "node_started", "ae_title": self._settings.node.ae_title, "model": model.name}
        told |= dict(model.parameters)
        log.info("the node listens on port %d", self.port, extra=told)

    def stop(self) -> None:
        """Stop receiving, finish or give back what is being done, and close everything."""
        log.info("the node shuts down", extra={"action": "node_stopping"})
        self._running.close()
        log.info("the node is down", extra={"action": "node_stopped"})

    def _lanes(self, desk: Desk, worker: Worker, courier: Courier) -> dict[str, partial[bool]]:
        lanes = {"jobs": partial(do_next_job, desk, worker.run)}
        lanes |= {f"to {name}": partial(serve_destination, courier, name) for name in courier.destinations}
        if self._settings.listener.storage_commitment:
            lanes["commitments"] = partial(report_next, courier, _reporter(self._settings))
        return lanes

    def _break(self, lane: str) -> None:
        log.critical("lane %s failed", lane, extra={"action": "lane_failed"})
        self.broken.set()


def _courier(settings: Settings, desk: Desk) -> Courier:
    return Courier(
        desk=desk,
        destinations=reach.destinations(settings),
        policy=reach.policy(settings.delivery),
        chance=random.random,
    )


def _reporter(settings: Settings) -> Reporter:
    def report(peer: Peer, found: CommitmentReport) -> None:
        commitment.report(peer, settings.node.ae_title, found)

    return Reporter(peers=reach.known_peers(settings), report=report)


def _limits(settings: Settings) -> WorkerLimits:
    memory = int(settings.model.memory_gib * 2**30)
    return WorkerLimits(deadline=settings.model.deadline_seconds, memory_bytes=memory or None)


@contextmanager
def _open_desk(settings: Settings) -> Iterator[Desk]:
    """Lend database and spool of the data folder, recovered, to this process alone."""
    data_dir = settings.node.data_dir
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds patient data
    except OSError as error:
        raise Unavailable(f"the data folder {data_dir} cannot be made: {error.strerror}") from error
    with _locked(data_dir), ExitStack() as opened:
        database = Database(data_dir / "dicomnode.sqlite")
        opened.callback(database.close)
        database.upgrade()
        spool = Spool(data_dir / "spool")
        _recover(database, spool)
        yield Desk(database=database, spool=spool, destinations=settings.output_profiles())


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Keep other nodes from `data_dir`; the lock ends with the process, whatever ends it."""
    with (data_dir / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(f"another dicomnode runs on {data_dir}: it holds {file.name}") from error
        yield


def _recover(database: Database, spool: Spool) -> None:
    """Put right what a process that died left: open associations, claimed rows, files without a row."""
    found = {
        "associations": arrivals.close_orphans(database),
        "jobs": len(jobs.recover(database)),
        "deliveries": deliveries.recover(database),
        "files": spool.sweep(arrivals.known_keys(database)),
    }
    if any(found.values()):
        told: dict[str, object] = {"action": "recovered", **found}
        log.warning("the node before this one died: what it left is put right", extra=told)


def _finish(engine: Engine, worker: Worker) -> None:
    """Let what is being done end; what does not in time is broken off and given back."""
    engine.stop()
    if not engine.join(PATIENCE_SECONDS):
        worker.stop()
        engine.join(PATIENCE_SECONDS)


def _listener(settings: Settings, desk: Desk, courier: Courier) -> Listener:
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
    asked = partial(take, courier) if settings.listener.storage_commitment else None
    commits = commitment.service(commitment.Hooks(reported=partial(hear, courier), asked=asked))
    return Listener(settings.node.ae_title, address, hooks, limits=limits, services=[commits])


def _tasks(
    settings: Settings, desk: Desk, engine: Engine, listener: Listener, model: ModelIdentity
) -> dict[str, Sweep]:
    """Return what is looked for regularly."""
    orders = Orders(
        quiet_seconds=settings.readiness.quiet_seconds,
        options=settings.job_options(),
        model=model,
        own_results=settings.prompts.own_results,
    )

    def studies() -> None:
        listener.reap()
        if start_studies(desk, orders):
            engine.wake()

    return {"studies": studies, "work": engine.wake}
