"""`dicomnode segment`: segment what is annotated in files and folders."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomnode.dicom.prompts.written import WrittenBox, parse_box
from dicomnode.dicom.prompts.written_files import parse_boxes_file
from dicomnode.domain import SEG_ONLY, ObjectKind
from dicomnode.errors import Refused
from dicomnode.offline import Report, Result, Wishes, segment_paths
from dicomnode.pipeline import Step
from dicomnode_cli import showing
from dicomnode_cli.options import (
    ConfigOption,
    JsonOption,
    PathsArgument,
    PromptOptions,
    StrategyOptions,
    load_settings,
    with_options,
)

_DOING = {Step.READ: "reading", Step.PROMPTS: "prompts", Step.SEGMENT: "segmenting", Step.WRITE: "writing"}

BoxOption = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="TARGET@PLANE:x0,y0,x1,y1", help="A box; PLANE may be a range, such as 3-7."),
]
BoxesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--boxes",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A JSON file with boxes, or what `dicomnode inspect --json` prints.",
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model, instead of the settings'.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultOptions:
    """Which results are wanted, and where; each field is an option of the command."""

    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the results go.")] = Path(
        "segmentations"
    )
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Which results to write: seg, results, planning, preview, all, or a profile of the settings.",
        ),
    ] = SEG_ONLY.name
    preview: Annotated[bool, typer.Option("--preview", help="Draw a picture beside each result.")] = False
    nifti: Annotated[
        bool, typer.Option("--nifti", help="Also write each segment as a NIfTI mask, where the stack is regular.")
    ] = False


@with_options(wanted=ResultOptions, asked=PromptOptions, how=StrategyOptions)
def segment(  # noqa: PLR0913 - an argument an option
    paths: PathsArgument,
    *,
    box: BoxOption = None,
    boxes: BoxesOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    wanted: ResultOptions,
    asked: PromptOptions,
    how: StrategyOptions,
) -> None:
    """Segment every annotated region in PATH... and write a DICOM SEG for each stack and annotation.

    With --profile also other results: structured reports, RTSTRUCT, pictures; or the SEG in another form.
    Images and annotations (RTSTRUCT, SR, SEG, presentation states) may lie in any nesting and have any name; boxes may
    stand in for annotations. Exit codes: 0 done; 1 failed; 2 wrong usage or settings; 3 nothing was written;
    4 something was refused, the rest is done.
    """
    written = _written(box or (), boxes or ())
    settings = load_settings(config).settings
    wishes = Wishes(
        output=wanted.output,
        options=how.over(asked.over(settings)),
        preview=wanted.preview,
        profile=settings.profile(wanted.profile),
        boxes=written,
        own_results=asked.takes_own_results(settings),
        nifti=wanted.nifti,
    )
    runtime = how.model(model, settings)()
    console = Console(stderr=True)
    report = Report(stacks=(), annotations=(), results=(), exclusions=())
    try:
        with showing.progress_bar(console) as show:
            told = replace(wishes, progress=partial(_show, show))
            report = segment_paths([path.absolute() for path in paths], runtime, told)
    finally:  # one document, whatever happened
        if as_json:
            showing.write_json(_document(report))
    _tell(report, console if as_json else Console(), console)
    raise typer.Exit(showing.exit_code(report.failures, report.refused, report.results))


def _show(show: Callable[[str, int, int], None], title: str, step: Step, done: int, total: int) -> None:
    show(f"{title} {_DOING[step]}", done, total)


def _written(texts: Sequence[str], files: Sequence[Path]) -> tuple[WrittenBox, ...]:
    """Return the boxes that are written on the command line and in `files`; what is no box is wrong usage."""
    try:
        return (*map(parse_box, texts), *(one for file in files for one in parse_boxes_file(file)))
    except Refused as error:
        raise typer.BadParameter(f"{error.what}: {error.detail}", param_hint="--box or --boxes") from error


def _document(report: Report) -> dict[str, Any]:
    return {
        "results": [
            {
                "stack": result.job.images.key,
                "series_uid": result.job.images.series_uid,
                "annotation_uid": result.job.annotation.sop_instance_uid,
                "annotation_kind": result.job.annotation.kind.value,
                "model": result.model.name,
                "made_with": dict(result.model.parameters),
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
                        "quality": one.quality,
                        "made_with": dict(one.parameters),
                        "nifti": str(result.volumes[one.number]) if one.number in result.volumes else None,
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
        for words in _files(result):
            showing.line(console, words)
    for result in report.results:
        for note in result.notes:
            showing.line(aside, f"note  {result.objects[0].path.name}: {note}")
    for failure in report.failures:
        showing.line(aside, f"failed  {failure}")
    if not report.results:
        showing.line(aside, _nothing(report))
    showing.list_excluded("refused", report.refused, aside)
    showing.list_excluded("set aside", report.set_aside, aside)


def _files(result: Result) -> Iterator[str]:
    """Yield where each object, volume and picture lies; the pictures of a secondary capture series are one line."""
    series = [one.path for one in result.objects if one.kind is ObjectKind.SC]
    yield from (str(one.path) for one in result.objects if one.kind is not ObjectKind.SC)
    if series:
        yield f"{series[0]}" + (f" to {series[-1].name}, {len(series)} pictures" if len(series) > 1 else "")
    yield from (str(path) for path in (*result.volumes.values(), *([result.preview] if result.preview else [])))


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
        needed = "one that refers to the images is needed, or a --box"
        return f"Nothing written. Found {found}, but no annotation that can be used: {needed}."
    drawn = showing.count(len(report.annotations), "annotation")
    return f"Nothing written. Found {found} and {drawn}, but no region that could be segmented: see below."
