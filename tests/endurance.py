"""Inspect files in a process of its own, and say what became of each and what that took."""

import gc
import multiprocessing
import resource
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from dicomnode.dicom.scan import scan
from dicomnode.domain import Instance
from dicomnode.inspecting import Inspection, inspect_paths

UNDERSTOOD = "understood"
_KIB = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What became of each file (a reason, or that it was understood), and what that took.

    `bytes` is the most memory that the process has had, and the child that has had most, together.
    """

    fates: Mapping[Path, str]
    wall: float
    cpu: float
    bytes: int


class Crashed(Exception):
    """The process raised, died, or did not answer in time."""


class Worker:
    """A process that inspects; a context manager. One that crashed or was too slow is followed by another."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def restart(self) -> None:
        """Forget what the process has had of memory."""
        self._stop()
        self._start()

    def inspect(self, paths: Sequence[Path], seconds: float) -> Told:
        """Return what became of the files at `paths`, or raise Crashed."""
        self._pipe.send(list(paths))
        try:
            answer = self._pipe.recv() if self._pipe.poll(seconds) else f"no answer within {seconds:g} s"
        except EOFError:
            answer = "the process died"
        if isinstance(answer, str):
            self.restart()
            raise Crashed(answer)
        assert isinstance(answer, Told)
        return answer

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _work(pipe: Connection) -> None:
    warnings.simplefilter("error", RuntimeWarning)  # of NumPy: something was computed that is no number
    while True:
        try:
            paths = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_inspect(paths))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be told
            pipe.send(f"{type(error).__name__}: {error}"[:2000])


def _inspect(paths: list[Path]) -> Told:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted from here on
    wall, cpu = time.monotonic(), _cpu()
    found = inspect_paths(paths)
    wall, cpu = time.monotonic() - wall, _cpu() - cpu
    memory = _peak() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _KIB
    instances, _ = scan(paths)
    known = {instance.path: instance for instance in instances}
    return Told(fates={path: _fate(path, known.get(path), found) for path in paths}, wall=wall, cpu=cpu, bytes=memory)


def _cpu() -> float:
    """Return how many seconds this process and the children that are gone have worked."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * _KIB for line in lines if line.startswith("VmHWM"))


def _fate(path: Path, instance: Instance | None, found: Inspection) -> str:
    """Return the reason why the file at `path` is left out, or that something of it is understood."""
    if instance:
        planes = {key.sop_instance_uid for stack in found.stacks for key, _ in stack.planes}
        annotations = {annotation.path for annotation in found.annotations}
        left_out = {one.what for one in found.exclusions if one.reason in {"UID_CONFLICT", "DUPLICATE_INSTANCE"}}
        if path in annotations or (instance.sop_instance_uid in planes and str(path) not in left_out):
            return UNDERSTOOD
    names = [str(path)]
    if instance:
        names += [f"stack {instance.series_uid}/", f"series {instance.series_uid}"]
    told = [one for one in found.exclusions if any(_names(one.what, name) for name in names)]
    if not told:
        raise AssertionError(f"{path}: nothing is said of it")
    wordless = [one for one in told if not one.detail.strip()]
    if wordless:
        raise AssertionError(f"{path}: {wordless[0].reason} without a word")
    return told[0].reason.value


def _names(what: str, name: str) -> bool:
    return what == name or what.startswith((f"{name},", f"{name} ") if not name.endswith("/") else name)
