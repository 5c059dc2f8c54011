"""Segment a study as the published implementation does, with torch in fp32: each plane is encoded anew for each object.

It runs in a process of its own, as that does: `python tests/bench/published.py MODEL_FOLDER MASKS.npy` prints seconds.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.inference.engines import Device, EngineName, EngineWish, Precision, open_engine
from dicomnode.inference.lite_medsam import LiteMedSamRuntime
from tests.bench.scenes import drawn
from tests.values import stack_of

STUDY_PLANES, OBJECTS, OBJECT_PLANES, SIDE = 40, 6, 30, 512
TORCH = EngineWish(engine=EngineName.TORCH, device=Device.CPU, precision=Precision.FP32)


class Study(NamedTuple):
    """A stack and the boxes of the objects on it, (object, plane, 4), from plane `first` on."""

    stack: Stack
    boxes: NDArray[np.float32]
    first: int


def drifting_study() -> Study:
    """Return a stack of a scene that drifts from plane to plane, and its objects' boxes."""
    generator = np.random.default_rng(1)
    scene = drawn(generator, OBJECTS, SIDE)
    first = (STUDY_PLANES - OBJECT_PLANES) // 2
    shifts = [number // 3 for number in range(STUDY_PLANES)]
    noise = (generator.normal(0, 8, scene.image.shape) for _ in shifts)
    planes = [
        np.roll(400 * scene.image - 160 + one, shift, axis=1).astype(np.int16)  # what the window 40/400 shows
        for shift, one in zip(shifts, noise, strict=True)
    ]
    drifted = [scene.boxes + np.array([shift, 0, shift, 0], np.float32) for shift in shifts]
    boxes = np.stack(drifted, axis=1).clip(0, SIDE - 1)
    return Study(stack_of(*planes, slope=1.0, intercept=0.0), boxes[:, first : first + OBJECT_PLANES], first)


def segment_apart(model: Path) -> tuple[float, NDArray[np.bool_]]:
    """Return how many seconds the study takes with `model`, in a new process, and (object, plane, row, column)."""
    with TemporaryDirectory() as folder:
        masks = Path(folder) / "masks.npy"
        done = subprocess.run([sys.executable, __file__, model, masks], capture_output=True, text=True, check=True)
        return float(done.stdout), np.load(masks)


def main(model: Path, masks: Path) -> None:
    """Segment the study; print the seconds, without those that loading takes, and write `masks`."""
    study, runtime = drifting_study(), LiteMedSamRuntime(model.name, "", open_engine(TORCH, model))
    look = runtime.look(study.stack, "auto", reference=False)
    found = np.zeros((OBJECTS, OBJECT_PLANES, SIDE, SIDE), np.bool_)
    started = time.perf_counter()
    for mask, boxes in zip(found, study.boxes, strict=True):
        for number, box in enumerate(boxes):
            (features,) = runtime.encode([look.image(study.stack.planes[study.first + number])], (1.0, 1.0))
            mask[number] = runtime.decode(features, box[np.newaxis].astype(np.float64)).logits[0] > 0
    sys.stdout.write(str(time.perf_counter() - started))
    np.save(masks, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
