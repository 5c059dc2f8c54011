"""Run jobs in a child process, so that a crash in a decoder or a model is an error and not the end of the node."""

import os
import resource
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import active_children, connection, get_context, parent_process
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, ParamSpec, TypeVar

from dicomnode import logs, pipeline
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.domain import Job, ModelIdentity, Outcome
from dicomnode.errors import EngineFailed, ModelLost, Reason, Refused, Unavailable
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.runtime import Runtime

LoadRuntime = Callable[[], Runtime]  # runs in the child; hashable, and found there by its name
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLimits:
    """How long a job may take, in seconds, and how much memory the process may ask for, in bytes: None is no limit."""

    deadline: float = 3600.0
    memory_bytes: int | None = None


class Worker:
    """A child process that keeps the model warm, and ends with this process whatever becomes of it.

    It is started afresh (spawned), so a program that uses it guards its start with `if __name__ == "__main__"`.
    """

    def __init__(self, load: LoadRuntime, limits: WorkerLimits | None = None) -> None:
        self._load = load
        self._limits = limits or WorkerLimits()
        self._stopping = Event()
        self._child = _Child(self._limits.memory_bytes)
        self._model = ""  # in words, once it is known
        self._changing = Lock()  # of the two that follow
        self._job: str | None = None  # the key of the one that is being run
        self._broken_off = False

    def identity(self) -> ModelIdentity:
        """Return which algorithm the model is, once it is loaded."""
        try:
            found = self._submit(_identity, self._load).result(timeout=self._limits.deadline)
        except TimeoutError as error:
            raise Unavailable(f"the model was not ready within {self._limits.deadline:g} s") from error
        except BrokenProcessPool as error:
            hint = 'a script that starts a node does so under `if __name__ == "__main__"`'
            raise Unavailable(f"the process of the model ended before it was ready ({hint})") from error
        self._model = _in_words(found)
        return found

    def warm(self, model: ModelIdentity) -> None:
        """Begin to load the model, which is known to be `model`."""
        self._model = _in_words(model)
        self._submit(_identity, self._load)

    def run(self, job: Job) -> Outcome | BaseException | None:
        """Return what `job` gave, or what it ended with, or None if it was broken off or the worker stopped.

        A job that ends the process, or does not end in time, is Unavailable.
        """
        with self._changing:
            self._job, self._broken_off = job.key, False
        try:
            return self._run(job)
        finally:
            with self._changing:
                self._job = None

    def break_off(self, key: str) -> None:
        """End the child if it is running the job `key`; nothing happens where it is not."""
        with self._changing:
            if self._job == key:
                self._broken_off = True
                self._child.kill()

    def stop(self) -> None:
        """End the child, and with it the job that it may be running."""
        self._stopping.set()
        self._child.kill()

    def _run(self, job: Job) -> Outcome | BaseException | None:
        future = self._submit(_run, job, self._load)
        try:
            error = future.exception(timeout=self._limits.deadline)
        except TimeoutError:
            self._child.kill()
            return Unavailable(f"the job took longer than {self._limits.deadline:g} s{self._model}")
        except CancelledError:  # it had not begun
            return None
        if isinstance(error, BrokenProcessPool):
            ended = Unavailable(f"the job ended the process that ran it{self._model}")
            return None if self._stopping.is_set() or self._broken_off else ended
        if isinstance(error, EngineFailed):
            self._child.kill()
        return error or future.result()

    def _submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand a call to the child, or to a new one if it has died meanwhile."""
        try:
            return self._child.pool.submit(function, *args, **kwargs)
        except RuntimeError:  # it is broken, or was shut down
            if self._stopping.is_set():
                return _broken()
        self._child.kill()
        self._child = _Child(self._limits.memory_bytes)
        return self._child.pool.submit(function, *args, **kwargs)


class Workers:
    """As many workers as jobs are run at a time, each with a model of its own that it keeps warm."""

    def __init__(self, load: LoadRuntime, limits: WorkerLimits, count: int) -> None:
        self._all = tuple(Worker(load, limits) for _ in range(count))
        self._free: SimpleQueue[Worker] = SimpleQueue()
        self._running: dict[str, Worker] = {}
        for worker in self._all:
            self._free.put(worker)

    @property
    def running(self) -> frozenset[str]:
        """Return the keys of the jobs that are being run."""
        return frozenset(self._running.copy())

    def identity(self) -> ModelIdentity:
        """Return which algorithm the model is, once one worker has loaded it; the others load it meanwhile."""
        model = self._all[0].identity()
        for worker in self._all[1:]:
            worker.warm(model)
        return model

    def run(self, job: Job) -> Outcome | BaseException | None:
        """Return what a worker that is free gives for `job`: see `Worker.run`."""
        worker = self._free.get()
        self._running[job.key] = worker
        try:
            return worker.run(job)
        finally:
            del self._running[job.key]
            self._free.put(worker)

    def break_off(self, keys: Iterable[str]) -> None:
        """End those of the jobs `keys` that are being run."""
        for key in keys:
            if worker := self._running.get(key):
                worker.break_off(key)

    def stop(self) -> None:
        """End every child, and with it the job that it may be running."""
        for worker in self._all:
            worker.stop()


def _in_words(model: ModelIdentity) -> str:
    """Return the end of a sentence that names `model` and what it runs on."""
    known = dict(model.parameters)
    on = ", ".join(known[name] for name in ("engine", "device", "precision") if name in known)
    return f", with the model {model.name!r}" + (f" on {on}" if on else "")


def _broken() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(BrokenProcessPool("the worker is stopped"))
    return future


class _Child:
    """One process, on a leash: a pipe whose end it waits for."""

    def __init__(self, memory_bytes: int | None) -> None:
        context = get_context("spawn")
        self._collar, self._leash = context.Pipe(duplex=False)
        heard, told = context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(self._collar, told, memory_bytes))
        self._number = self.pool.submit(os.getpid)
        told.close()  # it is the child's now
        Thread(target=_log, args=(heard,), daemon=True).start()

    def kill(self) -> None:
        """Let go of the leash, so that the child ends; kill it where it is too busy to notice."""
        self._leash.close()
        number = self._number.result() if self._number.done() and not self._number.exception() else None
        for child in active_children():
            if child.pid == number:
                child.kill()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self._collar.close()


def _log(heard: Connection) -> None:
    """Log what the child tells until it ends."""
    with heard, suppress(EOFError, OSError):
        while True:
            logs.take_over(heard.recv())


# --- in the child ---------------------------------------------------------------------------------------------------


def _prepare(collar: Connection, told: Connection, memory_bytes: int | None) -> None:
    """Leave stopping and logging to the parent, do not outlive it, and ask for no more memory than is allowed."""
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logs.hand_over(told.send)
    Thread(target=_end_with_the_parent, args=(collar,), daemon=True).start()


def _end_with_the_parent(collar: Connection) -> None:
    parent = parent_process()
    connection.wait([collar, *([parent.sentinel] if parent else [])])
    os._exit(1)


@cache
def _runtime(load: LoadRuntime) -> Runtime:
    return load()


@cache
def _decoders() -> Decoders:
    """Return the decoders of this process; they end with it."""
    return Decoders()


@cache
def _features() -> FeatureCache:
    """Return what this process keeps of images from job to job."""
    return FeatureCache()


def _identity(load: LoadRuntime) -> ModelIdentity:
    return _runtime(load).identity


def _run(job: Job, load: LoadRuntime) -> Outcome:
    try:
        runtime = _runtime(load)
    except Refused as error:
        raise ModelLost(str(error)) from error
    try:
        return pipeline.run(job, pipeline.Tools(runtime=runtime, decoders=_decoders(), features=_features()))
    except MemoryError as error:
        _features().clear()
        detail = f"it needs more memory than the process may ask for: {error}"
        raise Refused(Reason.LIMIT, f"stack {job.images.key}", detail) from error
    except Refused as error:
        if error.reason is Reason.LIMIT:
            _features().clear()
        raise
