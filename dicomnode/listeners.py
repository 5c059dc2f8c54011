"""Listen in several processes, on one socket: they write rows and files, and nothing else."""

import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from os import _exit
from pathlib import Path
from threading import Event, Lock, Thread
from types import FrameType
from typing import Self

from dicomnode import logs
from dicomnode.domain import OutputProfile
from dicomnode.listening import Listening, listener
from dicomnode.network.listener import Service
from dicomnode.network.server import bind
from dicomnode.store import associations
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.disk import Disk
from dicomnode.store.queueing import Hurry
from dicomnode.store.spool import Spool

log = logging.getLogger(__name__)

ServicesOf = Callable[[Desk], Sequence[Service]]  # found in the other process by its name

_REAP_SECONDS = 0.5
_GRACE_SECONDS = 5.0  # after its patience, in which a process ends by itself


def no_services(_desk: Desk) -> Sequence[Service]:
    """Return nothing."""
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where the rows and files of a desk lie, in plain values."""

    database: Path
    spool: Path
    destinations: Mapping[str, OutputProfile]

    @classmethod
    def of(cls, desk: Desk) -> Self:
        """Return that of `desk`."""
        return cls(database=desk.database.path, spool=desk.spool.root, destinations=desk.destinations)


class Listeners:
    """Processes that accept from one socket, which this one binds, and end with it whatever becomes of it.

    How many associations are open is counted in the database, so that all share one limit. They are started afresh
    (spawned), so a program that uses them guards its start with `if __name__ == "__main__"`.
    """

    def __init__(self, how: Listening, desk: Desk, *, processes: int, services: ServicesOf = no_services) -> None:
        self._how = how
        self._desk = desk
        self._services = services
        self._context = get_context("spawn")
        self._socket = bind(how.host, how.port, how.limits.idle_seconds)
        self._port: int = self._socket.getsockname()[1]
        self._collar, self._leash = self._context.Pipe(duplex=False)
        self._children: list[SpawnProcess] = []
        self._wanted = processes
        self._stopping = False
        self._lock = Lock()  # against a process that is put in the place of one that was told to end

    @property
    def port(self) -> int:
        """Return the port that is listened on, also where 0 was asked for."""
        return self._port

    @property
    def processes(self) -> tuple[int, ...]:
        """Return the ids of the processes."""
        return tuple(child.pid for child in self._children if child.pid)

    def start(self) -> None:
        """Begin to accept associations."""
        self._children = [self._child(10.0) for _ in range(self._wanted)]

    def reap(self) -> None:
        """Put another process in the place of each that died, and record how its associations ended."""
        with self._lock:
            for number, child in enumerate(self._children):
                if not self._stopping and not child.is_alive():
                    self._children[number] = self._replace(child)

    def stop(self, patience: float) -> None:
        """Stop accepting; let the open associations end for `patience` seconds, then abort them."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.join(patience + _GRACE_SECONDS)
            if child.is_alive():
                child.kill()
                child.join()
            self._put_right(child)
        self._leash.close()
        self._collar.close()
        self._socket.close()

    def _replace(self, child: SpawnProcess) -> SpawnProcess:
        lost = self._put_right(child)
        told = {"action": "listener_died", "exitcode": child.exitcode, "associations": lost}
        log.error("a process that listened died; another takes its place", extra=told)
        return self._child(10.0)

    def _put_right(self, child: SpawnProcess) -> int:
        """Record how the associations of a process that ended did, if it has not; return how many those are."""
        if child.pid is None:
            return 0
        self._desk.spool.drop_parts(child.pid)
        return associations.close_orphans(self._desk.database, child.pid)

    def _child(self, patience: float) -> SpawnProcess:
        heard, told = self._context.Pipe(duplex=False)
        child = self._context.Process(
            target=_listen,
            args=(self._how, _Place.of(self._desk), self._socket, (self._collar, told), (self._services, patience)),
            name="listener",
            daemon=True,
        )
        child.start()
        told.close()  # it is the child's now
        Thread(target=_hear, args=(heard, self._desk.hurry), daemon=True).start()
        return child


def _hear(heard: Connection, hurry: Hurry) -> None:
    """Log what a child tells, and let the sweeps that it names be made, until it ends."""
    with heard, suppress(EOFError, OSError):
        while True:
            told = heard.recv()
            if isinstance(told, str):
                hurry(told)
            else:
                logs.take_over(told)


# --- in the child ---------------------------------------------------------------------------------------------------


def _listen(
    how: Listening,
    place: _Place,
    bound: socket.socket,
    pipes: tuple[Connection, Connection],
    rest: tuple[ServicesOf, float],
) -> None:
    """Listen until the parent says that it is enough, or ends."""
    collar, told = pipes
    tell = _one_at_a_time(told.send)
    stopping = _prepare(collar, tell)
    services, patience = rest
    database = Database(place.database)
    desk = Desk(database=database, spool=Spool(place.spool), destinations=place.destinations, hurry=tell)
    listens = listener(how, desk, Disk(place.spool), bound=bound, services=services(desk))
    listens.start()
    while not stopping.wait(_REAP_SECONDS):
        listens.reap()
    listens.stop(patience)
    database.close()


def _one_at_a_time(send: Callable[[object], None]) -> Callable[[object], None]:
    """Return `send` for several threads, as what two send at once would be mixed; nobody may be left to hear it."""
    sending = Lock()

    def tell(what: object) -> None:
        with sending, suppress(OSError):
            send(what)

    return tell


def _prepare(collar: Connection, tell: Callable[[object], None]) -> Event:
    """Leave logging to the parent, and do not outlive it; return what is set when it asks to stop."""
    stopping = Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    logs.hand_over(tell)
    Thread(target=_end_with_the_parent, args=(collar,), daemon=True).start()
    return stopping


def _end_with_the_parent(collar: Connection) -> None:
    parent = parent_process()
    connection.wait([collar, *([parent.sentinel] if parent else [])])
    _exit(1)
