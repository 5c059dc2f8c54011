"""`dicomnode echo`: ask whether a destination or source answers."""

from typing import Annotated, Any

import typer

from dicomnode.errors import DicomNodeError
from dicomnode.network.echo import Answer
from dicomnode.sending import FolderAnswer, Target, WebAnswer, ask, target_of
from dicomnode_cli import rows, showing
from dicomnode_cli.options import ConfigOption, load_settings
from dicomnode_cli.rows import JsonOption

DestinationArgument = Annotated[
    str,
    typer.Argument(metavar="DEST", help="A destination or source of the settings, or AE@HOST:PORT."),
]

_GIB = 2**30


def echo(destination: DestinationArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Ask whether DEST is there, and what it takes.

    A DICOM node is asked by C-ECHO, a DICOMweb service for one study, and a folder is written to. Exit code 1 where it
    does not answer or does not want to: the error says what may help.
    """
    settings = load_settings(config).settings
    target = target_of(destination, settings)
    try:
        answer = ask(target, settings)
    except DicomNodeError as error:
        if as_json:
            showing.write_json(_document(destination, target, None, str(error)))
        raise
    if as_json:
        showing.write_json(_document(destination, target, answer, None))
        return
    for words in _lines(target, answer):
        showing.line(rows.console(), words)


def _document(
    name: str, target: Target, answer: Answer | WebAnswer | FolderAnswer | None, error: str | None
) -> dict[str, Any]:
    found: dict[str, Any] = {} if answer is None else rows.plain(answer)
    return {
        "destination": name,
        "address": str(target),
        "answers": error is None,
        "error": error,
        "answer": found or None,
    }


def _lines(target: Target, answer: Answer | WebAnswer | FolderAnswer) -> list[str]:
    match answer:
        case FolderAnswer():
            return [f"the folder {target} can be written; {answer.free_bytes / _GIB:.1f} GiB are free"]
        case WebAnswer():
            return [f"{target} answers, after {_ms(answer.seconds)}"]
        case Answer():
            return _lines_of_peer(target, answer)


def _lines_of_peer(target: Target, answer: Answer) -> list[str]:
    echoed = "takes no C-ECHO" if answer.echo_seconds is None else f"C-ECHO after {_ms(answer.echo_seconds)}"
    implementation = answer.implementation_version_name or answer.implementation_class_uid
    by_syntax: dict[str | None, list[str]] = {}
    for name, syntax in answer.accepts.items():
        by_syntax.setdefault(syntax, []).append(name)
    refused = by_syntax.pop(None, [])
    lines = [
        f"{target} answers: association after {_ms(answer.association_seconds)}, {echoed}",
        f"it is {implementation}, and takes PDUs of {answer.max_pdu_bytes or 'any number of'} bytes",
        *(f"it takes in {syntax}: {', '.join(names)}" for syntax, names in by_syntax.items()),
    ]
    return [*lines, f"it does not take: {', '.join(refused)}"] if refused else lines


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
