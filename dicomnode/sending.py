"""Send files to a destination of the settings, or ask whether it answers, on somebody's command."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomnode.dicom.files import files_in
from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import Exclusion
from dicomnode.errors import Refused, SettingsError, Unavailable
from dicomnode.network import echo
from dicomnode.network.associations import Peer
from dicomnode.network.batch import Outgoing, Sent, deliver_each, outgoing, send_each
from dicomnode.network.folder import FolderDestination
from dicomnode.network.stow import StowDestination
from dicomnode.network.web import WebPeer
from dicomnode.settings import Destination, DestinationKind, Settings, Source, SourceKind, reach
from dicomnode.settings.load import did_you_mean

_ADDRESS = re.compile(r"(?P<ae>[^\\@]{1,16})@(?:\[(?P<v6>[^\]]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")
_PORTS = range(1, 65536)

Target = Peer | WebPeer | Path  # a DICOM peer, a DICOMweb service or a folder


@dataclass(frozen=True, kw_only=True, slots=True)
class WebAnswer:
    """That a DICOMweb service answered, within so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderAnswer:
    """That a folder can be written, and how many bytes its disk has free."""

    free_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """What became of files that were to be sent, and what among them is none."""

    sent: tuple[Sent, ...]
    skipped: tuple[Exclusion, ...]


def target_of(name: str, settings: Settings) -> Target:
    """Return what `name` means: a destination of the settings, else a source, else AE@HOST:PORT."""
    remotes: list[Destination | Source] = [*settings.destinations, *settings.sources]
    for remote in remotes:
        if remote.name == name:
            return _target(remote)
    if (found := _ADDRESS.fullmatch(name)) and int(found["port"]) in _PORTS:
        return Peer(ae_title=found["ae"].strip(), host=found["v6"] or found["host"], port=int(found["port"]))
    detail = "no destination or source is called so, and it is no AE@HOST:PORT"
    raise SettingsError(name, detail + did_you_mean(name, [*dict.fromkeys(remote.name for remote in remotes)]))


def ask(target: Target, settings: Settings) -> echo.Answer | WebAnswer | FolderAnswer:
    """Ask `target` whether it is there; raise PeerUnreachable or Refused, with what may help, where it is not."""
    match target:
        case Peer():
            return echo.echo(target, settings.node.ae_title)
        case WebPeer():
            return WebAnswer(seconds=echo.ask(target))
        case Path():
            return _ask_folder(target)


def send_paths(paths: Iterable[Path], target: Target, settings: Settings, told: Callable[[int, int], None]) -> Sending:
    """Send the DICOM files in `paths`, folders in any nesting; `told` how many of how many are sent, as they are."""
    files, skipped = _outgoing(paths)
    sent: list[Sent] = []
    for one in _send_each(files, target, settings):
        sent.append(one)
        told(len(sent), len(files))
    return Sending(sent=tuple(sent), skipped=skipped)


def _target(remote: Destination | Source) -> Target:
    match remote.kind:
        case DestinationKind.DICOM | SourceKind.DICOM:
            return reach.peer_of(remote)
        case DestinationKind.STOW | SourceKind.DICOMWEB:
            return reach.web_peer_of(remote)
        case DestinationKind.FOLDER:
            assert isinstance(remote, Destination)  # noqa: S101 - sources have no such kind
            return remote.path or Path()


def _send_each(files: Sequence[Outgoing], target: Target, settings: Settings) -> Iterator[Sent]:
    match target:
        case Peer():
            with echo.explained(target):
                yield from send_each(files, target, settings.node.ae_title)
        case WebPeer():
            yield from deliver_each(files, StowDestination(peer=target, encode=in_syntax))
        case Path():
            yield from deliver_each(files, FolderDestination(path=target, encode=in_syntax))


def _ask_folder(folder: Path) -> FolderAnswer:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
        return FolderAnswer(free_bytes=shutil.disk_usage(folder).free)
    except OSError as error:
        raise Unavailable(f"the folder {folder} cannot be written: {error.strerror}") from error


def _outgoing(paths: Iterable[Path]) -> tuple[list[Outgoing], tuple[Exclusion, ...]]:
    files, skipped = [], []
    for path in files_in(paths):
        try:
            files.append(outgoing(path))
        except Refused as error:
            skipped.append(Exclusion.of(error))
    return files, tuple(skipped)
