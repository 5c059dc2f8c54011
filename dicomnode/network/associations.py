"""Associate with a peer, and say of what goes wrong whether to try again."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicomnode.domain import IMPLEMENTATION_CLASS_UID
from dicomnode.errors import ClassRefused, PeerRejected, PeerUnreachable, Reason, Refused
from dicomnode.network.part10 import IMPLEMENTATION_VERSION_NAME

_REJECTED_PERMANENT = 1  # PS3.8 9.3.4, result
_MENDED_BY: Mapping[
    tuple[int | None, int | None], str
] = {  # (source, reason) of a rejection, PS3.8 9.3.4 -> what helps
    (1, 3): "have {calling} registered there",
    (1, 7): "it is not called {called}: correct the AE title that is written of it here",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Where a DICOM peer listens, and as whom."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return it as messages name it."""
        return f"{self.ae_title} at {self.host} port {self.port}"


def calling_entity(ae_title: str) -> AE:
    """Return an AE that calls others, without a presentation context yet."""
    ae = AE(ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = 10
    ae.acse_timeout = 30
    ae.dimse_timeout = 60
    ae.network_timeout = 60
    return ae


@contextmanager
def associated(ae: AE, peer: Peer, *, handlers: Sequence[Any] = (), roles: Sequence[Any] = ()) -> Iterator[Association]:
    """Lend an association with `peer`, released at the end.

    `handlers` are those of events; `roles` are items of SCP/SCU role selection. Raises PeerUnreachable where another
    try may help, PeerRejected where it will not before somebody mends a setting there or here, and ClassRefused where
    the peer takes none of the contexts.
    """
    answers: list[Any] = []
    noting = (evt.EVT_PDU_RECV, _note, [answers])
    with _translated(peer):
        assoc = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            ext_neg=list(roles) or None,
            evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once), noting, *handlers],
        )
        assoc.unbind(evt.EVT_PDU_RECV, _note)
        _check(assoc, peer, answers)
        try:
            yield assoc
        finally:
            assoc.release()


def _note(event: evt.Event, answers: list[Any]) -> None:
    """Note what the peer answers: pynetdicom takes a rejection for no connection if it comes and goes very quickly."""
    answers.append(event.pdu)


def _check(assoc: Association, peer: Peer, answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, A_ASSOCIATE_RJ):
            _raise_rejection(answer.to_primitive(), assoc.requestor.ae_title, peer)
    if assoc.rejected_contexts and not assoc.accepted_contexts:
        refused = {str(context.abstract_syntax.name) for context in assoc.rejected_contexts if context.abstract_syntax}
        raise ClassRefused(f"association with {peer}", f"it takes no {', '.join(sorted(refused))}")
    if not assoc.is_established:
        raise PeerUnreachable(f"{peer} did not answer")


def _send_at_once(event: evt.Event) -> None:
    """Do not wait for more to send: every message is followed by its answer."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _raise_rejection(rejection: A_ASSOCIATE, calling_ae: str, peer: Peer) -> None:
    why = f"{rejection.source_str}: {rejection.reason_str}"
    if mend := _MENDED_BY.get((rejection.result_source, rejection.diagnostic)):
        why += f": {mend.format(calling=calling_ae, called=peer.ae_title)}"
    if rejection.result == _REJECTED_PERMANENT:
        raise PeerRejected(f"{peer} rejected the association for good: {why}")
    raise PeerUnreachable(f"{peer} rejected the association: {why}")


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
