"""Measure how fast instances come in and are durable, beside Orthanc and DCMTK's storescp in the same run.

Run it with `make bench`, or with folders on the disks to measure: `python tests/bench/ingest.py FOLDER...`. Instances a
second differ from machine to machine, and a disk in a virtual machine may be throttled after a while; the ratios are
what to compare. TCP_NODELAY=1 and PDUs of 128 KiB are set for everybody.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from pydicom.uid import UID

from dicomnode.network.associations import Peer
from tests import orthanc
from tests.builders import ct_series, save, set_pixels
from tests.conftest import require_program
from tests.serving import free_port, serving, until

INSTANCES, SIDE = 400, 512  # of each sender; 512 KiB of pixels an instance
SENDERS = (1, 4)
TURNS = 3
PDU = 131072
_STARTING = 3.0  # seconds until the node's other processes have started, too
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """A server under measure: where it listens, its process, and what of it is durable when it answers."""

    peer: Peer
    process: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What is measured: how it is started in a new folder, and what it promises."""

    name: str
    start: Callable[[Path, ExitStack], Receiver]
    durable: str


def main() -> None:
    """Print a table for each disk."""
    os.environ["TCP_NODELAY"] = "1"  # of DCMTK, and of Orthanc, which is made with it
    folders: list[Path | None] = [Path(name) for name in sys.argv[1:]] or [None]
    with TemporaryDirectory(prefix="dicomnode-bench-") as made:
        senders = _instances(Path(made))
        for folder in folders:
            with TemporaryDirectory(prefix="dicomnode-bench-", dir=folder) as disk:
                _measure(senders, Path(disk))


def _measure(senders: Sequence[Path], disk: Path) -> None:
    sys.stdout.write(
        f"{INSTANCES} x {SIDE * SIDE * 2 >> 10} KiB a sender; {_kind_of(disk)}; median of {TURNS} turns\n\n"
    )
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for turn in range(TURNS):
        for candidate in CANDIDATES:
            for count in SENDERS:
                result = _one(candidate, senders[:count], disk / f"{turn} {count} {candidate.name}")
                found.setdefault((candidate.name, count), []).append(result)
    for candidate in CANDIDATES:
        for count in SENDERS:
            rates, cpu = zip(*found[candidate.name, count], strict=True)
            ratio = median(rates) / median(rate for rate, _ in found["Orthanc", count])
            line = f"{candidate.name:<23}{count} senders  {median(rates):7.0f}/s [{min(rates):.0f}-{max(rates):.0f}]"
            line += f"  {ratio:5.2f} x Orthanc  {median(cpu):6.2f} ms of CPU an instance  {candidate.durable}"
            sys.stdout.write(line + "\n")
    sys.stdout.write("\n")


def _one(candidate: Candidate, senders: Sequence[Path], folder: Path) -> tuple[float, float]:
    """Return how many instances a second came in, and the server's milliseconds of CPU for each."""
    folder.mkdir()
    with ExitStack() as running:
        receiver = candidate.start(folder, running)
        before, started = _cpu_of(receiver.process), time.perf_counter()
        sending = [_send(sender, receiver.peer) for sender in senders]
        for process in sending:
            if process.wait():  # without a limit, for which it would be asked every 50 ms
                raise RuntimeError(f"{candidate.name} did not take everything")
        seconds, cpu = time.perf_counter() - started, _cpu_of(receiver.process) - before
    shutil.rmtree(folder)
    os.sync()
    count = INSTANCES * len(senders)
    return count / seconds, 1000 * cpu / count


def _send(folder: Path, peer: Peer) -> "subprocess.Popen[bytes]":
    program = require_program("dcmsend")
    where = ["-aec", peer.ae_title, peer.host, str(peer.port)]
    command = [program, "--max-send-pdu", str(PDU), *where, "--scan-directories", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _ours(**asked: object) -> Callable[[Path, ExitStack], Receiver]:
    def start(folder: Path, running: ExitStack) -> Receiver:
        node = serving(folder, quiet_seconds=3600, listener=asked)
        process = running.enter_context(node.running())
        time.sleep(_STARTING)
        return Receiver(peer=node.peer, process=process.pid)

    return start


def _orthanc(folder: Path, running: ExitStack) -> Receiver:
    pacs = running.enter_context(orthanc.running(folder / "pacs", MaximumPduLength=PDU))
    return Receiver(peer=pacs.peer, process=_listening_on(pacs.peer.port))


def _storescp(folder: Path, running: ExitStack) -> Receiver:
    peer = Peer(ae_title="STORESCP", host="127.0.0.1", port=free_port())
    command = [require_program("storescp"), "--fork", "--max-pdu", str(PDU), "-od", str(folder), str(peer.port)]
    process = running.enter_context(_running(command))
    until(lambda: f":{peer.port:04X} " in Path("/proc/net/tcp").read_text(), 10)
    return Receiver(peer=peer, process=process.pid)


@contextmanager
def _running(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def _listening_on(port: int) -> int:
    """Return the process that listens on `port`."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    (socket,) = (f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A")
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(one.readlink()) == socket for one in descriptors.iterdir()):
                return int(descriptors.parent.name)
        except OSError:  # it ended, or is another user's
            continue
    raise RuntimeError(f"nobody listens on port {port}")


def _cpu_of(process: int) -> float:
    """Return the seconds of CPU that `process` used, with its children, those that ended and those that run."""
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], stdout=subprocess.PIPE, check=False).stdout
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it ended meanwhile
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS + sum(_cpu_of(int(child)) for child in told.split())


def _instances(folder: Path) -> list[Path]:
    """Write a folder of distinct instances for each sender."""
    noise = np.random.default_rng(0).normal(1000, 20, (SIDE, SIDE)).astype(np.int16)
    folders = []
    for sender in range(max(SENDERS)):
        images = ct_series(planes=INSTANCES, shape=(SIDE, SIDE), step=1.0)
        for number, ds in enumerate(images):
            uid = UID(f"1.2.826.0.1.{sender}.{number}")
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
            ds.SeriesInstanceUID, ds.StudyInstanceUID = f"1.2.826.0.2.{sender}", f"1.2.826.0.3.{sender}"
            set_pixels(ds, np.roll(noise, number, axis=0))
        save(images, folder / str(sender))
        folders.append(folder / str(sender))
    return folders


def _kind_of(folder: Path) -> str:
    """Return the file system that `folder` lies on."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    device, point, kind = max((one for one in mounts if folder.is_relative_to(one[1])), key=lambda one: len(one[1]))
    return f"{kind} of {device} at {point}"


DURABLE = "file, folder and index on the disk before the answer"
CANDIDATES = (
    Candidate(name="dicomnode", start=_ours(fast=True), durable=DURABLE),
    Candidate(name="dicomnode, 2 listeners", start=_ours(fast=True, processes=2), durable=DURABLE),
    Candidate(name="dicomnode, stock", start=_ours(fast=False), durable=DURABLE),
    Candidate(name="Orthanc", start=_orthanc, durable="file on the disk; its index may be behind it"),
    Candidate(name="storescp", start=_storescp, durable="nothing on the disk, no index"),
)

if __name__ == "__main__":
    main()
