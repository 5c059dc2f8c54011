"""Threads and processes that write to one database take turns."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from dicomnode.store.database import Database
from dicomnode.store.writing import WritingTurn

HOLD = (
    "import sys, time; from pathlib import Path; from dicomnode.store.writing import WritingTurn\n"
    "WritingTurn(Path(sys.argv[1])).acquire(); print('mine', flush=True); time.sleep(60)"
)


@contextmanager
def held(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Lend a process whose turn it is."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"mine\n"
        try:
            yield other
        finally:
            other.kill()


def test_a_turn_of_another_process_is_waited_for_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "it.sqlite"
    turn, came = WritingTurn(path), Event()

    def write() -> None:
        with turn:
            came.set()

    with held(path) as other:
        waiting = Thread(target=write)
        waiting.start()
        assert not came.wait(0.2)
        other.kill()
        assert came.wait(10)
        waiting.join()
    turn.close()


def test_a_process_that_keeps_its_turn_is_not_waited_for_without_end(tmp_path: Path) -> None:
    path = tmp_path / "it.sqlite"
    turn = WritingTurn(path, patience=0.1)
    with held(path):
        begun = time.monotonic()
        with turn:
            assert time.monotonic() - begun >= 0.1
    turn.close()


def test_a_turn_of_another_thread_is_waited_for_as_long_as_is_said(tmp_path: Path) -> None:
    turn = WritingTurn(tmp_path / "it.sqlite")
    with turn:
        assert not turn.acquire(timeout=0.01)
    assert turn.acquire(timeout=0.01)
    turn.release()
    turn.close()


def test_where_no_file_can_be_locked_only_threads_take_turns(tmp_path: Path) -> None:
    turn = WritingTurn(tmp_path / "missing" / "it.sqlite")
    for _ in range(2):
        with turn:
            assert not turn.acquire(timeout=0.01)
    turn.close()


def test_whoever_only_reads_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "it.sqlite"
    database = Database(path)
    with database.read():
        pass
    assert not list(tmp_path.glob("*-turn"))
    database.upgrade()
    assert [one.name for one in tmp_path.glob("*-turn")] == ["it.sqlite-turn"]
    database.close()
