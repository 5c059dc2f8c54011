"""The durable queues: what has its turn, in which order, how often, and what of it outlives the process."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from unittest.mock import Mock

import pytest
from dbos._dbos import _get_dbos_instance

from dicomnode.errors import Unavailable
from dicomnode.queue.engine import Engine, Work
from dicomnode.store.database import Database
from dicomnode.store.queueing import QueueName
from tests.serving import until

JOBS, DELIVERIES = QueueName.JOBS, QueueName.DELIVERIES


class Steps:
    """Remembers what had its turn; `gate` holds everything up until it is set, and `inside` is what it holds."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failed: dict[str, str] = {}
        self.gate = Event()
        self.gate.set()
        self.inside: set[str] = set()
        self.most = 0
        self.errors: dict[str, Exception] = {}
        self._lock = Lock()

    def __call__(self, key: str) -> None:
        with self._lock:
            self.inside.add(key)
            self.most = max(self.most, len(self.inside))
        self.gate.wait()
        with self._lock:
            self.inside.discard(key)
            self.done.append(key)
        if key in self.errors:
            raise self.errors[key]

    def work(self, side_by_side: int | None = 1) -> Work:
        return Work(step=self, fail=self.failed.__setitem__, side_by_side=side_by_side)


class Queues:
    """Starts engines on one database, one after the other."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.broken: list[str] = []
        self.running: Engine | None = None

    def start(self, work: dict[QueueName, Work], pause: float = 0.2) -> Engine:
        self.running = Engine(self.database, self.broken.append, pause=pause)
        self.running.start(work)
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.running.close()
            self.running = None

    def enqueue(self, *keys: str, queue: QueueName = JOBS, attempt: int = 1, priority: int = 0) -> None:
        assert self.running is not None
        with self.database.write() as connection:
            for key in keys:
                partition = key[0] if queue is DELIVERIES else None
                self.running.enqueue(connection, queue, key, attempt, priority, partition)


@pytest.fixture
def queues(database: Database) -> Iterator[Queues]:
    queues = Queues(database)
    yield queues
    queues.stop()
    assert not queues.broken


def test_what_is_enqueued_twice_has_one_turn_and_another_attempt_has_its_own(queues: Queues) -> None:
    steps = Steps()
    queues.start({JOBS: steps.work()})
    queues.enqueue("a")
    queues.enqueue("a")
    until(lambda: steps.done, 5)
    queues.enqueue("a")
    queues.enqueue("a", attempt=2)
    queues.enqueue("b")
    until(lambda: "b" in steps.done, 5)
    assert steps.done == ["a", "a", "b"]


def test_what_is_rolled_back_was_never_enqueued(queues: Queues) -> None:
    steps = Steps()
    engine = queues.start({JOBS: steps.work()})
    with suppress(ZeroDivisionError), queues.database.write() as connection:
        engine.enqueue(connection, JOBS, "a", 1, 0, None)
        raise ZeroDivisionError
    queues.enqueue("b")
    until(lambda: steps.done, 5)
    assert steps.done == ["b"]


def test_the_urgent_goes_before_what_waits_longer(queues: Queues) -> None:
    steps = Steps()
    steps.gate.clear()
    engine = queues.start({JOBS: steps.work()})
    queues.enqueue("first")
    until(lambda: steps.inside, 5)
    queues.enqueue("low", priority=-100)
    queues.enqueue("old")
    queues.enqueue("urgent", priority=100)
    assert engine.active(JOBS) == {"first", "low", "old", "urgent"}
    steps.gate.set()
    until(lambda: len(steps.done) == 4, 5)
    assert steps.done == ["first", "urgent", "old", "low"]
    until(lambda: not engine.active(JOBS), 5)


def test_as_many_are_done_side_by_side_as_may_be(queues: Queues) -> None:
    steps = Steps()
    steps.gate.clear()
    queues.start({JOBS: steps.work(side_by_side=2)})
    queues.enqueue("a", "b", "c")
    until(lambda: len(steps.inside) == 2, 5)
    steps.gate.set()
    until(lambda: len(steps.done) == 3, 5)
    assert steps.most == 2


def test_a_destination_is_sent_one_thing_at_a_time_and_destinations_side_by_side(queues: Queues) -> None:
    steps = Steps()
    steps.gate.clear()
    queues.start({DELIVERIES: steps.work(side_by_side=None)})
    queues.enqueue("a1", "a2", "b1", "b2", queue=DELIVERIES)
    until(lambda: len(steps.inside) == 2, 5)
    assert {key[0] for key in steps.inside} == {"a", "b"}
    steps.gate.set()
    until(lambda: len(steps.done) == 4, 5)
    assert steps.most == 2


def test_a_bug_fails_its_row_and_the_others_go_on(queues: Queues, caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps()
    steps.errors["poison"] = KeyError("x")
    queues.start({JOBS: steps.work()})
    queues.enqueue("poison", "b")
    until(lambda: len(steps.done) == 2, 5)
    until(lambda: steps.failed, 5)
    assert steps.failed == {"poison": "a bug: KeyError: 'x'"}
    assert [getattr(record, "action", "") for record in caplog.records] == ["step_failed"]


def test_a_bug_while_a_bug_is_recorded_is_told(database: Database) -> None:
    queues, steps = Queues(database), Steps()
    steps.errors["poison"] = KeyError("x")

    def fail(_key: str, _reason: str) -> None:
        raise ZeroDivisionError

    queues.start({JOBS: Work(step=steps, fail=fail, side_by_side=1)})
    queues.enqueue("poison")
    until(lambda: queues.broken, 5)
    queues.stop()


def test_where_something_is_unavailable_the_queue_pauses(queues: Queues) -> None:
    steps = Steps()
    steps.errors["a"] = Unavailable("the model is gone")
    engine = queues.start({JOBS: steps.work()}, pause=1.0)
    queues.enqueue("a", "b")
    until(lambda: steps.done, 5)
    ended = time.monotonic()
    until(lambda: len(steps.done) == 2, 5)
    assert time.monotonic() - ended > 0.5
    until(lambda: not engine.active(JOBS), 5)
    assert steps.failed == {}


def test_what_waits_when_the_engine_stops_has_its_turn_in_the_next_one(queues: Queues) -> None:
    steps = Steps()
    steps.gate.clear()
    engine = queues.start({JOBS: steps.work()})
    queues.enqueue("a", "b", "c")
    until(lambda: steps.inside, 5)
    engine.halt()
    assert not engine.join(0.05)
    steps.gate.set()
    assert engine.join(5)
    queues.stop()
    assert steps.done == ["a"]
    again = queues.start({JOBS: steps.work()})
    until(lambda: len(steps.done) == 3, 5)
    until(lambda: not again.active(JOBS), 5)
    assert steps.done == ["a", "b", "c"]


def test_there_is_one_engine_at_a_time_in_a_process(queues: Queues) -> None:
    queues.start({})
    other = Engine(queues.database, queues.broken.append)
    with pytest.raises(RuntimeError, match="another engine runs in this process"):
        other.start({})
    other.close()


def test_what_ended_is_forgotten_and_what_waits_is_not(queues: Queues) -> None:
    steps = Steps()
    engine = queues.start({JOBS: steps.work()})
    queues.enqueue("a")
    until(lambda: steps.done and not engine.active(JOBS), 5)
    steps.gate.clear()
    queues.enqueue("b", "c")
    assert engine.prune() == 1
    assert engine.active(JOBS) == {"b", "c"}
    steps.gate.set()
    until(lambda: len(steps.done) == 3, 5)


def test_a_queue_with_nothing_in_it_is_asked_and_no_more(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps()
    queues.start({JOBS: steps.work()})
    system = _get_dbos_instance()._sys_db  # noqa: SLF001 - what is spared is in there
    asked, tried = Mock(wraps=system.dequeue_scopes), Mock(wraps=system.start_queued_workflows)
    monkeypatch.setattr(system, "dequeue_scopes", asked)
    until(lambda: asked.call_count > 3, 10)  # no turn goes on that began before this was so
    monkeypatch.setattr(system, "start_queued_workflows", tried)
    asked.reset_mock()
    until(lambda: asked.call_count > 3, 10)
    assert not tried.called
    queues.enqueue("a")
    until(lambda: steps.done, 5)
    assert tried.called


def test_the_engine_logs_nothing_but_through_the_log_of_the_node(
    queues: Queues, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = Steps()
    queues.start({JOBS: steps.work()})
    queues.enqueue("a")
    until(lambda: steps.done, 5)
    queues.stop()
    assert capfd.readouterr() == ("", "")
    assert [type(handler) for handler in logging.getLogger("dbos").handlers] == [logging.NullHandler]


def test_arguments_are_kept_as_json_and_are_ids_alone(queues: Queues) -> None:
    steps = Steps()
    queues.start({JOBS: steps.work()})
    queues.enqueue("a")
    with queues.database.read() as connection:
        found = connection.exec_driver_sql("SELECT inputs FROM workflow_input").scalars().all()
    assert [str(one) for one in found] == ['{"namedArgs":{},"positionalArgs":["a"]}']


KILLED = """
import sys, time
from pathlib import Path
from dicomnode.queue.engine import Engine, Work
from dicomnode.store.database import Database
from dicomnode.store.queueing import QueueName

def step(key):
    with Path(sys.argv[2]).open("a") as file:
        file.write(key + "\\n")
    if len(sys.argv) > 3 and key == sys.argv[3]:
        time.sleep(60)

database = Database(Path(sys.argv[1]))
engine = Engine(database, print)
if len(sys.argv) > 3:
    with database.write() as connection:
        for key in "abc":
            engine.enqueue(connection, QueueName.JOBS, key, 1, 0, None)
engine.start({QueueName.JOBS: Work(step=step, fail=print, side_by_side=1)})
while engine.active(QueueName.JOBS):
    time.sleep(0.02)
engine.close()
"""


def test_what_was_begun_when_the_process_was_killed_is_begun_again_and_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    seen.touch()
    script = [sys.executable, "-c", KILLED, str(database.path), str(seen)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([*script, "b"], env=environment) as process:
        until(lambda: seen.read_text().endswith("b\n"), 20)
        process.send_signal(signal.SIGKILL)
    subprocess.run(script, env=environment, check=True, timeout=20)
    assert seen.read_text().split() == ["a", "b", "b", "c"]
