"""`dicomnode segment`: segment what is annotated in files and folders."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomnode.inference.runtime import load_runtime
from dicomnode.offline import Report, Wishes, segment_paths
from dicomnode.pipeline import Step
from dicomnode_cli import showing
from dicomnode_cli.options import ConfigOption, JsonOption, PathsArgument, load_settings

_DOING = {Step.READ: "reading", Step.PROMPTS: "prompts", Step.SEGMENT: "segmenting", Step.WRITE: "writing"}

OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the results go.")]
RoiOption = Annotated[
    str | None, typer.Option("--roi", metavar="REGEX", help="Only regions whose whole name matches, in any case.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model, instead of the settings'.")
]
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
        with showing.progress_bar(console) as show:

            def progress(title: str, step: Step, done: int, total: int) -> None:
                show(f"{title} {_DOING[step]}", done, total)

            wishes = Wishes(output=output, options=options, preview=preview, progress=progress)
            report = segment_paths([path.absolute() for path in paths], runtime, wishes)
    finally:  # one document, whatever happened
        if as_json:
            showing.write_json(_document(report))
    _tell(report, console if as_json else Console(), console)
    raise typer.Exit(showing.exit_code(report.failures, report.refused, report.results))


def _pattern(roi: str | None) -> str | None:
    try:
        re.compile(roi or "")
    except re.error as error:
        raise typer.BadParameter(f"{roi!r} is no regular expression: {error}", param_hint="--roi") from error
    return roi


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
        "refused": showing.as_json(report.refused),
        "set_aside": showing.as_json(report.set_aside),
    }


def _tell(report: Report, console: Console, aside: Console) -> None:
    """Show the table of segments and where they lie; then notes, and what failed, was refused and set aside."""
    if report.results:
        console.print(_table(report))
    for result in report.results:
        for path in (*(one.path for one in result.objects), *([result.preview] if result.preview else [])):
            showing.line(console, str(path))
    for result in report.results:
        for note in result.notes:
            showing.line(aside, f"note  {result.objects[0].path.name}: {note}")
    for failure in report.failures:
        showing.line(aside, f"failed  {failure}")
    if not report.results:
        showing.line(aside, _nothing(report))
    showing.list_excluded("refused", report.refused, aside)
    showing.list_excluded("set aside", report.set_aside, aside)


def _table(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("stack", "segment"):
        table.add_column(heading, overflow="fold")
    for heading in ("voxels", "ml", "planes", "seconds"):
        table.add_column(heading, justify="right")
    for result in report.results:
        stack = showing.tail(result.job.images.modality, result.job.images.key)
        for one in result.segments:
            volume = "-" if one.volume_ml is None else f"{one.volume_ml:.2f}"
            seconds = f"{result.seconds['total']:.2f}"
            table.add_row(Text(stack), Text(one.label), str(one.voxels), volume, str(one.planes), seconds)
    return table


def _nothing(report: Report) -> str:
    """Say what was found and what is missing when nothing was written."""
    planes = sum(len(stack.images) for stack in report.stacks)
    modalities = ", ".join(sorted({stack.modality for stack in report.stacks}))
    images = f"{showing.count(len(report.stacks), 'stack')} of {showing.count(planes, 'image')} ({modalities})"
    found = images if report.stacks else "no images that make a stack"
    if not report.annotations and not report.stacks:
        return f"Nothing written. Found {found} and no annotation."
    if not report.annotations:
        return f"Nothing written. Found {found}, but no annotation: an RTSTRUCT that refers to the images is needed."
    drawn = showing.count(len(report.annotations), "annotation")
    return f"Nothing written. Found {found} and {drawn}, but no region that could be segmented: see below."
