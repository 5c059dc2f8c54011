"""What `train` and `finetune` have in common: torch, which may be missing, and how steps are told."""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device, Precision

if TYPE_CHECKING:  # it needs torch
    from dicomnode.training.loop import Told


ENDED = 1  # the exit code of a training that a signal ended, and that the same command goes on with

DeviceOption = Annotated[Device, typer.Option("--device", metavar="NAME", help=f"Where to train: {', '.join(Device)}.")]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", metavar="NAME", help="What to compute in: auto, fp32, bf16, fp16.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of all that is random.")]


def training_module(name: str, command: str) -> Any:  # noqa: ANN401 - a module
    """Return the module `name` of dicomnode.training; without torch it is a SettingsError that names what installs it.

    `command` is who needs it.
    """
    try:
        return import_module(f"dicomnode.training.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dicomnode"):
            raise
        detail = f"it needs the package {error.name}, which is not installed: pip install 'dicomnode[torch]'"
        raise SettingsError(f"dicomnode {command}", detail) from error


def tell_step(told: "Told") -> None:
    """Print how far the training is; a process of several may be who knows."""
    row, best = told.row, told.best
    figures = f"train {row['train_loss']:.4g}  validation {row['validation_loss']:.4g}"
    dice = f"  Dice {row['validation_mean_dice']:.3f}"
    words = f"step {row['step']:.0f} of {told.steps}  {figures}{dice}  best {best.figures['loss']:.4g} at {best.step}"
    typer.echo(words)
