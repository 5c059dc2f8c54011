"""Measure reading and each step of a job on made-up series beside yardsticks from the same run, and print the ratios.

Run it with `make bench`. Times differ from machine to machine; the ratios are what to compare.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicomnode.dicom.instances import describe
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.results.check import check
from dicomnode.dicom.stack import read_stack
from dicomnode.digests import digest_of
from dicomnode.domain import JobOptions, Mask, Pair, Prompt, Stack
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.runtime import Runtime, load_built_in
from dicomnode.inference.segmenter import segment
from dicomnode.pipeline import Tools, prompts_of
from dicomnode.planning import job_of, plan
from tests.bench.reading import read_apart
from tests.builders import Contour, ct_series, rtstruct, save, set_pixels
from tests.results import segs_of

T = TypeVar("T")

LONG, PLANES, SIDE, STEP, REGIONS, CORNERS = 300, 60, 512, 2.5, 5, 90
REPEATS = 3


def main() -> None:
    """Print the tables."""
    for syntax in (None, RLELossless, JPEGLSLossless, JPEG2000Lossless):
        with TemporaryDirectory() as folder:
            _save_long_series(Path(folder), syntax)
            _compare_readers(Path(folder), syntax.name if syntax else "native")
    with TemporaryDirectory() as folder:
        rows = _measure(_study(Path(folder)))
    sys.stdout.write(f"{PLANES} planes of {SIDE} x {SIDE}, {REGIONS} regions; the best of {REPEATS} runs\n\n")
    for name, seconds, yardstick, yardstick_seconds in rows:
        ratio = seconds / yardstick_seconds
        sys.stdout.write(f"{name:<32}{seconds:8.2f} s   {ratio:6.2f} x {yardstick} ({yardstick_seconds:.2f} s)\n")


def _save_long_series(folder: Path, syntax: UID | None) -> None:
    """Save planes of noise, 20 wide as of a scanner, in `syntax`, or as they are."""
    noise = np.random.default_rng(0).normal(1000, 20, (SIDE, SIDE)).astype(np.int16)
    for number, ds in enumerate(ct_series(planes=LONG, shape=(SIDE, SIDE), step=STEP)):
        set_pixels(ds, np.roll(noise, number, axis=0))
        if syntax:
            ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def _compare_readers(folder: Path, syntax: str) -> None:
    """Print how long a long series takes to read and how much memory, here and with SimpleITK, taking turns."""
    turns = [(read_apart("dicomnode", folder), read_apart("simpleitk", folder)) for _ in range(REPEATS)]
    sys.stdout.write(f"{LONG} planes of {SIDE} x {SIDE}, int16, {syntax}; the best of {REPEATS} processes each\n\n")
    for name, field in (("read the stack", "seconds"), ("find and read it", "whole_seconds")):
        ours, theirs = (min(getattr(turn[side], field) for turn in turns) for side in (0, 1))
        yardstick = "SimpleITK's ImageSeriesReader"
        sys.stdout.write(f"{name:<32}{ours:8.2f} s   {ours / theirs:6.2f} x {yardstick} ({theirs:.2f} s)\n")
    ours, theirs = (max(turn[side].peak_bytes / (2 * turn[side].voxels) for turn in turns) for side in (0, 1))
    sys.stdout.write(f"{'peak memory':<32}{ours:8.2f} x the int16 stack (SimpleITK {theirs:.2f} x)\n\n")


def _measure(pair: Pair) -> list[tuple[str, float, str, float]]:
    runtime = load_built_in("classical")
    with Decoders() as decoders:
        read, stack = _timed(lambda: read_stack(pair.images, decoders))
        job = job_of(pair, JobOptions(), runtime.identity)
        found = prompts_of(job, stack, Tools(runtime=runtime, decoders=decoders))
    segmenting, masks = _timed(lambda: _segment(stack, found.prompts, runtime))
    boxes = sum(len(prompt.boxes) for prompt in found.prompts)
    writing, objects = _timed(lambda: segs_of(masks, stack, pair.annotation, runtime.identity, "1"))
    checking, _ = _timed(lambda: check(objects, masks, stack))
    whole = read + segmenting + writing + checking
    per_plane = segmenting / len({key for prompt in found.prompts for key in prompt.boxes})
    name = f"segment: {1000 * per_plane:.0f} ms a plane, {1000 * segmenting / boxes:.0f} a box"
    return [
        ("read the stack", read, "the whole job", whole),
        (name, segmenting, "the whole job", whole),
        ("write the SEG", writing, "the whole job", whole),
        ("check the SEG", checking, "writing it", writing),
    ]


def _segment(stack: Stack, prompts: Sequence[Prompt], runtime: Runtime) -> tuple[Mask, ...]:
    return segment(stack, prompts, runtime, JobOptions(), cache=FeatureCache(), progress=lambda _done, _total: None)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the least of the wall-clock times that `work` took, and its result."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return min(times), result


def _study(folder: Path) -> Pair:
    """Write a series with an RTSTRUCT into `folder`; return what belongs together."""
    images = ct_series(planes=PLANES, shape=(SIDE, SIDE), step=STEP)
    paths = save(images, folder / "images")
    regions = {
        f"region {number}": [_ellipse(number, plane) for plane in range(5, PLANES - 5)] for number in range(REGIONS)
    }
    (annotation,) = save([rtstruct(images, regions)], folder / "annotation")
    instances = [describe(path, path=path, digest=_digest(path)) for path in (*paths, annotation)]
    return plan(instances).pairs[0]


def _ellipse(number: int, plane: int) -> Contour:
    turns = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    x, y = 120 + 60 * number + 40 * np.cos(turns), 200 + 20 * number + 60 * np.sin(turns)
    return [(float(across), float(down), plane * STEP) for across, down in zip(x, y, strict=True)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return digest_of(file)


if __name__ == "__main__":
    main()
