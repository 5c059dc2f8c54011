"""Take one object that a peer stores: the one contract of both ways in, whichever read it off the network."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dicomnode.domain import parse_uid
from dicomnode.errors import Reason, Refused, Unavailable
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.statuses import Status, status_of

log = logging.getLogger(__name__)

Chunk: TypeAlias = bytes | memoryview  # of a data set; what a memoryview shows changes once the next chunk is asked for
Receive: TypeAlias = Callable[[StoreRequest, Iterable[Chunk]], None]  # returns once the object is durable


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What the command of a request and its presentation context say, word for word, and who sent it."""

    sop_class_uid: str
    sop_instance_uid: str
    abstract_syntax: str
    transfer_syntax: str
    peer_ae: str

    def parsed(self, association_id: int) -> StoreRequest:
        """Return the request, parsed; refuse one whose class is not that of its context (PS3.7 9.1.1.1)."""
        request = StoreRequest(
            sop_class_uid=parse_uid(self.sop_class_uid, "C-STORE, AffectedSOPClassUID"),
            sop_instance_uid=parse_uid(self.sop_instance_uid, "C-STORE, AffectedSOPInstanceUID"),
            transfer_syntax_uid=parse_uid(self.transfer_syntax, "presentation context, transfer syntax"),
            peer_ae=self.peer_ae,
            association_id=association_id,
        )
        if request.sop_class_uid != self.abstract_syntax:
            detail = f"its class {request.sop_class_uid} is not that of its context, {self.abstract_syntax}"
            raise Refused(Reason.UID_MISMATCH, f"object {request.sop_instance_uid}", detail)
        return request


def answer(request: StoreRequest, data_set: Iterable[Chunk], receive: Receive) -> Status:
    """Give a parsed request and its data set to `receive`; return the status to answer."""
    try:
        receive(request, data_set)
    except Refused as error:
        return refused(error, request.peer_ae)
    except (Unavailable, OSError):
        log.exception("cannot keep an object", extra={"action": "store_failed", "peer": request.peer_ae})
        return Status.OUT_OF_RESOURCES
    return Status.SUCCESS


def refused(error: Refused, peer_ae: str) -> Status:
    """Return the status for `error`; its words may quote what the peer sent, and do not go to the log."""
    told = {"action": "store_refused", "peer": peer_ae, "reason": error.reason.value}
    log.warning("refused an object", extra=told)
    return status_of(error)


def always() -> bool:
    """Return that there is room."""
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """What happens to the objects that come: `receive` keeps one, while there is `room` and it is not too large."""

    receive: Receive
    room: Callable[[], bool] = always
    max_bytes: int | None = None  # of a data set

    def take(self, sent: Sent, association_id: int, data_set: Iterator[Chunk]) -> Status:
        """Let what is `sent` be kept; return the status to answer, with all of `data_set` read."""
        status = self._take(sent, association_id, data_set)
        for _ in data_set:  # the association goes on behind it
            pass
        return status

    def keep(self, request: StoreRequest, data_set: Iterable[Chunk]) -> Status:
        """Let what is asked for by `request` be kept; return the status to answer."""
        if not self.room():
            log.warning("no room for an object", extra={"action": "store_no_room", "peer": request.peer_ae})
            return Status.OUT_OF_RESOURCES
        return answer(request, self._limited(request, data_set), self.receive)

    def _take(self, sent: Sent, association_id: int, data_set: Iterator[Chunk]) -> Status:
        try:
            request = sent.parsed(association_id)
        except Refused as error:
            return refused(error, sent.peer_ae)
        return self.keep(request, data_set)

    def _limited(self, request: StoreRequest, data_set: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield `data_set`; refuse with LIMIT as soon as it is too large."""
        size = 0
        for chunk in data_set:
            size += len(chunk)
            if self.max_bytes is not None and size > self.max_bytes:
                detail = f"its data set has more than {self.max_bytes} bytes"
                raise Refused(Reason.LIMIT, f"object {request.sop_instance_uid}", detail)
            yield chunk
