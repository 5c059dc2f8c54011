"""A database, a spool and listeners of its own for each test that asks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomnode import listening
from dicomnode.listening import Listening
from dicomnode.network.admission import Limits, Ways
from dicomnode.network.listener import Hooks, Listener
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.disk import Disk
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


@pytest.fixture(params=[True, False], ids=["fast", "stock"])
def ways(request: pytest.FixtureRequest) -> Ways:
    """Return how objects come in: each test that listens does so in both ways."""
    return Ways(fast=request.param)


@pytest.fixture
def start(ways: Ways) -> Iterator[Callable[..., Listener]]:
    """Return a function that starts a listener, which stops after the test."""
    started: list[Listener] = []

    def start(hooks: Hooks, **limits: float) -> Listener:
        listener = Listener("NODE", ("127.0.0.1", 0), hooks, limits=Limits(ways=ways, **limits))  # type: ignore[arg-type]
        listener.start()
        started.append(listener)
        return listener

    yield start
    for listener in started:
        listener.stop(patience=1)


@pytest.fixture
def runs(tmp_path: Path, ways: Ways) -> Iterator[Callable[..., Run]]:
    """Return a function that starts a listener as the node does, by fields of `Listening`; it stops after the test."""
    with ExitStack() as started:

        def run(spool: Spool | None = None, disk: Disk | None = None, **asked: Any) -> Run:  # noqa: ANN401 - fields of `Listening`
            how = Listening(ae_title="NODE", host="127.0.0.1", port=0, limits=Limits(ways=ways))
            how = replace(how, **asked)
            database = Database(tmp_path / "node.sqlite")
            database.upgrade()
            started.callback(database.close)
            desk = Desk(database=database, spool=spool or Spool(tmp_path / "spool"), destinations={})
            listener = listening.listener(how, desk, disk or Disk(tmp_path))
            listener.start()
            started.callback(listener.stop, 1)
            return Run(desk=desk, listener=listener)

        yield run


@pytest.fixture
def run(runs: Callable[..., Run]) -> Run:
    return runs()


@pytest.fixture
def run_on_a_full_disk(tmp_path: Path, runs: Callable[..., Run]) -> Run:
    return runs(FullSpool(tmp_path / "spool"))
