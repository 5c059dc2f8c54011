"""The command `dicomnode`: its sub-commands, its exit codes, and how errors are told."""

import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from dicomnode import __version__
from dicomnode.errors import DicomNodeError, SettingsError
from dicomnode_cli.lazy import Lazy, LazyGroup

FAILURE, USAGE = 1, 2


class Commands(LazyGroup):
    """The sub-commands, in the order `--help` shows them."""

    table: ClassVar[Mapping[str, Lazy]] = {
        "demo": Lazy("dicomnode_cli.demo", "demo", "Show the whole way on a made-up study, with a PACS of its own."),
        "inspect": Lazy(
            "dicomnode_cli.inspect", "inspect", "Say which stacks the images in a folder make, and why others do not."
        ),
        "segment": Lazy("dicomnode_cli.segment", "segment", "Segment what is annotated in a folder of DICOM files."),
        "serve": Lazy("dicomnode_cli.serve", "serve", "Listen for studies, segment them, send the results to a PACS."),
        "status": Lazy("dicomnode_cli.status", "status", "Say where the node stands, and what needs attention."),
        "jobs": Lazy("dicomnode_cli.jobs", "app", "List, show, retry and cancel the node's jobs."),
        "deliveries": Lazy("dicomnode_cli.deliveries", "app", "List, show and retry what the node sends."),
        "echo": Lazy("dicomnode_cli.echo", "echo", "Ask whether a destination or source answers."),
        "send": Lazy("dicomnode_cli.send", "send", "Send DICOM files to a destination."),
        "pull": Lazy("dicomnode_cli.pull", "pull", "Fetch objects of a source for the node, or into a folder."),
        "models": Lazy("dicomnode_cli.models", "app", "Import models, and look after them."),
        "train": Lazy("dicomnode_cli.train", "train", "Train the model that comes with the package."),
        "finetune": Lazy(
            "dicomnode_cli.finetune", "finetune", "Fine-tune MedSAM-Lite with a site's own segmentations."
        ),
        "conformance": Lazy(
            "dicomnode_cli.conformance", "conformance", "Print the DICOM conformance statement of this version."
        ),
        "config": Lazy("dicomnode_cli.config", "app", "Make, show, check and change the settings file."),
    }


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 nothing to write, 4 something was refused.",
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's own signature
    if asked:
        typer.echo(f"dicomnode {__version__}")
        raise typer.Exit


@app.callback()
def dicomnode(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Turn annotated DICOM images into DICOM segmentations.

    Images and an annotation in, a SEG out: on a folder with `segment`, or as a DICOM node beside a PACS with `serve`.
    Try `dicomnode demo` first. Not a medical device.
    """


def main() -> None:
    """Run the command line; an error that dicomnode knows is one line on stderr, never a traceback."""
    try:
        app(prog_name="dicomnode")
    except DicomNodeError as error:
        typer.echo(f"dicomnode: {error}", err=True)
        sys.exit(USAGE if isinstance(error, SettingsError) else FAILURE)
    except OSError as error:  # a folder that cannot be written, a full disk: its words name the file
        typer.echo(f"dicomnode: {error}", err=True)
        sys.exit(FAILURE)
