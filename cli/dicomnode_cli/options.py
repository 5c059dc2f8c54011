"""What several commands share: the option `--config`, and the settings that count where the command runs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.settings import Loaded, Surroundings, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; without it, `dicomnode config show` says which."),
]


def surroundings() -> Surroundings:
    """Return the variables of this process and the folder it runs in."""
    return Surroundings(environment=os.environ, folder=Path.cwd())


def load_settings(explicit: Path | None) -> Loaded:
    """Return the settings that count here."""
    return load(explicit, surroundings())
