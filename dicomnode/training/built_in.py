"""Train the model that comes with the package, from nothing, and write its weights as they are shipped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dicomnode.domain import Exclusion
from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, Precision
from dicomnode.inference.grey import grey_of
from dicomnode.inference.networks.box_unet import BoxUnet
from dicomnode.inference.networks.shipping import write_shipped
from dicomnode.training.box_unet import BoxUnetTask
from dicomnode.training.checkpoints import LATEST_NAME, read_checkpoint
from dicomnode.training.loop import Schedule, Told, train
from dicomnode.training.objects import Labelled, Objects
from dicomnode.training.places import chosen_device, chosen_precision, fastest_on_cpu
from dicomnode.training.truths.case import Case
from dicomnode.training.truths.gathering import cases_in
from dicomnode.training.wishes import Sight

MODEL_FOLDER = "model"
# The rate rises over so many steps; the average of the weights, which is what is shipped, goes back about 700 steps.
WARM_UP, AVERAGE, CLIP = 200, 0.9985, 1.0
EVERY = 400  # steps from one validation to the next


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How `box-unet` is trained.

    `truth` is a folder with a folder for each kind of real cases, of which `real_share` of the samples are taken; None
    for drawn scenes alone. `workers` processes make samples ahead.
    """

    steps: int
    batch: int
    rate: float
    seed: int
    truth: Path | None
    real_share: float
    precision: Precision
    device: Device
    workers: int


class Trained(NamedTuple):
    """What a training came to: the folder with its weights as they are shipped, None where it was ended before."""

    step: int
    folder: Path | None
    sha256: str


def train_built_in(
    plan: Plan, folder: Path, tell: Callable[[Told], None], left_out: Callable[[Exclusion], None]
) -> Trained:
    """Train as `plan` says in `folder`, or go on there; at the end write its weights into it.

    `left_out` hears of each file of the truth that could not be used.
    """
    torch.manual_seed(plan.seed)
    real = Objects.of(_labelled(plan.truth, left_out)) if plan.truth else None
    if real is not None and not real.kinds:
        raise SettingsError(f"truth {str(plan.truth)!r}", "no structure in it is large enough on any plane")
    task = BoxUnetTask(
        network=BoxUnet(), seed=plan.seed, size=plan.batch, real=real, real_share=plan.real_share if real else 0.0
    )
    device = chosen_device(plan.device)
    schedule = Schedule(
        steps=plan.steps,
        rate=plan.rate,
        warm_up=min(WARM_UP, plan.steps),
        ema=AVERAGE,
        clip=CLIP,
        precision=chosen_precision(plan.precision, device, fastest_on_cpu()),
        channels_last=True,
        workers=plan.workers,
        validate_every=EVERY,
        checkpoint_every=EVERY,
        seed=plan.seed,
        device=device,
    )
    result = train(task, schedule, folder, tell)
    if not result.finished:
        return Trained(result.step, None, "")
    (folder / MODEL_FOLDER).mkdir(exist_ok=True)
    kept = read_checkpoint(folder / LATEST_NAME) or {}
    return Trained(result.step, folder / MODEL_FOLDER, write_shipped(kept["average"], folder / MODEL_FOLDER))


def _labelled(truth: Path, left_out: Callable[[Exclusion], None]) -> Iterator[Labelled]:
    """Yield the cases in each folder of `truth`, whose name is their kind."""
    for folder in sorted(one for one in truth.iterdir() if one.is_dir()):
        for case in cases_in([str(folder)], Sight()):
            if isinstance(case, Exclusion):
                left_out(case)
            else:
                yield Labelled(folder.name, _volume(case), [case.masks[name] for name in sorted(case.masks)])


def _volume(case: Case) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the planes of `case` as they are shown, grey: (plane, row, column) float32."""
    return np.stack([grey_of(plane.shown().astype(np.float32, copy=False)) for plane in case.stack.planes])
