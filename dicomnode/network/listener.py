"""The SCP of C-ECHO and C-STORE: an object's success is answered once the node has it durably."""

import logging
import math
import socket
import socketserver
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, cast

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, AssociationEnd, parse_uid
from dicomnode.errors import Reason, Refused, Unavailable
from dicomnode.network.contexts import accepted_contexts
from dicomnode.network.part10 import IMPLEMENTATION_VERSION_NAME, StoreRequest
from dicomnode.network.statuses import Status, status_of

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE

log = logging.getLogger(__name__)

Receive = Callable[[StoreRequest, bytes], None]  # returns once the object is durable


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a peer may ask of the listener; `idle_seconds` without a byte end its association."""

    max_associations: int = 32
    max_pdu_bytes: int = 131072
    idle_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """Whom the listener tells: `opened` takes the peer's AE title and returns the id of the association."""

    opened: Callable[[str], int]
    closed: Callable[[int, AssociationEnd], None]
    receive: Receive


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What the listener offers beside C-ECHO and C-STORE: presentation contexts, and pynetdicom's event handlers."""

    contexts: tuple[PresentationContext, ...]
    handlers: tuple[Any, ...]


def answer(request: StoreRequest, data_set: bytes, receive: Receive) -> Status:
    """Give a valid request and the bytes of its data set to `receive`; return the status to answer."""
    try:
        receive(request, data_set)
    except Refused as error:
        return _refuse(error, request.peer_ae)
    except (Unavailable, OSError):
        log.exception("cannot keep an object", extra={"action": "store_failed"})
        return Status.OUT_OF_RESOURCES
    return Status.SUCCESS


def accepting_entity(ae_title: str, limits: Limits) -> AE:
    """Return the AE that listens: who it says it is, and what a peer may ask of it."""
    ae = AE(ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_associations = limits.max_associations
    ae.maximum_pdu_size = limits.max_pdu_bytes
    ae.network_timeout = limits.idle_seconds
    ae.dimse_timeout = limits.idle_seconds
    ae.acse_timeout = min(30.0, limits.idle_seconds)
    return ae


class Listener:
    """A listening socket and the associations that come through it."""

    def __init__(
        self,
        ae_title: str,
        address: tuple[str, int],
        hooks: Hooks,
        *,
        limits: Limits | None = None,
        contexts: list[PresentationContext] | None = None,
        services: Sequence[Service] = (),
    ) -> None:
        self._hooks = hooks
        self._ids: dict[Association, int] = {}
        self._lock = Lock()
        ae = accepting_entity(ae_title, limits or Limits())
        handlers: list[Any] = [
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, _echo),
            (evt.EVT_RELEASED, self._ended, [AssociationEnd.RELEASED]),
            (evt.EVT_ABORTED, self._ended, [AssociationEnd.ABORTED]),
            *(handler for service in services for handler in service.handlers),
        ]
        accepted = [*(contexts or accepted_contexts()), *(one for service in services for one in service.contexts)]
        try:
            self._server = ae.make_server(address, contexts=accepted, evt_handlers=handlers, server_class=_Server)
        except OSError as error:
            raise Unavailable(f"cannot listen on {address[0]} port {address[1]}: {error.strerror}") from error
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="listener", daemon=True)

    @property
    def port(self) -> int:
        """Return the port that is listened on, also where 0 was asked for."""
        return self._server.server_address[1]

    def start(self) -> None:
        """Begin to accept associations."""
        self._thread.start()

    def reap(self) -> None:
        """Report the associations that ended without a word."""
        for assoc in list(self._ids):
            if not assoc.is_alive():
                self._close(assoc, AssociationEnd.LOST)

    def stop(self, patience: float) -> None:
        """Stop accepting; let the open associations end for `patience` seconds, then abort them."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        deadline = time.monotonic() + patience
        while self._server.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)
        for assoc in self._server.active_associations:
            assoc.abort()
        for assoc in self._server.active_associations:
            assoc.join(timeout=5)
        self.reap()

    def _accepted(self, event: evt.Event) -> None:
        self._identify(event.assoc)

    def _identify(self, assoc: Association) -> int:
        """Return the id of `assoc`; it is made when the association opens, or else when it is first needed."""
        with self._lock:
            if assoc not in self._ids:
                self._ids[assoc] = self._hooks.opened(assoc.requestor.ae_title)
            return self._ids[assoc]

    def _ended(self, event: evt.Event, ended: AssociationEnd) -> None:
        self._close(event.assoc, ended)

    def _close(self, assoc: Association, ended: AssociationEnd) -> None:
        """Report the end of `assoc`; if that fails it is reported again by `reap`."""
        with self._lock:
            if assoc in self._ids:
                self._hooks.closed(self._ids[assoc], ended)
                del self._ids[assoc]

    def _store(self, event: evt.Event) -> int:
        try:
            request = self._request(event)
        except Refused as error:
            return _refuse(error, event.assoc.requestor.ae_title)
        except Unavailable:
            log.exception("cannot record an association", extra={"action": "store_failed"})
            return Status.OUT_OF_RESOURCES
        return answer(request, event.encoded_dataset(include_meta=False), self._hooks.receive)

    def _request(self, event: evt.Event) -> StoreRequest:
        """Return the request of `event`, parsed; refuse one whose class is not that of its context (PS3.7 9.1.1.1)."""
        command, context = cast("C_STORE", event.request), event.context
        request = StoreRequest(
            sop_class_uid=parse_uid(command.AffectedSOPClassUID, "C-STORE, AffectedSOPClassUID"),
            sop_instance_uid=parse_uid(command.AffectedSOPInstanceUID, "C-STORE, AffectedSOPInstanceUID"),
            transfer_syntax_uid=parse_uid(context.transfer_syntax, "presentation context, transfer syntax"),
            peer_ae=event.assoc.requestor.ae_title,
            association_id=self._identify(event.assoc),
        )
        if request.sop_class_uid != str(context.abstract_syntax):
            detail = f"its class {request.sop_class_uid} is not that of its context, {context.abstract_syntax}"
            raise Refused(Reason.UID_MISMATCH, f"object {request.sop_instance_uid}", detail)
        return request


class _Server(ThreadedAssociationServer):
    """pynetdicom's server with the socket options that accepted sockets inherit."""

    request_queue_size = 64

    def server_bind(self) -> None:
        """Answer without waiting for more to send, and give up on a peer that stalls in the middle of a PDU."""
        super().server_bind()
        listening = cast("socket.socket", self.socket)
        fraction, seconds = math.modf(self.ae.network_timeout or 0)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(fraction * 1e6))
        )

    def shutdown(self) -> None:
        """Stop accepting."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()


def _refuse(error: Refused, peer_ae: str) -> Status:
    """Return the status for `error`; its words may quote what the peer sent, and do not go to the log."""
    told = {"action": "store_refused", "peer": peer_ae, "reason": error.reason.value}
    log.warning("refused an object", extra=told)
    return status_of(error)


def _echo(_event: evt.Event) -> int:
    return Status.SUCCESS
