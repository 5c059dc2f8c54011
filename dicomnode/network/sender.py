"""The SCU of C-STORE: send files to a peer, or say whether to try again."""

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from dicomnode.domain import SegSyntax
from dicomnode.errors import PeerUnreachable, Reason, Refused
from dicomnode.network.associations import Peer, associated, calling_entity
from dicomnode.network.statuses import check_status

_KNOWN_TO_ALL = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)

Encode = Callable[[bytes, SegSyntax], bytes]  # a Part 10 file that is not compressed -> the same object in a syntax


def _as_it_is(content: bytes, _syntax: SegSyntax) -> bytes:
    return content


def send(
    path: Path, peer: Peer, calling_ae: str, syntaxes: Sequence[SegSyntax] = (), encode: Encode = _as_it_is
) -> int:
    """Send the file at `path` in an association of its own; return the status: 0x0000, or a warning 0xBxxx.

    It is sent in the first of `syntaxes` that the peer accepts, for which `encode` makes it another; where it accepts
    none, as it is, or in Explicit or Implicit VR. Raises PeerUnreachable where another try may help, ClassRefused where
    the peer takes no such object, and Refused where no try will help.
    """
    name, own = _syntax_of(_read(path, stop_before_pixels=True))
    wanted = [(name, own), *((name, UID(syntax.uid)) for syntax in syntaxes)]
    with associated(requesting_entity(calling_ae, wanted), peer) as assoc:
        accepted = _accepted(assoc, name)
        chosen = next((one for one in syntaxes if UID(one.uid) in accepted), SegSyntax.NATIVE)
        if chosen is SegSyntax.NATIVE:
            return store(assoc, _read(path), peer)
        return store(assoc, dcmread(BytesIO(encode(path.read_bytes(), chosen))), peer)


def send_all(paths: Sequence[Path], peer: Peer, calling_ae: str) -> tuple[int, ...]:
    """Send the files in one association, in order, as `send` does; stop at the first that fails."""
    wanted = {_syntax_of(_read(path, stop_before_pixels=True)): None for path in paths}
    with associated(requesting_entity(calling_ae, wanted), peer) as assoc:
        return tuple(store(assoc, _read(path), peer) for path in paths)


def store(assoc: Association, ds: Dataset, peer: Peer) -> int:
    """Send `ds` over `assoc`, an association with `peer`; return the status, raise what `send` raises."""
    what = f"object {ds.SOPInstanceUID}"
    _check_context(ds, assoc, peer)
    status = assoc.send_c_store(ds).get("Status")
    if status is None:
        raise PeerUnreachable(f"{peer} did not answer when {what} was sent")
    check_status(int(status), str(peer), what)
    return int(status)


def _read(path: Path, *, stop_before_pixels: bool = False) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=stop_before_pixels)
    except (OSError, InvalidDicomError) as error:
        raise Refused(Reason.UNREADABLE, str(path), str(error)) from error


def _syntax_of(ds: Dataset) -> tuple[UID, UID]:
    return ds.SOPClassUID, ds.file_meta.TransferSyntaxUID


def requesting_entity(calling_ae: str, wanted: Iterable[tuple[UID, UID]]) -> AE:
    """Return an AE that proposes one context a (class, syntax): the file's own, then what any peer knows (PS3.5 10)."""
    ae = calling_entity(calling_ae)
    proposed = {(name, syntax): None for name, own in wanted for syntax in (own, *_KNOWN_TO_ALL)}
    ae.requested_contexts = [build_context(name, syntax) for name, syntax in proposed]
    return ae


def _check_context(ds: Dataset, assoc: Association, peer: Peer) -> None:
    """Refuse what no accepted context carries; between uncompressed syntaxes pynetdicom converts."""
    name, own = _syntax_of(ds)
    accepted = _accepted(assoc, name)
    if not accepted or (own.is_compressed and own not in accepted):
        detail = f"{peer} takes it in {', '.join(syntax.name for syntax in accepted) or 'no syntax'}, it is {own.name}"
        raise Refused(Reason.PEER_REFUSED, f"object {ds.SOPInstanceUID}", detail)


def _accepted(assoc: Association, name: UID) -> list[UID]:
    """Return the transfer syntaxes in which the peer takes objects of the class `name`."""
    return [context.transfer_syntax[0] for context in assoc.accepted_contexts if context.abstract_syntax == name]
