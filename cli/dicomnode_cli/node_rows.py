"""Lend the database of a node to commands, and say what they changed in it."""

import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from dicomnode.settings import Settings
from dicomnode.store.commands import Changed
from dicomnode.store.database import Database, opened
from dicomnode_cli import showing
from dicomnode_cli.options import load_settings

_REFUSED = 4


@contextmanager
def node_database(config: Path | None) -> Iterator[tuple[Database, Settings]]:
    """Lend the database of the node that the settings are of, running or stopped, with the settings."""
    settings = load_settings(config).settings
    with opened(settings.node.data_dir) as database:
        yield database, settings


def user() -> str:
    """Return who runs this command, as the system knows them."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as in a container
        return f"uid {number}"


def change(one: Changed) -> dict[str, Any]:
    """Return what became of a command on one thing as JSON has it."""
    return {"before": one.before, "changed": one.refusal is None, "refusal": one.refusal}


def tell_changed(
    told: Sequence[dict[str, Any]], what: str, name: Callable[[dict[str, Any]], str], after: str, *, as_json: bool
) -> None:
    """Print what became of a command on several things, and end with exit code 4 if one was refused."""
    if as_json:
        showing.write_json({what: list(told)})
    elif not told:
        typer.echo(f"there are no such {what}")
    else:
        for row in told:
            became = row["refusal"] or f"was {row['before']}, is {after}"
            typer.echo(f"{name(row)}  {became}", err=not row["changed"])
    if not all(row["changed"] for row in told):
        raise typer.Exit(_REFUSED)
