"""`dicomnode inspect`: say what is in files and folders, and draw it."""

from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomnode.inspecting import InspectedStack, Inspection, inspect_paths
from dicomnode_cli import showing
from dicomnode_cli.options import JsonOption, PathsArgument

OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pictures go.")]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw three orthogonal views of each stack.")]


def inspect(
    paths: PathsArgument,
    *,
    output: OutputOption = Path("inspection"),
    preview: PreviewOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say which stacks the images in PATH... make, where their planes lie, and what makes none and why.

    Every pixel is read, and nothing is written but the pictures of --preview. Exit codes: 0 done; 1 failed; 2 wrong
    usage; 3 there is no stack; 4 something was refused.
    """
    console = Console(stderr=True)
    found = Inspection()
    try:
        with showing.progress_bar(console) as show:
            found = inspect_paths(
                [path.absolute() for path in paths],
                pictures=output.absolute() if preview else None,
                progress=lambda title, done, total: show(f"{title} reading", done, total),
            )
    finally:  # one document, whatever happened
        if as_json:
            showing.write_json(_document(found))
    _tell(found, console if as_json else Console(), console)
    raise typer.Exit(showing.exit_code(found.failures, found.refused, found.stacks))


def _document(found: Inspection) -> dict[str, Any]:
    return {
        "stacks": [_stack(one) for one in found.stacks],
        "refused": showing.as_json(found.refused),
        "set_aside": showing.as_json(found.set_aside),
    }


def _stack(one: InspectedStack) -> dict[str, Any]:
    return {
        "stack": one.key,
        "series_uid": one.series_uid,
        "modality": one.modality,
        "kind": one.kind,
        "split": dict(one.split),
        "facts": [fact.value for fact in one.facts],
        "shape": list(one.shape),
        "spacing": list(one.spacing),
        "planes": [
            {"sop_instance_uid": key.sop_instance_uid, "frame": key.frame, "position": position and list(position)}
            for key, position in one.planes
        ],
        "orientation": one.orientation and list(one.orientation),
        "affine": None if one.affine is None else one.affine.tolist(),
        "notes": list(one.notes),
    }


def _tell(found: Inspection, console: Console, aside: Console) -> None:
    """Show the table of stacks, their pictures and the annotations; then notes, and what failed or was left out."""
    if found.stacks:
        console.print(_table(found))
    for annotation in found.annotations:
        name = f"{annotation.kind.value} ...{annotation.sop_instance_uid[-8:]}"
        meant = [pair for pair in found.pairs if pair.annotation is annotation]
        for pair in meant:
            stack = showing.tail(pair.images.modality, pair.images.key)
            showing.line(console, f"annotation  {name} means {stack}: {pair.evidence}")
        if not meant:
            showing.line(console, f"annotation  {name} means no stack that is here")
    for path in found.pictures:
        showing.line(console, str(path))
    notes = [(showing.tail(one.modality, one.key), note) for one in found.stacks for note in one.notes]
    for first, note in showing.once(notes):
        showing.line(aside, f"note  {first}: {note}")
    for failure in found.failures:
        showing.line(aside, f"failed  {failure}")
    if not found.stacks:
        showing.line(aside, "Found no images that make a stack.")
    showing.list_excluded("refused", found.refused, aside)
    showing.list_excluded("set aside", found.set_aside, aside)


def _table(found: Inspection) -> Table:
    """Return two lines a stack, so that they fit into 80 columns; a rule parts the series."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("stack", no_wrap=True)
    table.add_column("kind")
    table.add_column("planes x rows x columns", justify="right", no_wrap=True)
    table.add_column("facts, told apart by", min_width=19, overflow="fold")
    for _, stacks in groupby(found.stacks, key=lambda one: one.series_uid):
        for one in stacks:
            name = showing.tail(one.modality, one.key)
            size = f"{one.size}\n{one.distances}"
            table.add_row(*map(Text, (name, one.kind, size, "\n".join((*one.facts, *one.told_by)))))
        table.add_section()
    return table
