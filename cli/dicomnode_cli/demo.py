"""`dicomnode demo`: show the whole way on a made-up study."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dicomnode.demo import Demonstration, demonstrate

_LEAST_DICE = 0.90
_FAILED = 1

OutputOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FOLDER", help="Where everything goes; a number is added where it exists."),
]


def demo(*, output: OutputOption = Path("dicomnode-demo")) -> None:
    """Make a CT phantom with an RTSTRUCT, send it to a node, and see its segmentation come back to a PACS.

    Node and PACS run on this machine for as long as it takes, on free ports. The SEG that comes back is compared with
    the phantom's truth and drawn. Exit code 1 if a segment agrees by a Dice of less than 0.90 or lies on a wrong plane.
    """
    console = Console()
    try:
        shown = demonstrate(output, lambda step: console.print(f"{step} ...", style="dim"))
    except TimeoutError as error:
        typer.echo(f"dicomnode: no segmentation came back: {error}", err=True)
        raise typer.Exit(_FAILED) from error
    _tell(shown, console)
    if any(one.dice < _LEAST_DICE or one.wrong_planes for one in shown.comparisons):
        typer.echo(f"dicomnode: a segment agrees by less than {_LEAST_DICE} or lies on a wrong plane", err=True)
        raise typer.Exit(_FAILED)


def _tell(shown: Demonstration, console: Console) -> None:
    steps = Table("step", box=SIMPLE_HEAD)
    steps.add_column("seconds", justify="right")
    for step, seconds in shown.seconds.items():
        steps.add_row(step, f"{seconds:.2f}")
    console.print(steps)
    segments = Table("segment", box=SIMPLE_HEAD)
    for heading in ("Dice", "planes", "wrong planes"):
        segments.add_column(heading, justify="right")
    for one in shown.comparisons:
        segments.add_row(one.label, f"{one.dice:.3f}", str(one.planes), str(one.wrong_planes))
    console.print(segments)
    places = {"study": shown.study, "SEG": shown.seg, "picture": shown.montage, "node's log": shown.log}
    for name, path in places.items():
        console.print(f"{name:12} {path}", soft_wrap=True, highlight=False, markup=False)
