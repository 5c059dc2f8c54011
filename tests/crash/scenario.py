"""Modalities send, the node is killed and loses its power, the PACS is stopped: then look at what is left of it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from random import Random

from tests.crash import checks
from tests.crash.modality import Note
from tests.crash.pacs import Pacs
from tests.crash.power import Ext4, Power
from tests.crash.sending import Modalities
from tests.crash.served import Served
from tests.crash.studies import MadeUp, made_up

START_SECONDS = 60.0
STARTING, SENDING = 0.25, 0.4  # which part of the kills come while it starts, and while objects come


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How much is to happen; of the kills, `cuts` are losses of power. The times are in seconds."""

    studies: int = 40
    senders: int = 4
    listeners: int = 1
    kills: int = 60
    cuts: int = 0
    pacs_stops: int = 5
    seed: int = 1
    planes: int = 12
    between_kills: float = 3.0  # the mean, from when the node listens
    quiet_seconds: float = 1.5
    incomplete_seconds: float = 600.0
    patience: float = 300.0  # how long it may take to finish once nothing disturbs it any more
    deliveries: tuple[str, ...] = ("verified",)  # in which states a delivery may end
    ext4: bool = False  # whether a real file system loses its power, which takes root
    lies: str = ""  # what the disk does not flush although it is asked for: the check must notice


@dataclass(kw_only=True, slots=True)
class Report:
    """What happened, in numbers, and what is wrong after it."""

    counts: dict[str, int | float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def crash(folder: Path, asked: Asked) -> Report:
    """Let all of it happen in `folder`, an empty one, and report."""
    begun = time.monotonic()
    random = Random(asked.seed)  # noqa: S311 - no secret
    studies = [made_up(number, asked.planes, folder / "studies", random) for number in range(asked.studies)]
    pacs, report = Pacs(folder / "orthanc"), Report()
    node = Served(folder=folder)
    node.prepare(
        pacs.asked.peer,
        quiet_seconds=asked.quiet_seconds,
        incomplete_seconds=asked.incomplete_seconds,
        listeners=asked.listeners,
    )
    with ExitStack() as running:
        running.callback(pacs.end)
        power = running.enter_context(_powered(node, folder, asked))
        seconds = asked.kills * (asked.between_kills + 2.0) * 0.7
        modalities = running.enter_context(Modalities(folder, node.port, studies, seconds))
        running.enter_context(node)
        modalities.start(asked.senders, random)
        node.start()
        report.counts |= _disturb(node, power, pacs, modalities, asked)
        report.findings += _finish(node, modalities, studies, asked)
        report.findings += _findings(node, pacs, studies, modalities.notes, asked)
        report.counts |= _counts(node, pacs, modalities.notes) | {"minutes": round((time.monotonic() - begun) / 60, 1)}
    return report


@contextmanager
def _powered(node: Served, folder: Path, asked: Asked) -> Iterator[Power | Ext4 | None]:
    """Lend the power of the node's disk, if it is to be cut."""
    if not asked.cuts:
        yield None
        return
    power = (Ext4 if asked.ext4 else Power)(node.data.parent, folder, lies=asked.lies)
    node.environment = power.environment
    try:
        yield power
    finally:
        if isinstance(power, Ext4):
            power.unmount()


def _disturb(
    node: Served, power: Power | Ext4 | None, pacs: Pacs, modalities: Modalities, asked: Asked
) -> dict[str, int]:
    """Kill the node, cut its power and stop the PACS, at random moments; return how often it was what."""
    random = Random(asked.seed + 1)  # noqa: S311 - no secret
    cuts = {*random.sample(range(asked.kills), asked.cuts)}
    stops = {(number + 1) * asked.kills // (asked.pacs_stops + 1) for number in range(asked.pacs_stops)}
    starting = sending = lost = 0
    for number in range(asked.kills):
        if number in stops:
            pacs.stop_for(random.uniform(0.5, 5))
        cut, left = number in cuts, asked.kills - number
        moment = random.random()
        if moment < STARTING:
            time.sleep(random.uniform(0, 2.5))
        elif node.waits("node_started", START_SECONDS) and (cut or moment < STARTING + SENDING):
            wanted = random.randint(1, max(1, 2 * modalities.left // left))
            sending += modalities.have_sent(wanted, 4 * asked.between_kills)
            time.sleep(random.uniform(0, 0.02))
        else:
            time.sleep(random.uniform(0, 2 * asked.between_kills))
        starting += not node.has_said("node_started")
        node.kill(group=cut or random.random() < 0.5)
        if power and cut:
            lost += power.cut(random if random.random() < 0.5 else None)
        node.start()
    told = {"kills": asked.kills, "of these while it started": starting, "of these while objects came": sending}
    told["stops of the PACS"] = asked.pacs_stops
    return told | ({"cuts of the power": asked.cuts, "files that a cut lost or changed": lost} if power else {})


def _finish(node: Served, modalities: Modalities, studies: list[MadeUp], asked: Asked) -> Iterator[str]:
    """Let everybody finish, and stop the node; yield who did not."""
    deadline = time.monotonic() + asked.patience
    segs = sum(len(study.wanted) for study in studies)
    yield from modalities.have_ended(asked.patience)
    kept = checks.Kept(data=node.data)
    while left := checks.left_of(kept, asked.deliveries, segs):
        if time.monotonic() > deadline:
            yield f"not done {asked.patience:g} s after the last kill: {left}"
            break
        time.sleep(0.3)
    node.stop()
    yield from (f"the node ended by itself, with {code}" for code in node.ended)


def _findings(node: Served, pacs: Pacs, studies: list[MadeUp], notes: list[Note], asked: Asked) -> Iterator[str]:
    kept, sent = checks.Kept(data=node.data), checks.acknowledged(notes)
    files = {path.stem for study in studies for path in study.files}
    yield from (f"{uid}: never acknowledged" for uid in sorted(files - sent.keys()))
    yield from checks.what_is_lost(kept, sent)
    yield from checks.what_is_left_over(kept)
    yield from checks.what_is_not_done(kept, asked.deliveries)
    yield from checks.what_the_pacs_lacks(pacs.asked, kept, chain(*(study.wanted for study in studies)))
    yield from checks.what_the_log_tells(node.log.read_text())


def _counts(node: Served, pacs: Pacs, notes: list[Note]) -> dict[str, int]:
    kept = checks.Kept(data=node.data)
    count = "SELECT count(*) AS number FROM"
    return {
        "objects acknowledged": len(checks.acknowledged(notes)),
        "sendings without an answer": sum(note.status is None for note in notes),
        "sendings that failed": sum(note.status not in {None, 0} for note in notes),
        "SEGs in the PACS": len(pacs.asked.ask("/tools/find", {"Level": "Instance", "Query": {"Modality": "SEG"}})),
        "jobs": kept.rows(f"{count} job")[0]["number"],
        "deliveries verified": kept.rows(f"{count} delivery WHERE state = 'verified'")[0]["number"],
        "sendings of SEGs": kept.rows("SELECT coalesce(sum(attempts), 0) AS number FROM delivery")[0]["number"],
    }
