"""What is left of what a process wrote when the power is cut; the process ends first, without a word."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from dicomnode.store.database import Database
from tests.conftest import CHECKOUT, without
from tests.crash.power import Ext4, Power
from tests.rows import image, receive

PUT = (
    "from dicomnode.store.spool import Spool; Spool(folder / 'data' / 'spool').put('studies/1.2/1.3/1.4.dcm', [b'it'])"
)
RECORD = """
from dicomnode.store.database import Database
from tests.rows import image, receive
database = Database(folder / 'node.sqlite')
database.upgrade()
receive(database, image())
"""
OVERWRITE = "(folder / 'it').write_bytes(b'other')"
FLUSH_FILE = "file = open(folder / 'it', 'wb'); file.write(b'it'); file.flush(); os.fsync(file.fileno())"
FLUSH_FOLDER = "os.fsync(os.open(folder, os.O_RDONLY))"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def power_of(disk: Path, lies: str = "") -> Power:
    return Power(disk, disk.parent, lies=lies)


def run(power: Power | Ext4, disk: Path, program: str) -> None:
    """Run `program` in a process that then ends at once, without closing anything."""
    begin = "import os, sys; from pathlib import Path; folder = Path(sys.argv[1])"
    command: list[Path | str] = [sys.executable, "-c", f"{begin}\n{program}\nos._exit(0)", disk]
    subprocess.run(command, check=True, env={**os.environ, **power.environment}, cwd=CHECKOUT)


def files(disk: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in disk.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("program", "left"),
    [
        ("(folder / 'it').write_bytes(b'it')", {}),
        (FLUSH_FILE, {}),
        (f"(folder / 'it').write_bytes(b'it'); {FLUSH_FOLDER}", {"it": b""}),
        (f"{FLUSH_FILE}; {FLUSH_FOLDER}", {"it": b"it"}),
        (f"{FLUSH_FILE}; {FLUSH_FOLDER}; {OVERWRITE}", {"it": b"it"}),
        (f"{FLUSH_FILE}; {FLUSH_FOLDER}; (folder / 'it').rename(folder / 'other')", {"it": b"it"}),
        (f"{FLUSH_FILE}; {FLUSH_FOLDER}; (folder / 'it').unlink()", {"it": b"it"}),
        (f"{FLUSH_FILE}; {FLUSH_FOLDER}; (folder / 'it').unlink(); (folder / 'new').touch()", {"it": b"it"}),
    ],
)
def test_what_was_not_flushed_is_lost(disk: Path, program: str, left: dict[str, bytes]) -> None:
    power = power_of(disk)
    run(power, disk, program)
    power.cut()
    assert files(disk) == left


def test_some_of_what_was_not_flushed_may_be_left(disk: Path) -> None:
    power = power_of(disk)
    run(power, disk, f"{FLUSH_FILE}; {FLUSH_FOLDER}; {OVERWRITE}; (folder / 'more').touch()")
    power.cut(Random(1))  # noqa: S311 - no secret
    assert files(disk) in [{"it": it, **more} for it in (b"it", b"other") for more in ({}, {"more": b""})]


def test_an_object_of_the_spool_is_left_with_every_folder_that_it_lies_in(disk: Path) -> None:
    power = power_of(disk)
    run(power, disk, f"(folder / 'data').mkdir()\n{PUT}")
    power.cut()
    assert files(disk) == {"1.4.dcm": b"it"}


def test_an_object_is_left_in_a_folder_that_a_process_before_had_no_time_to_flush(disk: Path) -> None:
    power = power_of(disk)
    run(power, disk, "(folder / 'data/spool/studies/1.2/1.3').mkdir(parents=True)")
    run(power, disk, PUT)
    power.cut()
    assert files(disk) == {"1.4.dcm": b"it"}


def test_a_row_is_left(disk: Path) -> None:
    power = power_of(disk)
    run(power, disk, RECORD)
    power.cut()
    database = Database(disk / "node.sqlite")
    assert [found.value for found in receive(database, image())] == ["duplicate"]
    database.close()


@pytest.mark.parametrize(
    ("lies", "program", "left"), [("files", PUT, {"1.4.dcm": b""}), ("folders", PUT, {}), ("database", RECORD, {})]
)
def test_a_disk_that_lies_about_flushing_loses_it(disk: Path, lies: str, program: str, left: dict[str, bytes]) -> None:
    power = power_of(disk, lies)
    run(power, disk, program)
    power.cut()
    assert {name: content for name, content in files(disk).items() if not name.endswith(("-shm", "-turn"))} in (
        left,
        _empty(left),
    )


def _empty(left: dict[str, bytes]) -> dict[str, bytes]:
    return left or {"node.sqlite": b"", "node.sqlite-wal": b""}


@pytest.mark.peer
def test_a_file_system_without_power_has_what_was_flushed(disk: Path) -> None:
    try:
        power = Ext4(disk, disk.parent)
    except subprocess.CalledProcessError as error:
        without(f"a file system cannot be mounted here: {error.stderr.decode().strip()}")
    try:
        run(power, disk, f"(folder / 'data').mkdir()\n{PUT}\n(folder / 'it').write_bytes(b'it')")
        power.cut()
        assert files(disk) == {"1.4.dcm": b"it"}
    finally:
        power.unmount()
