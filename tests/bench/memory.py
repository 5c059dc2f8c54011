"""Measure the memory that `dicomnode segment` needs for a long series with prompts on all of its planes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dicomnode.inference.library import ImportedModel
from tests.bench.scenes import drawn
from tests.builders import ct_series, save, set_pixels

PLANES, SIDE, PROMPTS = 300, 512, 5
_KIB, _EVERY = 1024, 0.1  # seconds


def print_memory(model: ImportedModel, folder: Path) -> None:
    """Print the most memory of the command and its children, all with the engine that comes with the package."""
    images = ct_series(planes=PLANES, shape=(SIDE, SIDE))
    scene = drawn(np.random.default_rng(2), PROMPTS, SIDE)
    for number, ds in enumerate(images):
        set_pixels(ds, np.roll(1024 + 400 * scene.image - 160, number, axis=1).astype(np.int16))
    save(images, folder / "series")
    settings = folder / "dicomnode.toml"
    settings.write_text(
        f'[node]\ndata_dir = "{folder}/data"\n[model]\nname = "{model.name}"\nfolder = "{model.folder.parent}"\n'
    )
    series = images[0].SeriesInstanceUID
    boxes = [f"--box={series}@0-{PLANES - 1}:{','.join(f'{number:.1f}' for number in box)}" for box in scene.boxes]
    command: list[str | Path] = [
        Path(sys.executable).with_name("dicomnode"),
        "segment",
        folder / "series",
        "--strategy=static",
    ]
    command += [f"--config={settings}", f"--output={folder / 'out'}", *boxes]
    started = time.perf_counter()
    peak = _peak(command)
    sys.stdout.write(
        f"\nsegment, {PLANES} planes of {SIDE} x {SIDE}, {PROMPTS} boxes on each: {peak / 2**30:.2f} GiB at the most,"
        f" {time.perf_counter() - started:.0f} s\n"
    )


def _peak(command: list[str | Path]) -> int:
    """Return the most bytes that the processes of `command` had, the most of each added up."""
    process = subprocess.Popen(command)
    most: dict[int, int] = {}
    while process.poll() is None:
        for number in (process.pid, *_children(process.pid)):
            most[number] = max(most.get(number, 0), _high_water(number))
        time.sleep(_EVERY)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return sum(most.values())


def _children(number: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{number}/task").glob("*/children"):
        found += map(int, _text(thread).split())
    return found


def _high_water(number: int) -> int:
    lines = _text(Path(f"/proc/{number}/status")).splitlines()
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("VmHWM:")), 0)


def _text(path: Path) -> str:
    """Return what the kernel says there, '' where the process has ended meanwhile."""
    try:
        return path.read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return ""
