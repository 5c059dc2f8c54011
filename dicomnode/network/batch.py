"""Send many files to a peer or another destination, and say of each what became of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, MediaStorageDirectoryStorage
from pynetdicom.association import Association

from dicomnode.domain import SopReference, parse_uid
from dicomnode.errors import ClassRefused, DicomNodeError, Reason, Refused, Unavailable
from dicomnode.network.associations import Peer, associated
from dicomnode.network.destinations import Destination, Parcel
from dicomnode.network.sender import requesting_entity, store

_PAIRS = 42  # of class and syntax: three contexts each, of the 128 that an association may have (PS3.8 9.3.2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A file to be sent, as its file meta information says what it is."""

    path: Path
    sop_uid: str
    sop_class: str
    syntax: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What became of a file: the status that the peer answered, and why it did not take it, None if it did."""

    file: Outgoing
    status: int | None
    error: str | None


def outgoing(path: Path) -> Outgoing:
    """Return what is to be known of the file at `path`; raise Refused where it is not to be sent."""
    try:
        meta = read_file_meta_info(path)
        file = Outgoing(
            path=path,
            sop_uid=str(meta.MediaStorageSOPInstanceUID),
            sop_class=str(meta.MediaStorageSOPClassUID),
            syntax=str(meta.TransferSyntaxUID),
        )
    except InvalidDicomError as error:
        raise Refused(Reason.NOT_DICOM, str(path), "it is not a DICOM file") from error
    except (AttributeError, EOFError, OSError, ValueError) as error:
        raise Refused(Reason.UNREADABLE, str(path), "its file meta information cannot be read") from error
    if file.sop_class == MediaStorageDirectoryStorage:
        raise Refused(Reason.NOT_AN_IMAGE, str(path), "it is a DICOMDIR")
    return file


def send_each(files: Sequence[Outgoing], peer: Peer, calling_ae: str) -> Iterator[Sent]:
    """Send `files` in order in one association, in several where they are of many classes; yield what became of each.

    A file that is not taken does not keep the others from being sent. Raises what `associated` raises of a peer.
    """
    for batch in _batches(files):
        entity = requesting_entity(calling_ae, [(UID(one.sop_class), UID(one.syntax)) for one in batch])
        try:
            with associated(entity, peer) as assoc:
                for one in batch:
                    yield _send(one, assoc, peer)
        except ClassRefused as error:  # of all of them: nothing was sent yet
            yield from (Sent(file=one, status=None, error=str(error)) for one in batch)


def deliver_each(files: Sequence[Outgoing], to: Destination) -> Iterator[Sent]:
    """Send `files` in order one by one to a destination of any kind; yield what became of each.

    A file that is not taken does not keep the others from being sent, but where the destination is not there any more
    they are not tried. Raises Unavailable where it is not there for the first.
    """
    for number, file in enumerate(files):
        try:
            yield _delivered(file, to)
        except Unavailable as error:
            if not _is_there(to):
                if number == 0:
                    raise
                yield from (Sent(file=one, status=None, error=str(error)) for one in files[number:])
                return
            yield Sent(file=file, status=None, error=str(error))


def _batches(files: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    pairs: set[tuple[str, str]] = set()
    for one in files:
        pair = (one.sop_class, one.syntax)
        if pair not in pairs and len(pairs) == _PAIRS:
            yield batch
            batch, pairs = [], set()
        batch.append(one)
        pairs.add(pair)
    if batch:
        yield batch


def _send(file: Outgoing, assoc: Association, peer: Peer) -> Sent:
    try:
        if not assoc.is_established:
            raise Unavailable(f"the association with {peer} broke off before")
        status = store(assoc, dcmread(file.path), peer)
    except DicomNodeError as error:
        return Sent(file=file, status=None, error=str(error))
    except (AttributeError, InvalidDicomError, OSError, ValueError) as error:
        return Sent(file=file, status=None, error=f"it cannot be read or encoded: {type(error).__name__}")
    return Sent(file=file, status=status, error=None)


def _delivered(file: Outgoing, to: Destination) -> Sent:
    """Send a file as it is; raise Unavailable where another try may help."""
    try:
        named = SopReference(parse_uid(file.sop_class, "SOP class"), parse_uid(file.sop_uid, "object"))
        status = to.send(Parcel(path=file.path, named=named))
    except Refused as error:
        return Sent(file=file, status=None, error=str(error))
    except (InvalidDicomError, OSError) as error:
        return Sent(file=file, status=None, error=f"it cannot be read: {type(error).__name__}")
    return Sent(file=file, status=status, error=None)


def _is_there(to: Destination) -> bool:
    try:
        to.probe()
    except Unavailable:
        return False
    except Refused:  # of a query, which it need not answer
        return True
    return True
