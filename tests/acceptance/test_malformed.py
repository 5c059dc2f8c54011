"""Broken files, by accident or on purpose: each is understood, or refused in words, soon and in little memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.attacks import ATTACKS
from tests.endurance import UNDERSTOOD, Crashed, Told, Worker
from tests.mutations import mutant, read_origins
from tests.odd_files import fate_of

MUTANTS = 5_000
BATCH = 50
WORKERS = 2
SECONDS = 10.0  # of work
CLOCK = 20.0  # seconds by a clock, which also counts what else the machine does
NEVER = 60.0  # seconds by a clock after which no answer will come any more
MOST_BYTES = 1 << 30


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.mark.data
def test_every_odd_file_is_understood_or_refused_as_it_should_be(worker: Worker, data_dir: Path) -> None:
    names = [*read_origins(data_dir)]
    fates = {name: inspect(worker, [data_dir / name])[data_dir / name] for name in names}
    assert len(names) > 250
    assert fates == {name: fate_of(name) for name in names}


@pytest.mark.data
def test_thousands_of_damaged_files_are_understood_or_refused(data_dir: Path, tmp_path: Path) -> None:
    origins = tuple(read_origins(data_dir).values())
    shares = [range(number, MUTANTS, WORKERS) for number in range(WORKERS)]
    folders = [tmp_path / str(number) for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        ends = list(pool.map(endure, shares, [origins] * WORKERS, folders))
    wrong = [one for some, _ in ends for one in some]
    fates = sum((counted for _, counted in ends), Counter[str]())
    assert not wrong, f"python -m tests.mutations SEED OUT writes one of {wrong}"
    assert fates.total() == MUTANTS
    assert MUTANTS / 10 < fates[UNDERSTOOD] < MUTANTS / 2, fates


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_asks_for_too_much_is_refused_or_costs_little(worker: Worker, attack: str, tmp_path: Path) -> None:
    make, fates = ATTACKS[attack]
    path = tmp_path / "attack.dcm"
    path.write_bytes(make())
    assert inspect(worker, [path])[path] in fates


@pytest.mark.parametrize("start", [b"", bytes(128) + b"DICM"])
def test_a_huge_file_with_nothing_in_it_is_refused(worker: Worker, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sparse.dcm"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(4 << 30)
    assert inspect(worker, [path])[path] in {"NOT_DICOM", "LIMIT"}


def inspect(worker: Worker, paths: Sequence[Path]) -> Mapping[Path, str]:
    """Return what became of the files at `paths`; Crashed where that took too long or too much."""
    told: Told = worker.inspect(paths, NEVER)
    if told.cpu > SECONDS or told.wall > CLOCK or told.bytes > MOST_BYTES:
        worker.restart()
        raise Crashed(f"{told.cpu:.1f} s of work in {told.wall:.1f} s, {told.bytes >> 20} MiB")
    return told.fates


def endure(seeds: Sequence[int], origins: Sequence[bytes], folder: Path) -> tuple[list[str], Counter[str]]:
    """Inspect the mutants of `seeds`; return what is wrong, by seed, and how many met which fate."""
    wrong: list[str] = []
    fates: Counter[str] = Counter()
    folder.mkdir()
    with Worker() as worker:
        for start in range(0, len(seeds), BATCH):
            paths = [folder / f"{seed}.dcm" for seed in seeds[start : start + BATCH]]
            for path in paths:
                path.write_bytes(mutant(int(path.stem), origins))
            try:
                fates.update(inspect(worker, paths).values())
            except Crashed:
                for path, end in each(worker, paths):
                    fates.update(end.values() if isinstance(end, Mapping) else ())
                    wrong.extend([f"{path.stem}: {end}"] if isinstance(end, Crashed) else ())
            for path in paths:
                path.unlink()
    return wrong, fates


def each(worker: Worker, paths: Iterable[Path]) -> Iterator[tuple[Path, Mapping[Path, str] | Crashed]]:
    """Inspect one file after the other: together something went wrong."""
    for path in paths:
        try:
            yield path, inspect(worker, [path])
        except Crashed as error:
            yield path, error
