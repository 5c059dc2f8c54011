"""`dicomnode train`: train the model that comes with the package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.domain import Exclusion
from dicomnode.inference.engines import Device, Precision
from dicomnode_cli.options import with_options
from dicomnode_cli.training import ENDED, DeviceOption, PrecisionOption, SeedOption, tell_step, training_module


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """How long, on what and where the model is trained; each field is an option of the command."""

    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="How many batches it is shown.")] = 5000
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Boxes in a batch.")] = 48
    rate: Annotated[float, typer.Option("--rate", metavar="X", help="AdamW's greatest learning rate.")] = 2e-3
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Real images with their truth, a folder in it for each kind: files as for `finetune`.",
        ),
    ] = None
    truth_share: Annotated[
        float, typer.Option("--truth-share", metavar="X", min=0, max=1, help="The share of boxes on these images.")
    ] = 0.4
    device: DeviceOption = Device.AUTO
    precision: PrecisionOption = Precision.AUTO
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=0, help="Processes that draw boxes ahead; no result changes.")
    ] = 1
    seed: SeedOption = 0


@with_options(how=TrainOptions)
def train(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the training is kept, and gone on with.")],
    *,
    how: TrainOptions,
) -> None:
    """Train box-unet from nothing on drawn scenes, and on real images where there are some, in FOLDER.

    A training that was ended, even by a kill, goes on with the same command and comes to the same. FOLDER gets
    history.csv and curve.png with the losses, and at the end model/weights.safetensors, the file that lies in
    models/box-unet. It needs torch: pip install 'dicomnode[torch]'.
    """
    module = training_module("built_in", "train")
    plan = module.Plan(
        steps=how.steps,
        batch=how.batch,
        rate=how.rate,
        seed=how.seed,
        truth=how.truth,
        real_share=how.truth_share,
        precision=how.precision,
        device=how.device,
        workers=how.workers,
    )
    trained = module.train_built_in(plan, folder, tell_step, _left_out)
    if trained.folder is None:
        typer.echo(f"ended after step {trained.step} of {how.steps}; the same command goes on")
        raise typer.Exit(ENDED)
    typer.echo(f"{trained.folder} has the model, its weights are sha256 {trained.sha256}")


def _left_out(exclusion: Exclusion) -> None:
    typer.echo(f"left out: {exclusion.what}: {exclusion.detail}", err=True)
