"""`dicomnode conformance`: print the DICOM conformance statement."""

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.conformance.statement import statement

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write instead of printing.")
]


def conformance(*, output: OutputOption = None) -> None:
    """Print the DICOM conformance statement of this version (PS3.2) as Markdown.

    Its tables are made from the code that runs: those on what objects hold, from objects that are made for them out of
    made-up studies. It is the same on every machine, and holds for the settings as they come.
    """
    text = statement()
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
