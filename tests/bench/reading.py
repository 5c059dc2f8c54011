"""Read a series in a process of its own: how long it takes, and how much memory at the most.

`python tests/bench/reading.py dicomnode|simpleitk FOLDER` prints seconds, peak bytes above the start, and voxels.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import SimpleITK

from dicomnode.dicom.files import files_in
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.scan import scan
from dicomnode.dicom.stack import read_stack
from dicomnode.planning import plan


class Reading(NamedTuple):
    """What reading a series took."""

    seconds: float
    whole_seconds: float
    peak_bytes: int
    voxels: int


def read_apart(reader: str, folder: Path) -> Reading:
    """Return what `reader` takes for the series in `folder`, in a new process; `whole_seconds` is with finding it."""
    done = subprocess.run([sys.executable, __file__, reader, folder], capture_output=True, check=True, timeout=600)
    return Reading(*json.loads(done.stdout))


def main(reader: str, folder: Path) -> None:
    """Print the reading as JSON."""
    for file in files_in([folder]):  # so that no reader pays for the disk
        file.read_bytes()
    before = _peak()
    started = time.perf_counter()
    seconds, voxels = _READERS[reader](folder)
    whole = time.perf_counter() - started
    sys.stdout.write(json.dumps(Reading(seconds, whole, _peak() - before, voxels)))


def _with_dicomnode(folder: Path) -> tuple[float, int]:
    instances, _ = scan([folder])
    (images,) = plan(instances).stacks
    started = time.perf_counter()
    with Decoders() as decoders:
        stack = read_stack(images, decoders)
    planes, rows, columns = stack.shape
    return time.perf_counter() - started, planes * rows * columns


def _with_simpleitk(folder: Path) -> tuple[float, int]:
    toolkit: Any = SimpleITK
    reader = toolkit.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    started = time.perf_counter()
    image = reader.Execute()
    return time.perf_counter() - started, image.GetNumberOfPixels()


def _peak() -> int:
    """Return the most memory this process has had, in bytes; getrusage would count its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


_READERS: dict[str, Callable[[Path], tuple[float, int]]] = {
    "dicomnode": _with_dicomnode,
    "simpleitk": _with_simpleitk,
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
