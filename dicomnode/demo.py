"""Show the whole way on a made-up study: a node and a PACS on this machine, images in, a segmentation back."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode import logs
from dicomnode.dicom.phantom import Phantom, write_phantom
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.preview import draw
from dicomnode.dicom.results.seg_reading import read_frames
from dicomnode.dicom.scan import scan
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import Job, JobOptions
from dicomnode.inference.runtime import DEFAULT, load_built_in
from dicomnode.logs import LogFormat, LogLevel
from dicomnode.network.associations import Peer
from dicomnode.network.loopback import Loopback
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.pipeline import Tools, prompts_of
from dicomnode.planning import job_of, plan
from dicomnode.settings import Settings

QUIET_SECONDS = 1.0
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How well a segment of the returned SEG agrees with what is true in the phantom."""

    label: str
    dice: float
    planes: int
    wrong_planes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """Where everything lies, how long each step took in seconds, and how well each segment agrees."""

    folder: Path
    study: Path
    seg: Path
    montage: Path
    log: Path
    seconds: Mapping[str, float]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clock:
    """Tells which step begins and keeps how long each took."""

    tell: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done in here."""
        self.tell(name)
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun


def demonstrate(folder: Path, tell: Callable[[str], None]) -> Demonstration:
    """Run the demonstration in a new folder called `folder`, with a number behind it where that exists already.

    `tell` hears the name of each step as it begins. Raises TimeoutError when no SEG comes back.
    """
    folder = _new(folder)
    clock = _Clock(tell=tell)
    with (folder / "node.log").open("w") as log:
        logs.configure(LogLevel.INFO, LogFormat.TEXT, log)
        return _demonstrate(folder, clock)


def _demonstrate(folder: Path, clock: _Clock) -> Demonstration:
    with clock.step("make the study"):
        phantom = write_phantom(folder / "study")
    with Loopback(folder / "pacs", ae_title="DEMO_PACS") as pacs:
        settings = _settings(folder, pacs.peer)
        with clock.step("start the node"):
            node = Node(settings)
            node.start()
        try:
            here = Peer(ae_title=settings.node.ae_title, host="127.0.0.1", port=node.port)
            with clock.step("send the study"):
                send_all([*phantom.images, phantom.structure_set], here, pacs.peer.ae_title)
            with clock.step(f"segment and return it, after {QUIET_SECONDS:g} s of quiet"):
                seg = pacs.wait_for(1, _PATIENCE_SECONDS)[0]
        finally:
            with clock.step("stop the node"):
                node.stop()
    with clock.step("compare with the truth and draw"):
        comparisons = _compare(phantom, seg, folder / "montage.png")
    return Demonstration(
        folder=folder,
        study=folder / "study",
        seg=seg,
        montage=folder / "montage.png",
        log=folder / "node.log",
        seconds=clock.seconds,
        comparisons=comparisons,
    )


def _new(folder: Path) -> Path:
    """Make and return a folder that did not exist; an older demonstration is never touched."""
    names = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))
    free = next(name for name in names if not name.exists())
    free.mkdir(parents=True)
    return free.absolute()


def _settings(folder: Path, pacs: Peer) -> Settings:
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
    return Settings.model_validate(
        {
            "node": {"data_dir": folder / "node"},
            "listener": {"host": "127.0.0.1", "port": 0},
            "readiness": {"quiet_seconds": QUIET_SECONDS},
            "destinations": [destination],
        }
    )


def _compare(phantom: Phantom, seg: Path, picture: Path) -> tuple[Comparison, ...]:
    """Return the agreement of the SEG that the PACS got with the phantom's truth, and draw it."""
    job = _job(phantom)
    content = seg.read_bytes()
    with Decoders() as decoders:
        stack = read_stack(job.images, decoders)
        prompts = prompts_of(job, stack, Tools(runtime=load_built_in(DEFAULT), decoders=decoders)).prompts
    draw(stack, prompts, [content], picture)
    found = {name: np.zeros(stack.shape, dtype=bool) for name in phantom.truth}
    names = dict(enumerate(phantom.truth, start=1))  # the RTSTRUCT lists the organs in this order
    for frame in read_frames(content, stack, str(seg)):
        found[names[frame.segment]][frame.plane] = frame.inside
    return tuple(_agreement(name, found[name], truth) for name, truth in phantom.truth.items())


def _agreement(name: str, found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Comparison:
    planes, true_planes = found.any(axis=(1, 2)), truth.any(axis=(1, 2))
    both, either = int(np.count_nonzero(found & truth)), int(np.count_nonzero(found) + np.count_nonzero(truth))
    return Comparison(
        label=name,
        dice=2 * both / max(either, 1),
        planes=int(np.count_nonzero(planes)),
        wrong_planes=int(np.count_nonzero(planes != true_planes)),
    )


def _job(phantom: Phantom) -> Job:
    instances, _ = scan([*phantom.images, phantom.structure_set])
    pair = plan(instances).pairs[0]
    return job_of(pair, JobOptions(), load_built_in(DEFAULT).identity)
