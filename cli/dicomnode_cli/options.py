"""What several commands share: their arguments and options, and the settings that count where the command runs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.settings import Loaded, Surroundings, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; without it, `dicomnode config show` says which."),
]
PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="PATH...", exists=True, help="Folders or files with images and annotations.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]


def surroundings() -> Surroundings:
    """Return the variables of this process and the folder it runs in."""
    return Surroundings(environment=os.environ, folder=Path.cwd())


def load_settings(explicit: Path | None) -> Loaded:
    """Return the settings that count here."""
    return load(explicit, surroundings())
