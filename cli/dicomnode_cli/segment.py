"""`dicomnode segment`: segment what is annotated in files and folders."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dicomnode.domain import Exclusion
from dicomnode.inference.runtime import load_runtime
from dicomnode.offline import Report, Wishes, segment_paths
from dicomnode.pipeline import Step
from dicomnode_cli.options import ConfigOption, load_settings

FAILED, NOTHING_WRITTEN, SOME_REFUSED = 1, 3, 4
_DOING = {Step.READ: "reading", Step.PROMPTS: "prompts", Step.SEGMENT: "segmenting", Step.WRITE: "writing"}
_SHOWN = 20  # of what was set aside; all of it stands in --json

PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="PATH...", exists=True, help="Folders or files with images and annotations.")
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the results go.")]
RoiOption = Annotated[
    str | None, typer.Option("--roi", metavar="REGEX", help="Only regions whose whole name matches, in any case.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model, instead of the settings'.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw a picture beside each result.")]


def segment(  # noqa: PLR0913 - an argument an option
    paths: PathsArgument,
    *,
    output: OutputOption = Path("segmentations"),
    roi: RoiOption = None,
    model: ModelOption = None,
    preview: PreviewOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Segment every annotated region in PATH... and write one DICOM SEG per stack and annotation.

    Images and annotations (RTSTRUCT) may lie in any nesting and have any name. Exit codes: 0 done; 1 failed; 2 wrong
    usage or settings; 3 nothing was written; 4 something was refused, the rest is done.
    """
    settings = load_settings(config).settings
    options = settings.job_options(_pattern(roi))
    runtime = load_runtime(model or settings.model.name)
    console = Console(stderr=True)
    report = Report(stacks=(), annotations=(), results=(), exclusions=())
    try:
        with _progress(console) as progress:
            wishes = Wishes(output=output, options=options, preview=preview, progress=progress)
            report = segment_paths([path.absolute() for path in paths], runtime, wishes)
    finally:  # one document, whatever happened
        if as_json:
            json.dump(_document(report), sys.stdout, indent=2)
            sys.stdout.write("\n")
    _tell(report, console if as_json else Console(), console)
    raise typer.Exit(_exit_code(report))


def _pattern(roi: str | None) -> str | None:
    try:
        re.compile(roi or "")
    except re.error as error:
        raise typer.BadParameter(f"{roi!r} is no regular expression: {error}", param_hint="--roi") from error
    return roi


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    """Show a bar on stderr while someone watches it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("looking", total=1)

        def show(title: str, step: Step, done: int, total: int) -> None:
            bar.update(task, description=f"{title} {_DOING[step]}", completed=done, total=max(total, 1))

        yield show


def _exit_code(report: Report) -> int:
    if report.failures:
        return FAILED
    if report.refused:
        return SOME_REFUSED
    return 0 if report.results else NOTHING_WRITTEN


def _document(report: Report) -> dict[str, Any]:
    return {
        "results": [
            {
                "stack": result.job.images.key,
                "series_uid": result.job.images.series_uid,
                "annotation_uid": result.job.annotation.sop_instance_uid,
                "annotation_kind": result.job.annotation.kind.value,
                "model": result.model,
                "objects": [
                    {"kind": one.kind.value, "path": str(one.path), "sop_instance_uid": one.sop_instance_uid}
                    for one in result.objects
                ],
                "segments": [
                    {
                        "number": one.number,
                        "label": one.label,
                        "voxels": one.voxels,
                        "volume_ml": one.volume_ml,
                        "planes": one.planes,
                    }
                    for one in result.segments
                ],
                "seconds": dict(result.seconds),
            }
            for result in report.results
        ],
        "refused": [_excluded(one) for one in report.refused],
        "set_aside": [_excluded(one) for one in report.set_aside],
    }


def _excluded(one: Exclusion) -> dict[str, str]:
    return {"what": one.what, "reason": one.reason.value, "detail": one.detail}


def _tell(report: Report, console: Console, aside: Console) -> None:
    """Show the table of segments and where they lie; then notes, and what failed, was refused and set aside."""
    if report.results:
        console.print(_table(report))
    for result in report.results:
        for path in (*(one.path for one in result.objects), *([result.preview] if result.preview else [])):
            _line(console, str(path))
    for result in report.results:
        for note in result.notes:
            _line(aside, f"note  {result.objects[0].path.name}: {note}")
    for failure in report.failures:
        _line(aside, f"failed  {failure}")
    if not report.results:
        _line(aside, _nothing(report))
    _list("refused", report.refused, aside)
    _list("set aside", report.set_aside, aside)


def _line(console: Console, words: str) -> None:
    """Print `words` as they are: names and paths may hold what looks like markup."""
    console.print(words, soft_wrap=True, highlight=False, markup=False)


def _table(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("stack", "segment"):
        table.add_column(heading, overflow="fold")
    for heading in ("voxels", "ml", "planes", "seconds"):
        table.add_column(heading, justify="right")
    for result in report.results:
        stack = f"{result.job.images.modality} ...{result.job.images.key[-10:]}"
        for one in result.segments:
            volume = "-" if one.volume_ml is None else f"{one.volume_ml:.2f}"
            seconds = f"{result.seconds['total']:.2f}"
            table.add_row(Text(stack), Text(one.label), str(one.voxels), volume, str(one.planes), seconds)
    return table


def _nothing(report: Report) -> str:
    """Say what was found and what is missing when nothing was written."""
    planes = sum(len(stack.images) for stack in report.stacks)
    modalities = ", ".join(sorted({stack.modality for stack in report.stacks}))
    images = f"{_count(len(report.stacks), 'stack')} of {_count(planes, 'image')} ({modalities})"
    found = images if report.stacks else "no images that make a stack"
    if not report.annotations and not report.stacks:
        return f"Nothing written. Found {found} and no annotation."
    if not report.annotations:
        return f"Nothing written. Found {found}, but no annotation: an RTSTRUCT that refers to the images is needed."
    drawn = _count(len(report.annotations), "annotation")
    return f"Nothing written. Found {found} and {drawn}, but no region that could be segmented: see below."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _list(title: str, excluded: tuple[Exclusion, ...], console: Console) -> None:
    if excluded:
        console.print(f"{title}: {len(excluded)}", style="bold")
    for one in excluded[:_SHOWN]:
        _line(console, f"  {one.reason.value}  {one.what}: {one.detail}")
    if len(excluded) > _SHOWN:
        console.print(f"  ... and {len(excluded) - _SHOWN} more; --json lists them all")
