"""`dicomnode send`: send DICOM files to a destination."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dicomnode.sending import Sending, send_paths, target_of
from dicomnode_cli import rows, showing
from dicomnode_cli.echo import DestinationArgument
from dicomnode_cli.options import ConfigOption, load_settings
from dicomnode_cli.rows import JsonOption

_FAILED, _NOTHING = 1, 3


def send(
    destination: DestinationArgument,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", exists=True, help="Files, or folders of them.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send the DICOM files in PATH... to DEST, a DICOM peer, a DICOMweb service or a folder, as they are.

    Files that are no DICOM are named and skipped. Nothing is kept or tried again. Exit codes: 0 all were taken; 1 one
    was not; 3 there was none to send.
    """
    settings = load_settings(config).settings
    target = target_of(destination, settings)
    console = Console(stderr=True)
    with showing.progress_bar(console) as show:
        done = send_paths([path.absolute() for path in paths], target, settings, partial(show, "sending"))
    failed = [one for one in done.sent if one.error]
    if as_json:
        showing.write_json(_document(destination, str(target), done))
    else:
        _tell(str(target), done, console)
    raise typer.Exit(_FAILED if failed else 0 if done.sent else _NOTHING)


def _document(name: str, address: str, done: Sending) -> dict[str, Any]:
    return {
        "destination": name,
        "address": address,
        "sent": [
            {
                "path": str(one.file.path),
                "sop_instance_uid": one.file.sop_uid,
                "taken": one.error is None,
                "status": None if one.status is None else f"0x{one.status:04X}",
                "error": one.error,
            }
            for one in done.sent
        ],
        "skipped": showing.as_json(done.skipped),
    }


def _tell(address: str, done: Sending, aside: Console) -> None:
    for one in done.sent:
        if one.error:
            showing.line(aside, f"failed  {one.file.path}: {one.error}")
        elif one.status:
            showing.line(aside, f"warning  {one.file.path}: status 0x{one.status:04X}")
    showing.list_excluded("skipped", done.skipped, aside)
    taken = sum(1 for one in done.sent if not one.error)
    words = f"{taken} of {showing.count(len(done.sent), 'file')} taken by {address}"
    showing.line(rows.console(), words if done.sent else "there is no DICOM file to send")
