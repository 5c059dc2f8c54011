"""Ask whether a system is there and what it takes: C-ECHO (PS3.4 annex A), or one study by QIDO-RS (PS3.18 10.6)."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import build_context
from pynetdicom.association import Association

from dicomnode.errors import PeerUnreachable, Reason, Refused
from dicomnode.network.associations import Peer, associated, calling_entity
from dicomnode.network.contexts import VERIFICATION
from dicomnode.network.web import HttpStatusError, WebPeer, asking

_SECONDS = 5.0
_SERVICES: Mapping[str, str] = {  # what this node asks of others -> its SOP class
    "C-ECHO": VERIFICATION,
    "SEG": SegmentationStorage,
    "label map SEG": "1.2.840.10008.5.1.4.1.1.66.7",
    "SR": Comprehensive3DSRStorage,
    "RTSTRUCT": RTStructureSetStorage,
    "SC": SecondaryCaptureImageStorage,
    "PR": GrayscaleSoftcopyPresentationStateStorage,
    "storage commitment": "1.2.840.10008.1.20.1",
    "C-FIND": "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root
    "C-GET": "1.2.840.10008.5.1.4.1.2.2.3",  # Study Root
    "C-MOVE": "1.2.840.10008.5.1.4.1.2.2.2",  # Study Root
}
_NO_QUERIES = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_MENDED_BY: Mapping[int, str] = {  # an HTTP status -> what may help
    HTTPStatus.UNAUTHORIZED: "it does not know who calls; look at authorization_file",
    HTTPStatus.FORBIDDEN: "it does not let this node in; look at authorization_file",
    HTTPStatus.NOT_FOUND: "nothing there answers queries; correct url, unless it only takes objects",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a DICOM peer answered; `accepts` has the transfer syntax of each service, None of one that it does not take.

    `association_seconds` is how long it took to associate, `echo_seconds` to answer C-ECHO, None where it takes none.
    """

    association_seconds: float
    echo_seconds: float | None
    max_pdu_bytes: int
    implementation_class_uid: str
    implementation_version_name: str
    accepts: Mapping[str, str | None]


def echo(peer: Peer, calling_ae: str) -> Answer:
    """Ask `peer` by C-ECHO, and which of the services that this node uses it takes.

    Raises PeerUnreachable where it does not answer and Refused where it does not want to, with what may help.
    """
    ae = calling_entity(calling_ae)
    syntaxes: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    ae.requested_contexts = [build_context(uid, syntaxes) for uid in _SERVICES.values()]
    before = time.monotonic()
    with explained(peer), associated(ae, peer) as assoc:
        established = time.monotonic()
        accepted = {str(one.abstract_syntax): one.transfer_syntax[0].name for one in assoc.accepted_contexts}
        echoed = _echo(assoc, peer) if VERIFICATION in accepted else None
        them = assoc.acceptor
        return Answer(
            association_seconds=established - before,
            echo_seconds=echoed,
            max_pdu_bytes=them.maximum_length or 0,
            implementation_class_uid=str(them.implementation_class_uid or ""),
            implementation_version_name=them.implementation_version_name or "",
            accepts={name: accepted.get(str(uid)) for name, uid in _SERVICES.items()},
        )


@contextmanager
def explained(peer: Peer) -> Iterator[None]:
    """Say of a peer that cannot be reached what may help, where its address is to blame."""
    try:
        yield
    except PeerUnreachable:
        _check_reachable(peer)
        raise


def ask(peer: WebPeer) -> float:
    """Ask a DICOMweb service for one study; return the seconds it took to answer, be it that it answers no queries.

    Raises PeerUnreachable where it does not answer and Refused where it does not want to, with what may help.
    """
    before = time.monotonic()
    try:
        with asking(peer) as opened:
            opened.search_for_studies(limit=1)
    except ValueError as error:
        raise PeerUnreachable(f"{peer} gives an answer that is not understood: {type(error).__name__}") from error
    except HttpStatusError as error:
        if mend := _MENDED_BY.get(error.status):
            raise Refused(Reason.PEER_REFUSED, str(peer), f"{error}: {mend}") from error
        if error.status not in _NO_QUERIES:
            raise PeerUnreachable(f"{peer} answered {error}") from error
    return time.monotonic() - before


def _check_reachable(peer: Peer) -> None:
    """Raise PeerUnreachable where nobody takes a connection at the address of `peer`."""
    try:
        socket.create_connection((peer.host, peer.port), timeout=_SECONDS).close()
    except socket.gaierror as error:
        raise PeerUnreachable(f"{peer}: the host name is not known here; correct it") from error
    except ConnectionRefusedError as error:
        raise PeerUnreachable(f"{peer}: nothing listens there; start it, or correct host and port") from error
    except TimeoutError as error:
        detail = f"no connection within {_SECONDS:g} s; look at host, port and firewalls"
        raise PeerUnreachable(f"{peer}: {detail}") from error
    except OSError as error:
        raise PeerUnreachable(f"{peer}: {error.strerror}") from error


def _echo(assoc: Association, peer: Peer) -> float:
    before = time.monotonic()
    status = assoc.send_c_echo().get("Status")
    if status is None:
        raise PeerUnreachable(f"{peer} did not answer a C-ECHO")
    if status:
        raise Refused(Reason.PEER_REFUSED, f"C-ECHO to {peer}", f"it answered status 0x{status:04X}")
    return time.monotonic() - before
