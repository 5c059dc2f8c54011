"""`dicomnode pull`: fetch objects of a source of the settings, for the node or into a folder."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomnode.domain import FetchState, Uid, parse_uid
from dicomnode.errors import Refused
from dicomnode.fetching import wanted_of
from dicomnode.pulling import Pulled, pull_to_folder, pull_to_node
from dicomnode_cli import showing
from dicomnode_cli.options import ConfigOption, JsonOption, load_settings

_FAILED, _NOTHING, _SOME = 1, 3, 4

SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help="The name of a [[sources]] table.")]


def _uids(option: str, texts: list[str] | None) -> tuple[Uid, ...]:
    try:
        return tuple(parse_uid(text, option) for text in texts or ())
    except Refused as error:
        raise typer.BadParameter(error.detail, param_hint=option) from error


def _query(pairs: list[str] | None) -> dict[str, str] | None:
    found = {key: value for key, _, value in (pair.partition("=") for pair in pairs or ())}
    if any(not key or not value for key, value in found.items()):
        raise typer.BadParameter("a query is KEYWORD=VALUE, such as StudyDate=today", param_hint="--query")
    return found or None


def _uid_option(name: str, what: str) -> Any:  # noqa: ANN401 - typer has no type of its own for it
    return typer.Option(name, metavar="UID", help=f"A {what}; may be repeated.")


def pull(  # noqa: PLR0913 - an argument an option
    source: SourceArgument,
    *,
    study: Annotated[list[str] | None, _uid_option("--study", "whole study")] = None,
    series: Annotated[list[str] | None, _uid_option("--series", "whole series")] = None,
    instance: Annotated[list[str] | None, _uid_option("--instance", "single object")] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query",
            metavar="KEYWORD=VALUE",
            help="The studies that match, such as StudyDate=today; may be repeated.",
        ),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option("--modality", metavar="NAME", help="Of studies, only series of this modality; may be repeated."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many studies.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Write files here, without the node.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the node.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Fetch studies, series or single objects of SOURCE for the node, or with --output into a folder.

    A running node does it, and goes on trying if the source is away; where none runs, the command does. Exit codes:
    0 done; 1 failed, or not done yet; 2 wrong usage or settings; 3 nothing was found; 4 not all of it came.
    """
    named = {"studies": _uids("--study", study), "series": _uids("--series", series)}
    named["instances"] = _uids("--instance", instance)
    matched = wanted_of(_query(query), limit, [one.strip().upper() for one in modality or ()])
    if not any(named.values()) and matched.query is None:
        raise typer.BadParameter("say what to fetch: --study, --series, --instance or --query")
    wanted = replace(matched, **named)  # type: ignore[arg-type]
    settings = load_settings(config).settings
    console = Console(stderr=True)
    with showing.progress_bar(console) as show:
        if output is not None:
            pulled = pull_to_folder(settings, source, wanted, output.absolute(), show)
        else:
            pulled = pull_to_node(settings, source, wanted, show, wait=not no_wait)
    if as_json:
        showing.write_json(_document(pulled, output))
    _tell(pulled, console if as_json else Console(), console)
    raise typer.Exit(_exit_code(pulled, waits=not no_wait))


def _exit_code(pulled: Pulled, *, waits: bool) -> int:
    if pulled.state is not FetchState.DONE:
        if not waits and pulled.state in (FetchState.WAITING, FetchState.RUNNING):
            return 0
        return _SOME if pulled.series and pulled.here else _FAILED
    return 0 if pulled.found else _NOTHING


def _document(pulled: Pulled, output: Path | None) -> dict[str, Any]:
    return {
        "source": pulled.source,
        "state": pulled.state.value,
        "found": pulled.found,
        "here": pulled.here,
        "reason": pulled.reason,
        "fetch": pulled.fetch,
        "output": str(output.absolute()) if output else None,
        "series": [
            {
                "study_uid": one.study_uid,
                "series_uid": one.series_uid,
                "kinds": list(one.kinds),
                "found": one.found,
                "here": one.here,
            }
            for one in pulled.series
        ],
    }


def _tell(pulled: Pulled, console: Console, aside: Console) -> None:
    if pulled.series:
        console.print(_table(pulled))
    match pulled.state:
        case FetchState.DONE:
            words = f"{showing.count(pulled.found, 'object')} found, {pulled.here} here"
            showing.line(console, f"{pulled.source}: {words if pulled.found else 'nothing was found'}")
        case FetchState.FAILED:
            showing.line(aside, f"failed  {pulled.reason}")
        case FetchState.WAITING | FetchState.RUNNING:
            then = f"; it is tried again by the node: {pulled.reason}" if pulled.reason else ""
            showing.line(aside, f"fetch {pulled.fetch} is not done yet{then}")


def _table(pulled: Pulled) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("study", "series", "objects"):
        table.add_column(heading, overflow="fold")
    for heading in ("found", "here"):
        table.add_column(heading, justify="right")
    for one in pulled.series:
        names = (f"...{one.study_uid[-10:]}", f"...{one.series_uid[-10:]}", ", ".join(one.kinds))
        table.add_row(*map(Text, names), str(one.found), str(one.here))
    return table
