"""Measure the engines: a plane and a further box on LiteMedSAM and `box-unet`, a whole study, and memory.

`make bench` runs it with random weights, on which no time depends. `python tests/bench/inference.py CHECKPOINT` takes
others and compares the masks too; tests/bench/training.py makes some. Ratios are to torch's fp32 in the same turns.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, JobOptions, Mask, Prompt, Stack, Strategy
from dicomnode.errors import SettingsError
from dicomnode.inference.benching import Timing, Timings, bench, wishes
from dicomnode.inference.engines import EngineName, EngineWish, Precision, open_engine
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.importing import ImportTools, import_model
from dicomnode.inference.library import ImportedModel, shipped_model
from dicomnode.inference.lite_medsam import LiteMedSamRuntime
from dicomnode.inference.probing import probe_model
from dicomnode.inference.quantizing import make_int8, quantize_model
from dicomnode.inference.safetensors_file import write_weights
from dicomnode.inference.segmenter import segment
from tests.bench.memory import print_memory
from tests.bench.published import (
    OBJECT_PLANES,
    OBJECTS,
    SIDE,
    STUDY_PLANES,
    TORCH,
    Study,
    drifting_study,
    segment_apart,
)
from tests.bench.scenes import Scene, bodies, drawn
from tests.values import prompt, solid, stack_of
from tests.weights import GRAPHS, lite_medsam_layout, random_weights

ROUNDS, BUILT_IN_ROUNDS = 5, 50
ENCODE_OPERATIONS = 75.5e9  # multiplications and additions of one encode, as PyTorch counts them
CALIBRATION = 32  # planes
SCENES = 8
FAST = (
    EngineWish(engine=EngineName.ONNX),
    EngineWish(engine=EngineName.OPENVINO, precision=Precision.BF16),
    EngineWish(engine=EngineName.OPENVINO, precision=Precision.INT8),
)


def main(checkpoint: Path | None) -> None:
    """Print the tables."""
    with TemporaryDirectory() as folder:
        model = _model(Path(folder), checkpoint)
        timings = bench(model, ROUNDS, _say_round)
        _print_engines(timings)
        _print_built_in(bench(shipped_model("box-unet"), BUILT_IN_ROUNDS, _say_round), timings)
        _print_study(model, compare=checkpoint is not None)
        if checkpoint is not None:
            _print_masks(model)
            _print_strategies(model)
        print_memory(model, Path(folder))


def _model(folder: Path, checkpoint: Path | None) -> ImportedModel:
    """Import `checkpoint`, or random weights, as the model `bench`, and make its int8 form where that can be made."""
    if checkpoint is None:
        checkpoint = folder / "random.safetensors"
        write_weights(checkpoint, lite_medsam_layout(), random_weights(1))
    tools = ImportTools(models=folder / "models", catalog={}, probe=probe_model, shipped=GRAPHS)
    model = import_model([checkpoint], "bench", tools).model
    return quantize_model(model, _squares(), make_int8) if find_spec("nncf") else model


def _squares() -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    scenes = (drawn(generator, OBJECTS) for _ in range(CALIBRATION))
    return [np.repeat(scene.image[np.newaxis], 3, axis=0) for scene in scenes]


# --- a plane and a box ----------------------------------------------------------------------------------------------


def _say_round(done: int, total: int) -> None:
    sys.stderr.write(f"\rround {done}/{total} ")


def _print_engines(found: Timings) -> None:
    """Print a line for each engine and precision."""
    eager = next((one for one in found.timings if _is_eager(one)), None)
    rate = found.rate
    sys.stdout.write(
        f"one plane, one box; the best of {ROUNDS} turns; a matrix product runs at {rate:.0f} GFLOP/s in fp32\n\n"
    )
    for one in found.timings:
        share = ENCODE_OPERATIONS / one.encode / 1e9
        ratio = f"{eager.encode / one.encode:5.2f} x torch fp32" if eager else ""
        name = f"{one.identity.engine} {one.identity.precision} {one.identity.device}"
        sys.stdout.write(
            f"{name:<24}{1000 * one.encode:8.1f} ms a plane {share:6.0f} GFLOP/s   {ratio}"
            f"   a further box {1000 * one.box:6.1f} ms\n"
        )
    sys.stdout.writelines(f"left out: {sentence}\n" for sentence in found.left_out)


def _print_built_in(found: Timings, lite_medsam: Timings) -> None:
    """Print a line for each engine and precision of the model that comes along, beside LiteMedSAM's encoder there."""
    sys.stdout.write(
        f"\nbox-unet: one box on a plane of 512 x 512, from its values to its mask; the best of {BUILT_IN_ROUNDS}\n\n"
    )
    encodes = {_where(one): one.encode for one in lite_medsam.timings}
    for one in found.timings:
        encode = encodes.get(_where(one))
        ratio = f"1/{encode / one.encode:.0f} of an encode of LiteMedSAM" if encode else ""
        sys.stdout.write(
            f"{' '.join(_where(one)):<24}{1000 * one.encode:8.2f} ms a plane   a further box {1000 * one.box:6.2f} ms"
            f"   {ratio}\n"
        )


def _where(one: Timing) -> tuple[str, str, str]:
    identity = one.identity
    return identity.engine.value, identity.precision.value, identity.device.value


def _is_eager(one: Timing) -> bool:
    identity = one.identity
    return (identity.engine, identity.precision, identity.device) == (TORCH.engine, TORCH.precision, TORCH.device)


# --- a study --------------------------------------------------------------------------------------------------------


def _print_study(model: ImportedModel, *, compare: bool) -> None:
    """Print how long a study takes on each engine, and by the published algorithm, which encodes for each object."""
    if find_spec("torch") is None:
        sys.stdout.write("\nno study: it is compared with torch, which is not installed\n")
        return
    study = drifting_study()
    published, expected = segment_apart(model.folder)
    sys.stdout.write(
        f"\n{STUDY_PLANES} planes of {SIDE} x {SIDE}, {OBJECTS} objects on {OBJECT_PLANES} of them\n\n"
        f"{'an encode for each object, torch':<34}{published:8.1f} s\n"
    )
    for wish in FAST:
        try:
            runtime = _runtime(model, wish)
        except SettingsError as error:
            sys.stdout.write(f"left out: {error}\n")
            continue
        seconds, masks = min((_timed(study, runtime) for _ in range(2)), key=lambda one: one[0])
        overlaps = [
            _dice(mask.planes, dict(enumerate(one, study.first))) for mask, one in zip(masks, expected, strict=True)
        ]
        same = f"   the same masks to Dice {min(overlaps):.4f} at the least" if compare else ""
        chosen = dict(runtime.identity.parameters)
        name = f"{chosen['engine']} {chosen['precision']}"
        sys.stdout.write(f"{name:<34}{seconds:8.1f} s   {published / seconds:6.1f} x faster{same}\n")


def _timed(study: Study, runtime: LiteMedSamRuntime) -> tuple[float, tuple[Mask, ...]]:
    """Return how long `segment` takes with nothing in the cache, and its masks."""
    planes = study.stack.planes[study.first : study.first + OBJECT_PLANES]
    prompts = [
        prompt({plane.key: _box(*box) for plane, box in zip(planes, boxes.tolist(), strict=True)})
        for boxes in study.boxes
    ]
    started = time.perf_counter()
    masks = segment(study.stack, prompts, runtime, JobOptions(), cache=FeatureCache(), progress=lambda *_: None)
    return time.perf_counter() - started, masks


def _box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def _runtime(model: ImportedModel, wish: EngineWish) -> LiteMedSamRuntime:
    return LiteMedSamRuntime(model.name, model.lineage.weights_sha256, open_engine(wish, model.folder))


def _dice(one: Mapping[int, NDArray[np.bool_]], other: Mapping[int, NDArray[np.bool_]]) -> float:
    """Return the overlap of two masks by plane index."""
    planes = one.keys() | other.keys()
    empty = np.zeros_like(next(iter(other.values())))
    return _overlap(*(np.stack([mask.get(index, empty) for index in planes]) for mask in (one, other)))


# --- masks ----------------------------------------------------------------------------------------------------------


def _print_masks(model: ImportedModel) -> None:
    """Print how far the masks of each engine and precision are those of torch in fp32, on scenes not trained on."""
    generator = np.random.default_rng(77)
    scenes = [drawn(generator, OBJECTS) for _ in range(SCENES)]
    expected = _masks(scenes, TORCH, model)
    truth = [
        _overlap(one, other) for one, other in zip(expected, np.concatenate([s.masks for s in scenes]), strict=True)
    ]
    sys.stdout.write(
        f"\n{len(truth)} objects; Dice of torch fp32 to what was drawn {np.mean(truth):.3f}, of others to it\n\n"
    )
    for wish in wishes():
        try:
            found = _masks(scenes, wish, model)
        except SettingsError:  # this machine has it not
            continue
        overlaps = [_overlap(one, other) for one, other in zip(found, expected, strict=True)]
        name = f"{wish.engine} {wish.precision} {wish.device}"
        sys.stdout.write(f"{name:<24}{np.mean(overlaps):.4f} (worst {min(overlaps):.4f})\n")


def _masks(scenes: Sequence[Scene], wish: EngineWish, model: ImportedModel) -> NDArray[np.bool_]:
    """Return the masks of all objects, (object, row, column)."""
    engine = open_engine(wish, model.folder)
    found = []
    for scene in scenes:
        (features,) = engine.encode(np.repeat(scene.image[np.newaxis, np.newaxis], 3, axis=1))
        found.append(engine.decode(features, scene.boxes)[0] > 0)
    return np.concatenate(found)


def _print_strategies(model: ImportedModel) -> None:
    """Print how well each strategy finds bodies in one 3-D box each, which reaches two planes beyond them."""
    volume, bodies_drawn = bodies(np.random.default_rng(5))
    stack = stack_of(*(400 * volume - 160).astype(np.int16), slope=1.0, intercept=0.0)
    prompts = [_round(mask, stack) for mask in bodies_drawn]
    runtime, cache = _runtime(model, EngineWish()), FeatureCache()
    sys.stdout.write(f"\n{len(prompts)} bodies in a 3-D box each\n\n")
    for strategy in (Strategy.PROPAGATE, Strategy.STATIC, Strategy.TRIPLANAR_VOTE, Strategy.THREE_VIEW):
        options = JobOptions(strategy=strategy)
        masks = segment(stack, prompts, runtime, options, cache=cache, progress=lambda *_: None)
        overlaps = [_dice(mask.planes, dict(enumerate(body))) for mask, body in zip(masks, bodies_drawn, strict=True)]
        sys.stdout.write(f"{strategy:<24}Dice {', '.join(f'{one:.3f}' for one in overlaps)}\n")


def _round(mask: NDArray[np.bool_], stack: Stack) -> Prompt:
    """Return the prompt of the box round `mask`, (plane, row, column), and two planes more at each end."""
    (first, *_, last), (top, *_, bottom), (left, *_, right) = (np.unique(axis).tolist() for axis in np.nonzero(mask))
    box = _box(left - 0.5, top - 0.5, right + 0.5, bottom + 0.5)
    return solid(stack, max(0, first - 2), min(len(mask) - 1, last + 2), box)


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks."""
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
