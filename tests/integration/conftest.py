"""A database, a spool and listeners of its own for each test that asks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomnode.network.listener import Hooks, Limits, Listener
from dicomnode.receiving import receive
from dicomnode.store import arrivals
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Spool
from tests.rows import Clock
from tests.senders import FullSpool, Run


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = Database(tmp_path / "node.sqlite", clock=clock)
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def start() -> Iterator[Callable[..., Listener]]:
    """Return a function that starts a listener, which stops after the test."""
    started: list[Listener] = []

    def start(hooks: Hooks, **limits: float) -> Listener:
        listener = Listener("NODE", ("127.0.0.1", 0), hooks, limits=Limits(**limits))  # type: ignore[arg-type]
        listener.start()
        started.append(listener)
        return listener

    yield start
    for listener in started:
        listener.stop(patience=1)


@pytest.fixture
def run(tmp_path: Path, start: Callable[..., Listener]) -> Iterator[Run]:
    yield from _running(Spool(tmp_path / "spool"), tmp_path, start)


@pytest.fixture
def run_on_a_full_disk(tmp_path: Path, start: Callable[..., Listener]) -> Iterator[Run]:
    yield from _running(FullSpool(tmp_path / "spool"), tmp_path, start)


def _running(spool: Spool, folder: Path, start: Callable[..., Listener]) -> Iterator[Run]:
    database = Database(folder / "node.sqlite")
    database.upgrade()
    desk = Desk(database=database, spool=spool, destinations={})
    hooks = Hooks(
        opened=lambda peer: arrivals.open_association(database, peer),
        closed=lambda number, ended: arrivals.close_association(database, number, ended),
        receive=lambda request, data_set: receive(desk, request, data_set),
    )
    listener = start(hooks)
    yield Run(desk=desk, listener=listener)
    listener.stop(patience=1)
    database.close()
