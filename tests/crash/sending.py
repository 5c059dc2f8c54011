"""Share what is to be sent among modalities, start them, and see how far they are."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from random import Random
from typing import Self

from tests.conftest import CHECKOUT
from tests.crash.modality import Note, Plan, notes_in
from tests.crash.studies import MadeUp

AT_A_TIME, BATCH = 8, 10  # studies, objects


class Modalities:
    """The processes that send `studies` to a port, for about so many `seconds`; they end with their context."""

    def __init__(self, folder: Path, port: int, studies: list[MadeUp], seconds: float) -> None:
        self._folder, self._port, self._seconds = folder, port, seconds
        self._total = sum(len(study.files) for study in studies)
        self._studies = studies
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, senders: int, random: Random) -> None:
        """Start so many modalities."""
        for number, batches in enumerate(_batches(self._studies, senders, random)):
            plan = Plan(
                ae_title=f"MODALITY{number}",
                port=self._port,
                batches=batches,
                between_batches=self._seconds / max(1, len(batches)),
                between_objects=0.1,
                breaks_off=0.01,
                seed=random.randrange(2**32),
                notes=str(self._folder / f"modality-{number}.notes"),
            )
            path = self._folder / f"modality-{number}.json"
            path.write_text(json.dumps(asdict(plan)))
            command: list[Path | str] = [sys.executable, "-m", "tests.crash.modality", path]
            with path.with_suffix(".log").open("wb") as log:
                self._processes.append(subprocess.Popen(command, stderr=log, cwd=CHECKOUT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    @property
    def notes(self) -> list[Note]:
        """Return what they have noted until now."""
        return [note for path in sorted(self._folder.glob("*.notes")) for note in notes_in(path)]

    @property
    def left(self) -> int:
        """Return how many objects are still to be sent."""
        return self._total - sum(note.status == 0 for note in self.notes)

    def have_sent(self, objects: int, seconds: float) -> bool:
        """Wait until so many more objects are sent, but no longer than `seconds`; return whether they were."""
        before, deadline = self.left, time.monotonic() + seconds
        while (now := self.left) > before - objects:
            if not now or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def have_ended(self, seconds: float) -> Iterator[str]:
        """Wait until all of them have ended; yield which could not, or ended in another way than they should."""
        deadline = time.monotonic() + seconds
        for number, process in enumerate(self._processes):
            try:
                if code := process.wait(max(0, deadline - time.monotonic())):
                    yield f"modality {number} ended with {code}"
            except subprocess.TimeoutExpired:
                yield f"modality {number} could not send everything within {seconds:g} s after the last kill"


def _batches(studies: list[MadeUp], senders: int, random: Random) -> list[tuple[tuple[str, ...], ...]]:
    """Return what each sender sends, association by association: of eight studies at a time, all of it shuffled."""
    shares: list[list[tuple[str, ...]]] = [[] for _ in range(senders)]
    for start in range(0, len(studies), AT_A_TIME):
        some = studies[start : start + AT_A_TIME]
        spread = _shuffled(chain(*(study.files for study in some if not study.whole)), random)
        batches = [spread[at : at + BATCH] for at in range(0, len(spread), BATCH)]
        batches += [_shuffled(study.files, random) for study in some if study.whole]
        for number, batch in enumerate(random.sample(batches, len(batches))):
            shares[number % senders].append(batch)
    return [tuple(share) for share in shares]


def _shuffled(paths: Iterable[Path], random: Random) -> tuple[str, ...]:
    names = [str(path) for path in paths]
    return tuple(random.sample(names, len(names)))
