"""`dicomnode inspect`: say what is in files and folders, and draw it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomnode.domain import Annotation, PlaneKey, Prompt
from dicomnode.inspecting import InspectedPair, InspectedStack, Inspection, Look, inspect_paths
from dicomnode_cli import showing
from dicomnode_cli.options import (
    ConfigOption,
    JsonOption,
    PathsArgument,
    PromptOptions,
    load_settings,
    with_options,
)

OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pictures go.")]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw three orthogonal views of each stack.")]


@with_options(asked=PromptOptions)
def inspect(
    paths: PathsArgument,
    *,
    output: OutputOption = Path("inspection"),
    preview: PreviewOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    asked: PromptOptions,
) -> None:
    """Say which stacks the images in PATH... make, which prompts the annotations make on them, and what makes none.

    Every pixel is read, and nothing is written but the pictures of --preview. Exit codes: 0 done; 1 failed; 2 wrong
    usage or settings; 3 there is no stack; 4 something was refused.
    """
    settings = load_settings(config).settings
    console = Console(stderr=True)
    found = Inspection()
    try:
        with showing.progress_bar(console) as show:
            look = Look(
                options=asked.over(settings),
                own_results=asked.takes_own_results(settings),
                pictures=output.absolute() if preview else None,
                progress=lambda title, done, total: show(f"{title} reading", done, total),
            )
            found = inspect_paths([path.absolute() for path in paths], look)
    finally:  # one document, whatever happened
        if as_json:
            showing.write_json(_document(found))
    _tell(found, console if as_json else Console(), console)
    raise typer.Exit(showing.exit_code(found.failures, found.refused, found.stacks))


def _document(found: Inspection) -> dict[str, Any]:
    return {
        "stacks": [_stack(one) for one in found.stacks],
        "prompts": [_prompt(read, one) for read in found.pairs for one in read.prompts],
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


def _prompt(read: InspectedPair, prompt: Prompt) -> dict[str, Any]:
    """Return what `segment --boxes` takes for the same prompt again."""
    return {
        "annotation_uid": prompt.source_uid,
        "kind": prompt.source_kind.value,
        "item": prompt.source_item,
        "label": prompt.label,
        "stack": read.pair.images.key,
        "series_uid": read.pair.images.series_uid,
        "paired_by": read.pair.rule.value,
        "boxes": [{**key._asdict(), "box": [box.x0, box.y0, box.x1, box.y1]} for key, box in prompt.boxes.items()],
        "points": [{**key._asdict(), "point": list(one)} for key, points in prompt.points.items() for one in points],
        "codes": {
            "category": asdict(prompt.category),
            "type": asdict(prompt.type),
            "modifiers": [asdict(code) for code in prompt.modifiers],
            "sites": [asdict(code) for code in prompt.sites],
        },
        "notes": list(prompt.notes),
    }


def _tell(found: Inspection, console: Console, aside: Console) -> None:
    """Show the table of stacks, the annotations and the pictures; then notes, and what failed or was left out."""
    if found.stacks:
        console.print(_table(found))
    planes = {one.key: {key: index for index, (key, _) in enumerate(one.planes)} for one in found.stacks}
    for annotation in found.annotations:
        meant = [read for read in found.pairs if read.pair.annotation is annotation]
        for read in meant:
            stack = showing.tail(read.pair.images.modality, read.pair.images.key)
            words = f"means {stack} by {read.pair.rule}: {read.pair.evidence}"
            showing.line(console, f"annotation  {_name(annotation)} {words}")
            for prompt in read.prompts:
                showing.line(console, f"  prompt  {prompt.label}: {_places(prompt, planes[read.pair.images.key])}")
        if not meant:
            showing.line(console, f"annotation  {_name(annotation)} means no stack that is here")
    for path in found.pictures:
        showing.line(console, str(path))
    for first, note in showing.once(_notes(found)):
        showing.line(aside, f"note  {first}: {note}")
    for failure in found.failures:
        showing.line(aside, f"failed  {failure}")
    if not found.stacks:
        showing.line(aside, "Found no images that make a stack.")
    showing.list_excluded("refused", found.refused, aside)
    showing.list_excluded("set aside", found.set_aside, aside)


def _name(annotation: Annotation) -> str:
    return f"{annotation.kind.value} ...{annotation.sop_instance_uid[-8:]}"


def _places(prompt: Prompt, planes: Mapping[PlaneKey, int]) -> str:
    """Return in words on which planes, by their indices, `prompt` has boxes and points."""
    boxes, points = (_ranges(planes[key] for key in keys) for keys in (prompt.boxes, prompt.points))
    return ", ".join(
        f"{things} on plane{'' if where.isdecimal() else 's'} {where}"
        for things, where in (("boxes", boxes), ("points", points))
        if where
    )


def _ranges(indices: Iterable[int]) -> str:
    """Return `indices` in words: 3-5, 8."""
    runs = groupby(enumerate(sorted(indices)), key=lambda one: one[1] - one[0])
    ends = ([index for _, index in run] for _, run in runs)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in ends)


def _notes(found: Inspection) -> Iterator[tuple[str, str]]:
    """Yield each note on a stack, an annotation or a prompt, with what it is about."""
    for stack in found.stacks:
        yield from ((showing.tail(stack.modality, stack.key), note) for note in stack.notes)
    for annotation in found.annotations:
        yield from ((_name(annotation), note) for note in annotation.notes)
    for read in found.pairs:
        for prompt in read.prompts:
            yield from ((f"{_name(read.pair.annotation)} {prompt.label}", note) for note in prompt.notes)


def _table(found: Inspection) -> Table:
    """Return two lines a stack, so that they fit into 80 columns; a rule parts the series."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("stack", no_wrap=True)
    table.add_column("kind", max_width=11)
    table.add_column("planes x rows x columns", justify="right", no_wrap=True)
    table.add_column("facts, told apart by", min_width=19, overflow="fold")
    for _, stacks in groupby(found.stacks, key=lambda one: one.series_uid):
        for one in stacks:
            name = showing.tail(one.modality, one.key)
            size = f"{one.size}\n{one.distances}"
            table.add_row(*map(Text, (name, one.kind, size, "\n".join((*one.facts, *one.told_by)))))
        table.add_section()
    return table
