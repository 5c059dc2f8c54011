"""Say where a node stands, running or stopped, from its tables alone."""

import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from dicomnode.domain import BreakerState, DeliveryState
from dicomnode.errors import Unavailable
from dicomnode.settings import Destination, DestinationKind, Settings
from dicomnode.store.database import Database
from dicomnode.store.nodes import NodeRow, all_nodes
from dicomnode.store.queues import Queue
from dicomnode.store.summary import Summary, summary

SILENT_AFTER = timedelta(seconds=60)  # a process that runs is seen much more often
_GIB = 2**30
_QUOTED = re.compile(r"""(['"]).*?\1(?=[\s:;,.)]|$)""")  # as messages quote the name of a region


class Trouble(StrEnum):
    """What an administrator has to look at."""

    NO_NODE = "NO_NODE"
    NODE_DEAD = "NODE_DEAD"
    DESTINATION_DOWN = "DESTINATION_DOWN"
    DEAD_LETTERS = "DEAD_LETTERS"
    DISK_FULL = "DISK_FULL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """One thing to be looked at, and a sentence on it."""

    what: Trouble
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that speaks for a study's being complete, or against it."""

    supports: bool
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One process of the node; `problem` is None while it lives."""

    row: NodeRow
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlet:
    """A destination: how it is reached (None once the settings name it no more), and its deliveries."""

    name: str
    remote: Destination | None
    queue: Queue

    @property
    def address(self) -> str | None:
        """Return where it is."""
        if self.remote is None:
            return None
        match self.remote.kind:
            case DestinationKind.DICOM:
                return f"{self.remote.ae_title}@{self.remote.host}:{self.remote.port}"
            case DestinationKind.STOW:
                return self.remote.url
            case DestinationKind.FOLDER:
                return str(self.remote.path)

    @property
    def down(self) -> bool:
        """Return whether it is left alone for now, as it failed too often."""
        return self.queue.breaker is not None and self.queue.breaker.state is not BreakerState.CLOSED


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """The disk of the data folder, in bytes; below `stop` nothing is received, below `clean` what is old is deleted."""

    free: int
    total: int
    stop: int
    clean: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Where a node stood at `at`."""

    at: datetime
    data_dir: Path
    version: str  # of the tables
    processes: tuple[Process, ...]
    summary: Summary
    outlets: tuple[Outlet, ...]
    disk: Disk

    @property
    def running(self) -> bool:
        """Return whether a process of the node lives."""
        return any(process.problem is None for process in self.processes)

    @property
    def attention(self) -> tuple[Attention, ...]:
        """Return what has to be looked at, the worst first."""
        return tuple(_attention(self))


def overview(database: Database, settings: Settings) -> Overview:
    """Return where the node stands whose tables are `database`; it is not asked, so it may be stopped."""
    now = database.now()
    found = summary(database)
    return Overview(
        at=now,
        data_dir=settings.node.data_dir,
        version=database.version(),
        processes=tuple(Process(row=row, problem=_problem(row, now)) for row in all_nodes(database)),
        summary=found,
        outlets=tuple(_outlets(settings, found.queues)),
        disk=_disk(settings),
    )


def without_names(text: str) -> str:
    """Return `text` without what it quotes: the name of a region, as somebody typed it, may name a patient."""
    return _QUOTED.sub("'...'", text)


def findings(evidence: Any) -> tuple[Finding, ...]:  # noqa: ANN401 - JSON
    """Return what was seen of a study, as its evidence tells it."""
    told = evidence.get("findings", ()) if isinstance(evidence, Mapping) else ()
    return tuple(Finding(supports=bool(one["for"]), words=without_names(one["words"])) for one in told)


def _problem(row: NodeRow, now: datetime) -> str | None:
    """Return why the process of `row` does not live, as far as this machine can tell."""
    pid, host = row.facts.get("pid"), row.facts.get("host", socket.gethostname())
    if isinstance(pid, int) and host == socket.gethostname() and not _lives(pid):
        return f"process {pid} died without a word"
    silent = now - row.seen_at
    return f"not seen for {silent.total_seconds():.0f} s" if silent > SILENT_AFTER else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _outlets(settings: Settings, queues: Mapping[str, Queue]) -> Iterator[Outlet]:
    """Yield the destinations of the settings, then others that something is to be sent to."""
    known = {remote.name: remote for remote in settings.destinations}
    for name, remote in known.items():
        yield Outlet(name=name, remote=remote, queue=queues.get(name, Queue()))
    for name, queue in queues.items():
        if name not in known:
            yield Outlet(name=name, remote=None, queue=queue)


def _disk(settings: Settings) -> Disk:
    try:
        usage = shutil.disk_usage(settings.node.data_dir)
    except OSError as error:
        raise Unavailable(f"the disk of {settings.node.data_dir} cannot be looked at: {error.strerror}") from error
    return Disk(
        free=usage.free,
        total=usage.total,
        stop=int(settings.storage.stop_free_gib * _GIB),
        clean=int(settings.storage.clean_free_gib * _GIB),
    )


def _attention(seen: Overview) -> Iterator[Attention]:
    if not seen.processes:
        yield Attention(what=Trouble.NO_NODE, detail=f"no node runs on {seen.data_dir}")
    for process in seen.processes:
        if process.problem is not None:
            yield Attention(what=Trouble.NODE_DEAD, detail=f"{process.row.role}: {process.problem}")
    if seen.disk.free < seen.disk.stop:
        detail = f"{seen.disk.free / _GIB:.1f} GiB are free: nothing is received below {seen.disk.stop / _GIB:g} GiB"
        yield Attention(what=Trouble.DISK_FULL, detail=detail)
    for outlet in seen.outlets:
        breaker = outlet.queue.breaker
        if outlet.down and breaker is not None:
            detail = f"{outlet.name} is down: {without_names(breaker.reason or 'it failed too often')}"
            yield Attention(what=Trouble.DESTINATION_DOWN, detail=detail)
        if dead := outlet.queue.counts.get(DeliveryState.DEAD, 0):
            detail = f"dead letters at {outlet.name}: {dead}; see: dicomnode deliveries list --state dead"
            yield Attention(what=Trouble.DEAD_LETTERS, detail=detail)
