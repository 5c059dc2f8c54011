"""Fine-tune LiteMedSAM with a site's own truth, from files to a model that can be imported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch

from dicomnode import __version__
from dicomnode.domain import Exclusion
from dicomnode.errors import Reason, Refused, SettingsError
from dicomnode.inference.engines import Precision
from dicomnode.inference.importing import Made
from dicomnode.inference.lineage import UNKNOWN
from dicomnode.inference.words import few
from dicomnode.training.checkpoints import BEST_NAME, LATEST_NAME
from dicomnode.training.history import HISTORY_NAME, read_history
from dicomnode.training.lite_medsam import LiteMedSamTask, Shown
from dicomnode.training.loop import Result, Schedule, Tail, Told, train
from dicomnode.training.places import chosen_device, chosen_precision
from dicomnode.training.schedule import check_same
from dicomnode.training.starting import Beginning, beginning_of
from dicomnode.training.together import device_of
from dicomnode.training.truths.gathering import cases_in, divide, folder_of, gather
from dicomnode.training.truths.prepared import Cases, PreparedCase, check_prepared, read_cases, write_cases
from dicomnode.training.wishes import FinetuneWish, Pace, Truth, Variation

CASES_NAME, DATA_NAME = "cases.json", "data"
_SETTLING = 2  # planes that a random network's norms are settled on
_MOST_BETWEEN = 250  # steps between two validations


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be done: from where, with which cases, how; and what of the data could not be used."""

    beginning: Beginning
    cases: Cases
    exclusions: tuple[Exclusion, ...]
    schedule: Schedule
    wish: FinetuneWish

    @property
    def weights(self) -> Path:
        """Return where the best weights will lie."""
        return self.wish.folder / BEST_NAME


def plan_of(wish: FinetuneWish, models: Path, tell: Callable[[PreparedCase], None]) -> Plan:
    """Read all truth into the folder of the run and divide it, unless it lies there already; return what will be done.

    `tell` hears of each case that is read. A folder that has a training is a SettingsError without `wish.resume`.
    """
    if (wish.folder / LATEST_NAME).exists() and not wish.resume:
        raise SettingsError(str(wish.folder), "there is a training in it; --resume goes on with it")
    schedule_of(wish.pace, wish.variation, 1)  # what is wrong with it is told before all is read
    beginning = beginning_of(wish.model, models)
    cases, exclusions = _cases(wish, tell)
    planes = sum(case.planes for case in cases.train)
    return Plan(
        beginning=beginning,
        cases=cases,
        exclusions=exclusions,
        schedule=schedule_of(wish.pace, wish.variation, planes),
        wish=wish,
    )


def schedule_of(pace: Pace, variation: Variation, planes: int) -> Schedule:
    """Return how to train on so many `planes`; a GPU that is not there is a SettingsError."""
    epoch = ceil(planes / (variation.batch * pace.gpus))
    steps = pace.steps or ceil(pace.epochs * epoch)
    every = pace.validate_every or min(epoch, _MOST_BETWEEN)
    device = chosen_device(pace.device)
    device_of(device, pace.gpus - 1)
    return Schedule(
        steps=steps,
        rate=pace.rate,
        tail=Tail.PLATEAU,
        precision=chosen_precision(pace.precision, device, Precision.FP32),
        validate_every=every,
        checkpoint_every=every,
        workers=pace.workers,
        seed=variation.seed,
        device=device,
        gpus=pace.gpus,
    )


def finetune(plan: Plan, progress: Callable[[Told], None]) -> Result:
    """Do what `plan` says, or go on with it; for several GPUs `progress` is pickled."""
    shown = [
        Shown([(folder_of(case, plan.wish.folder / DATA_NAME), case) for case in cases])
        for cases in (plan.cases.train, plan.cases.validation)
    ]
    seed = plan.wish.variation.seed
    task = LiteMedSamTask(
        network=plan.beginning.network(seed, _first_planes(shown[0])),
        train=shown[0],
        validation=shown[1],
        variation=plan.wish.variation,
        frozen=plan.wish.frozen,
        begun_from=plan.beginning.sha256 or f"random {seed}",
    )
    return train(task, plan.schedule, plan.wish.folder, progress)


def made_by(plan: Plan, result: Result) -> Made:
    """Return where the weights in the folder of the run come from: the parent, the data, and what came of it."""
    before = read_history(plan.wish.folder / HISTORY_NAME)[0]["validation_loss"]
    figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(result.best.figures.items()))
    parent, each = plan.beginning, plan.wish.variation.batch * plan.schedule.gpus
    named = f"{parent.name}: {parent.origin}" if parent.origin != UNKNOWN else parent.name
    return Made(
        origin=f"fine-tuned from {named}",
        licence=parent.licence,
        training={
            "trained_by": f"dicomnode {__version__}, torch {torch.__version__}",
            "parent": parent.name,
            "parent_sha256": parent.sha256 or "none",
            "train": described(plan.cases.train),
            "validation": described(plan.cases.validation),
            "steps": f"{result.best.step} of {result.step}, {each} planes each",
            "validation_loss": f"{result.best.figures['loss']:.6g}, {before:.6g} before",
            "validation_figures": figures,
        },
    )


def described(cases: Sequence[PreparedCase]) -> str:
    """Return in words how many cases, planes and masks there are, and of which structures."""
    labels = sorted({label for case in cases for label in case.labels})
    planes, masks = sum(case.planes for case in cases), sum(case.objects for case in cases)
    return f"{len(cases)} cases, {planes} planes, {masks} masks of {len(labels)} structures ({few(labels)})"


def _cases(wish: FinetuneWish, tell: Callable[[PreparedCase], None]) -> tuple[Cases, tuple[Exclusion, ...]]:
    """Return the cases in the folder of the run, which are as they were; where there are none yet, gather them."""
    file, settings = wish.folder / CASES_NAME, _settings(wish.truth, wish.variation.seed)
    kept = read_cases(file) if wish.resume else None
    if kept:
        check_same(kept.settings, settings, str(wish.folder))
        for case in (*kept.train, *kept.validation):
            check_prepared(folder_of(case, wish.folder / DATA_NAME), case)
        return kept, ()
    cases, exclusions = _gathered(wish, tell)
    for part in ("train", "validation"):
        if not getattr(cases, part):
            why = f"; {exclusions[0].what}: {exclusions[0].detail}" if exclusions else ""
            raise Refused(Reason.NO_IMAGES, f"data to {part}", f"there is no image with a mask that can be used{why}")
    write_cases(cases, file)
    return cases, exclusions


def _gathered(wish: FinetuneWish, tell: Callable[[PreparedCase], None]) -> tuple[Cases, tuple[Exclusion, ...]]:
    truth, folder, seed = wish.truth, wish.folder / DATA_NAME, wish.variation.seed
    settings, share = _settings(truth, seed), truth.share()
    sources = [cases_in(named, truth.sight) for named in (truth.data, [] if share else [truth.validation])]
    train_on, left_out = gather(sources[0], folder, tell)
    if share:
        parts = divide(train_on, share, seed) if train_on else ([], [])
        return Cases(settings, *parts), tuple(left_out)
    validate_on, others = gather(sources[1], folder, tell)
    groups = {case.group for case in train_on}
    if both := [case.name for case in validate_on if case.group in groups]:
        detail = f"{few(both)}: the same patient or file is among the data to train on"
        raise SettingsError(f"validation {truth.validation}", detail)
    return Cases(settings, train_on, validate_on), (*left_out, *others)


def _settings(truth: Truth, seed: int) -> dict[str, str]:
    return {
        "data": " ".join(truth.data),
        "validation": truth.validation,
        "window": truth.sight.window,
        "modality": truth.sight.modality,
        "seed": str(seed),
    }


def _first_planes(shown: Shown) -> torch.Tensor:
    opened = shown.opened()
    squares = [one.plane(number).square for one in opened for number in range(min(len(one), _SETTLING))]
    return torch.from_numpy(np.stack(squares[:_SETTLING]))
