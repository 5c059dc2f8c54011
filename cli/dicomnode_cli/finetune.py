"""`dicomnode finetune`: fine-tune MedSAM-Lite with a site's own truth, and import what comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, Precision
from dicomnode.inference.importing import import_checkpoint
from dicomnode.inference.library import check_name
from dicomnode.inference.windows import ALLOWED, AUTO
from dicomnode.inference.words import few
from dicomnode.training.wishes import EPOCHS, RANDOM, SHARE, FinetuneWish, Frozen, Pace, Sight, Truth, Variation
from dicomnode_cli import models_showing, showing
from dicomnode_cli.models import import_tools, set_default, settings_file_to_change
from dicomnode_cli.options import ConfigOption, load_settings, with_options
from dicomnode_cli.training import ENDED, DeviceOption, PrecisionOption, SeedOption, tell_step, training_module

if TYPE_CHECKING:  # they need torch
    from dicomnode.training.finetuning import Plan
    from dicomnode.training.truths.prepared import PreparedCase


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOptions:
    """Which truth counts, and how it is seen; each field is an option of the command."""

    validation: Annotated[
        str,
        typer.Option(
            "--validation",
            metavar="SHARE|PATH",
            help="The share of the cases to validate on, or other cases: whole ones, never planes of one.",
        ),
    ] = str(SHARE)
    window: Annotated[
        str, typer.Option("--window", metavar="NAME|LEVEL/WIDTH", help=f"Which values are seen: {ALLOWED}.")
    ] = AUTO
    modality: Annotated[
        str, typer.Option("--modality", metavar="NAME", help="Of NIfTI and .npz files; by default CT below -500.")
    ] = ""

    def truth(self, data: Sequence[str]) -> Truth:
        """Return where the truth lies."""
        sight = Sight(window=self.window, modality=self.modality.upper())
        return Truth(data=tuple(data), validation=self.validation, sight=sight)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaceOptions:
    """How long, how fast and where; each field is an option of the command."""

    epochs: Annotated[float, typer.Option("--epochs", metavar="N", min=0.0, help="How often each plane is seen.")] = (
        EPOCHS
    )
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", min=1, help="So many steps instead.")] = None
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Planes a step, on each GPU.")] = 4
    rate: Annotated[float, typer.Option("--rate", metavar="X", help="AdamW's learning rate to begin with.")] = 5e-5
    validate_every: Annotated[
        int | None,
        typer.Option("--validate-every", metavar="N", min=1, help="Steps; by default an epoch, at most 250."),
    ] = None
    box_shift: Annotated[
        int, typer.Option("--box-shift", metavar="N", min=0, help="By how many pixels of 256 boxes are too large.")
    ] = 5
    freeze: Annotated[
        Frozen, typer.Option("--freeze", metavar="PART", help=f"What stays as it is: {', '.join(Frozen)}.")
    ] = Frozen.NOTHING
    device: DeviceOption = Device.AUTO
    precision: PrecisionOption = Precision.AUTO
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", min=1, help="So many GPUs side by side.")] = 1
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=0, help="Processes that load planes ahead.")] = 0
    seed: SeedOption = 0

    def pace(self) -> Pace:
        """Return how long, how fast and where is trained."""
        return Pace(
            epochs=self.epochs,
            steps=self.steps,
            rate=self.rate,
            validate_every=self.validate_every,
            device=self.device,
            precision=self.precision,
            gpus=self.gpus,
            workers=self.workers,
        )

    def variation(self) -> Variation:
        """Return how samples are drawn."""
        return Variation(seed=self.seed, batch=self.batch, box_shift=self.box_shift)


@with_options(which=DataOptions, how=PaceOptions)
def finetune(  # noqa: PLR0913 - an argument an option
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help=f"An imported model, a file of weights, or `{RANDOM}` to start anew."),
    ],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA...", help="Folders and files: DICOM, NIfTI, IMAGE=LABEL of two of these, .npz."),
    ],
    *,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What the new model is called.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="What is kept of the run: curve, checkpoints, cases."),
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in FOLDER, if one is there.")] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Also set model.name in the settings file, so that it is used.")
    ] = False,
    config: ConfigOption = None,
    which: DataOptions,
    how: PaceOptions,
) -> None:
    """Fine-tune the MedSAM-Lite MODEL with the segmentations in DATA, and import the result as NAME.

    Truth is a SEG or RTSTRUCT with its images, a NIfTI image with label maps, or a challenge file with `imgs` and
    `gts`. The best network on cases that were not trained on becomes the model; MODEL stays as it is. Ctrl-C keeps all;
    the same command with --resume goes on. It needs dicomnode[torch].
    """
    settings_file = settings_file_to_change(config) if default else None
    models = load_settings(config).settings.models_folder
    if (models / check_name(name)).exists() and not resume:
        raise SettingsError(f"model {name!r}", f"there is one in {models}; choose another name with --as")
    training, console = training_module("finetuning", "finetune"), Console()
    wish = FinetuneWish(
        model=model,
        truth=which.truth(data),
        folder=output,
        resume=resume,
        frozen=how.freeze,
        pace=how.pace(),
        variation=how.variation(),
    )
    plan = training.plan_of(wish, models, _tell_case)
    _print_plan(plan, training.described, console)
    result = training.finetune(plan, tell_step)
    if not result.finished:
        showing.line(console, f"ended after step {result.step} of {plan.schedule.steps}; --resume goes on")
        raise typer.Exit(ENDED)
    if not result.best.step:
        detail = f"no step was better on what it is validated on: {name} has the weights that it began with"
        showing.line(console, detail)
    imported = import_checkpoint(plan.weights, name, import_tools(models), training.made_by(plan, result))
    if settings_file is not None:
        set_default(settings_file, name)
    models_showing.print_report(models_showing.report(imported, settings_file), console)


def _tell_case(case: "PreparedCase") -> None:
    window = f"{case.modality} in {case.window}"
    labels = few(f"{label} {planes}" for label, planes in case.labels.items())
    typer.echo(f"read {case.name}: {window}, {showing.count(case.planes, 'plane')}: {labels}")


def _print_plan(plan: "Plan", described: Callable[[Sequence["PreparedCase"]], str], console: Console) -> None:
    schedule, wish = plan.schedule, plan.wish
    refused = [one for one in plan.exclusions if one.reason.refuses]
    showing.list_excluded("Not used", refused, console)
    each = f"{showing.count(wish.variation.batch, 'plane')} on {schedule.device.value}"
    many = f" on each of {schedule.gpus}" if schedule.gpus > 1 else ""
    lines = {
        "begins with": f"{plan.beginning.name} {plan.beginning.sha256[:12]}".strip(),
        "train": described(plan.cases.train),
        "validate": described(plan.cases.validation),
        "steps": f"{schedule.steps} of {each}{many}, in {schedule.precision.value}, rate {schedule.rate:g}",
        "frozen": wish.frozen.value,
        "folder": str(wish.folder),
    }
    for key, value in lines.items():
        showing.line(console, f"{key:12} {value}")
