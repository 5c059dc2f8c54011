"""`dicomnode --help` answers at once."""

import resource
import subprocess
import sys
from pathlib import Path

DICOMNODE = Path(sys.executable).parent / "dicomnode"
HEAVY = {
    "dbos",
    "highdicom",
    "numpy",
    "onnxruntime",
    "pydantic",
    "pydicom",
    "pynetdicom",
    "SimpleITK",
    "sqlalchemy",
    "tomlkit",
    "torch",
}


def cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds_of_help() -> float:
    before = cpu_seconds_of_children()
    subprocess.run([DICOMNODE, "--help"], check=True, capture_output=True, timeout=60)
    return cpu_seconds_of_children() - before


def test_help_names_every_command() -> None:
    shown = subprocess.run([DICOMNODE, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert [
        name for name in ("demo", "segment", "inspect", "serve", "conformance", "config") if name not in shown
    ] == []


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", DICOMNODE, "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported & HEAVY == set()


def test_help_takes_less_than_four_tenths_of_a_second_of_cpu() -> None:
    assert min(cpu_seconds_of_help() for _ in range(5)) < 0.4


def test_no_command_shows_the_help_and_a_wrong_one_is_wrong_usage() -> None:
    assert subprocess.run([DICOMNODE], capture_output=True, timeout=60, check=False).returncode == 2
    wrong = subprocess.run([DICOMNODE, "segmnt"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert "Did you mean 'segment'" in wrong.stderr
