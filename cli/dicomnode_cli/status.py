"""`dicomnode status`: say where the node stands."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from dicomnode.overview import Overview, overview
from dicomnode_cli import node_rows, rows, showing, status_showing
from dicomnode_cli.options import ConfigOption

_ATTENTION = 1

WatchOption = Annotated[
    float | None,
    typer.Option("--watch", metavar="SECONDS", min=0.1, help="Show it again every so many seconds, until Ctrl-C."),
]


def status(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="End with exit code 1 where something needs attention, for monitoring.")
    ] = False,
    watch: WatchOption = None,
    as_json: rows.JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say on one screen where the node stands, whether it runs or not.

    Its processes, who sends, which studies wait and why, jobs, deliveries and destinations, and the disk. All of it is
    read from the node's database, which is neither made nor changed.
    """
    if watch is not None:
        if check or as_json:
            raise typer.BadParameter("goes neither with --check nor with --json", param_hint="--watch")
        _watch(watch, config)
        return
    seen = _look(config)
    if as_json:
        showing.write_json(status_showing.document(seen))
    else:
        rows.console().print(status_showing.screen(seen))
    if check and seen.attention:
        raise typer.Exit(_ATTENTION)


def _look(config: Path | None) -> Overview:
    with node_rows.node_database(config) as (database, settings):
        return overview(database, settings)


def _watch(seconds: float, config: Path | None) -> None:
    try:
        with Live(status_showing.screen(_look(config)), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(seconds)
                live.update(status_showing.screen(_look(config)), refresh=True)
    except KeyboardInterrupt:
        return
