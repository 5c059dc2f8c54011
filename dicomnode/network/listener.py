"""The SCP of C-ECHO and C-STORE: an object's success is answered once the node has it durably."""

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, cast

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_P_ABORT, SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext

from dicomnode.domain import IMPLEMENTATION_CLASS_UID, AssociationEnd
from dicomnode.errors import Unavailable
from dicomnode.network.admission import Admission, Caller, Limits, Rejection
from dicomnode.network.bounded import bound
from dicomnode.network.contexts import VERIFICATION, StorageClasses, accepted_contexts
from dicomnode.network.fast import FastWay
from dicomnode.network.part10 import IMPLEMENTATION_VERSION_NAME
from dicomnode.network.server import SPARE_CONNECTIONS, Server
from dicomnode.network.statuses import Status
from dicomnode.network.storing import Intake, Receive, Sent, always

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.pdu_primitives import A_ASSOCIATE

log = logging.getLogger(__name__)

_STORAGE_SERVICE = UID("1.2.840.10008.4.2")


def _nothing(_caller: Caller, _rejection: Rejection) -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """Whom the listener tells.

    `opened` returns the id of the association of a caller, or raises Unavailable where it may not open now; `rejected`
    hears of those that were not let in; `room` says whether there is room for more objects.
    """

    opened: Callable[[Caller], int]
    closed: Callable[[int, AssociationEnd], None]
    receive: Receive
    rejected: Callable[[Caller, Rejection], None] = _nothing
    room: Callable[[], bool] = always


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What the listener offers beside C-ECHO and C-STORE: presentation contexts, and pynetdicom's event handlers."""

    contexts: tuple[PresentationContext, ...]
    handlers: tuple[Any, ...]


def accepting_entity(ae_title: str, limits: Limits) -> AE:
    """Return the AE that listens: who it says it is, and what a peer may ask of it.

    pynetdicom counts connections that asked for nothing yet, too; `Admission` lets in no more than it should.
    """
    ae = AE(ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_associations = limits.max_associations + SPARE_CONNECTIONS
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
        address: tuple[str, int] | socket.socket,
        hooks: Hooks,
        *,
        limits: Limits | None = None,
        contexts: list[PresentationContext] | None = None,
        services: Sequence[Service] = (),
    ) -> None:
        self.taken_fast = 0  # objects that came on the fast way
        self._hooks = hooks
        self._limits = limits or Limits()
        self._ids: dict[Association, int] = {}
        self._ends: dict[Association, AssociationEnd] = {}  # as far as known, of those whose end is not reported yet
        self._lock = Lock()
        accepted = [*(contexts or accepted_contexts()), *(one for service in services for one in service.contexts)]
        others = [VERIFICATION, *(UID(str(one.abstract_syntax)) for service in services for one in service.contexts)]
        self._classes = StorageClasses(accepted, others, unrestricted=self._limits.ways.unrestricted)
        self._intake = Intake(receive=hooks.receive, room=hooks.room, max_bytes=self._limits.max_object_bytes)
        self._admission = Admission(
            ae_title=ae_title,
            limits=self._limits,
            opened=hooks.opened,
            room=hooks.room,
            is_storage=self._classes.includes,
        )
        self._fast = self._way() if self._limits.ways.fast else None
        handlers = [*self._handlers(), *(handler for service in services for handler in service.handlers)]
        self._server = _serve(accepting_entity(ae_title, self._limits), address, accepted, handlers)
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="listener", daemon=True)

    @property
    def port(self) -> int:
        """Return the port that is listened on, also where 0 was asked for."""
        return self._server.server_address[1]

    def start(self) -> None:
        """Begin to accept associations."""
        self._thread.start()

    def reap(self) -> None:
        """Report the associations that ended without a word, and again those whose end could not be reported."""
        for assoc in list(self._ids):
            if not assoc.is_alive():
                self._close(assoc, AssociationEnd.LOST)

    def stop(self, patience: float) -> None:
        """Stop accepting; let the open associations end for `patience` seconds, then abort them."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.wait_for_the_end(patience)
        for assoc in self._server.active_associations:
            assoc.abort(block=False)
        self._server.wait_for_the_end(1)
        self._server.hang_up()
        for assoc in self._server.active_associations:
            assoc.join(timeout=5)
        self.reap()

    def _handlers(self) -> list[Any]:
        return [
            (evt.EVT_CONN_OPEN, self._connected),
            (evt.EVT_CONN_CLOSE, _wake),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_SOP_COMMON, self._services_of),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, _echo),
            (evt.EVT_ACSE_RECV, self._broke),
            (evt.EVT_RELEASED, self._ended, [AssociationEnd.RELEASED]),
            (evt.EVT_ABORTED, self._ended, [AssociationEnd.ABORTED]),
        ]

    def _way(self) -> FastWay:
        return FastWay(
            intake=self._intake,
            identify=self._identify,
            is_storage=self._classes.includes,
            max_pdu_bytes=self._limits.max_pdu_bytes,
            told=self._count,
        )

    def _count(self) -> None:
        with self._lock:
            self.taken_fast += 1

    def _connected(self, event: evt.Event) -> None:
        """Put what reads an association's bytes in its place, before its threads start."""
        bound(event.assoc, self._limits.max_pdu_bytes, self._limits.max_object_bytes)
        if self._fast:
            self._fast.install(event.assoc)

    def _requested(self, event: evt.Event) -> None:
        """Let the peer in, or reject its association."""
        assoc = event.assoc
        asked = cast("A_ASSOCIATE", assoc.requestor.primitive)
        caller, judged = self._admission.judge(asked, assoc.requestor.address)
        if isinstance(judged, Rejection):
            told = {"action": "association_rejected", "peer": caller.calling_ae, "reason": judged.reason}
            told |= {"called": caller.called_ae, "host": caller.host}
            log.warning("rejected an association", extra=told)
            self._hooks.rejected(caller, judged)
            assoc.acse.send_reject(judged.result, judged.source, judged.diagnostic)
            assoc.is_rejected = True  # nothing is negotiated then
            assoc.kill()
            return
        with self._lock:
            self._ids[assoc] = judged
        wanted = [str(context.abstract_syntax) for context in asked.presentation_context_definition_list]
        if added := self._classes.added(wanted):
            assoc.acceptor.supported_contexts = [*assoc.acceptor.supported_contexts, *added]

    def _services_of(self, event: evt.Event) -> dict[UID, SOPClassCommonExtendedNegotiation]:
        """Tell pynetdicom, as a peer can (PS3.7 D.3.3.6), that the classes it does not know are of storage."""
        asked = cast("A_ASSOCIATE", event.assoc.requestor.primitive)
        wanted = [str(context.abstract_syntax) for context in asked.presentation_context_definition_list]
        found: dict[UID, SOPClassCommonExtendedNegotiation] = dict(vars(event)["items"])
        for context in self._classes.added(wanted):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid = context.abstract_syntax
            item.service_class_uid = _STORAGE_SERVICE
            found[UID(str(context.abstract_syntax))] = item
        return found

    def _identify(self, assoc: Association) -> int:
        with self._lock:
            return self._ids[assoc]

    def _broke(self, event: evt.Event) -> None:
        """Note that the connection of an association broke; pynetdicom tells it by this reason (PS3.8 9.2.3, AA-4)."""
        primitive = vars(event)["primitive"]
        if isinstance(primitive, A_P_ABORT) and primitive.provider_reason == 0:
            with self._lock:
                if event.assoc in self._ids:
                    self._ends.setdefault(event.assoc, AssociationEnd.LOST)

    def _ended(self, event: evt.Event, ended: AssociationEnd) -> None:
        self._close(event.assoc, ended)

    def _close(self, assoc: Association, ended: AssociationEnd) -> None:
        """Report the end of `assoc`, the first that was seen of it; if that fails `reap` reports it again."""
        with self._lock:
            if assoc in self._ids:
                self._hooks.closed(self._ids[assoc], self._ends.setdefault(assoc, ended))
                del self._ids[assoc]
                del self._ends[assoc]

    def _store(self, event: evt.Event) -> int:
        command = cast("C_STORE", event.request)
        sent = Sent(
            sop_class_uid=str(command.AffectedSOPClassUID),
            sop_instance_uid=str(command.AffectedSOPInstanceUID),
            abstract_syntax=str(event.context.abstract_syntax),
            transfer_syntax=str(event.context.transfer_syntax),
            peer_ae=event.assoc.requestor.ae_title,
        )
        data_set = iter([event.encoded_dataset(include_meta=False)])
        return self._intake.take(sent, self._identify(event.assoc), data_set)


def _serve(
    ae: AE, address: tuple[str, int] | socket.socket, contexts: list[PresentationContext], handlers: list[Any]
) -> Server:
    inherited = address if isinstance(address, socket.socket) else None
    place: tuple[str, int] = inherited.getsockname()[:2] if inherited else cast("tuple[str, int]", address)
    kind = cast("type[Server]", partial(Server, inherited=inherited))
    try:
        return cast("Server", ae.make_server(place, contexts=contexts, evt_handlers=handlers, server_class=kind))
    except OSError as error:
        raise Unavailable(f"cannot listen on {place[0]} port {place[1]}: {error.strerror}") from error


def _wake(event: evt.Event) -> None:
    """Let a thread end that waits for what a peer which only connected would have asked."""
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(cast("Any", None))  # as its timeout gives it


def _echo(_event: evt.Event) -> int:
    return Status.SUCCESS
