"""The SCU of C-STORE: send files to a peer, or say whether to try again."""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, SegSyntax
from dicomnode.errors import ClassRefused, PeerUnreachable, Reason, Refused
from dicomnode.network.part10 import IMPLEMENTATION_VERSION_NAME
from dicomnode.network.statuses import check_status

_KNOWN_TO_ALL = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_REJECTED_PERMANENT = 1  # PS3.8 9.3.4, result

Encode = Callable[[bytes, SegSyntax], bytes]  # a Part 10 file that is not compressed -> the same object in a syntax


def _as_it_is(content: bytes, _syntax: SegSyntax) -> bytes:
    return content


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Where a DICOM peer listens, and as whom."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return it as messages name it."""
        return f"{self.ae_title} at {self.host} port {self.port}"


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
    with _translated(peer), _associate(requesting_entity(calling_ae, wanted), peer) as assoc:
        accepted = _accepted(assoc, name)
        chosen = next((one for one in syntaxes if UID(one.uid) in accepted), SegSyntax.NATIVE)
        if chosen is SegSyntax.NATIVE:
            return _store(assoc, _read(path), peer)
        return _store(assoc, dcmread(BytesIO(encode(path.read_bytes(), chosen))), peer)


def send_all(paths: Sequence[Path], peer: Peer, calling_ae: str) -> tuple[int, ...]:
    """Send the files in one association, in order, as `send` does; stop at the first that fails."""
    wanted = {_syntax_of(_read(path, stop_before_pixels=True)): None for path in paths}
    with _translated(peer), _associate(requesting_entity(calling_ae, wanted), peer) as assoc:
        return tuple(_store(assoc, _read(path), peer) for path in paths)


def _store(assoc: Association, ds: Dataset, peer: Peer) -> int:
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
    ae = AE(calling_ae)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = 10
    ae.acse_timeout = 30
    ae.dimse_timeout = 60
    ae.network_timeout = 60
    proposed = {(name, syntax): None for name, own in wanted for syntax in (own, *_KNOWN_TO_ALL)}
    ae.requested_contexts = [build_context(name, syntax) for name, syntax in proposed]
    return ae


@contextmanager
def _associate(ae: AE, peer: Peer) -> Iterator[Association]:
    assoc = ae.associate(
        peer.host, peer.port, ae_title=peer.ae_title, evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)]
    )
    if assoc.is_rejected:
        _raise_rejection(assoc, peer)
    if assoc.rejected_contexts and not assoc.accepted_contexts:
        refused = {str(context.abstract_syntax.name) for context in assoc.rejected_contexts if context.abstract_syntax}
        raise ClassRefused(f"association with {peer}", f"it takes no {', '.join(refused)}")
    if not assoc.is_established:
        raise PeerUnreachable(f"{peer} did not answer")
    try:
        yield assoc
    finally:
        assoc.release()


def _send_at_once(event: evt.Event) -> None:
    """Do not wait for more to send: every message is followed by its answer."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _raise_rejection(assoc: Association, peer: Peer) -> None:
    rejection = assoc.acceptor.primitive
    why = f"{rejection.source_str}: {rejection.reason_str}" if rejection else "for no reason given"
    if rejection and rejection.result == _REJECTED_PERMANENT:
        raise Refused(Reason.PEER_REFUSED, f"association with {peer}", why)
    raise PeerUnreachable(f"{peer} rejected the association: {why}")


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


@contextmanager
def _translated(peer: Peer) -> Iterator[None]:
    """Turn what pynetdicom raises into what to do about it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise PeerUnreachable(f"{peer} broke off: {type(error).__name__}") from error
    except (AttributeError, ValueError) as error:
        raise Refused(
            Reason.PEER_REFUSED, "an object", f"it cannot be encoded for {peer}: {type(error).__name__}"
        ) from error
