"""Listen as the settings say: who may come, how many at once, while there is room, and what is recorded of it."""

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from dicomnode.errors import Unavailable
from dicomnode.network.admission import Caller, Limits, Rejection
from dicomnode.network.listener import Hooks, Listener, Service
from dicomnode.network.storing import Intake
from dicomnode.receiving import receive
from dicomnode.store import associations
from dicomnode.store.associations import Came, Most
from dicomnode.store.desk import Desk
from dicomnode.store.disk import Disk
from dicomnode.store.events import record_event

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """How a node listens, in plain values; it stops taking objects when less than `free_bytes` of its disk are free."""

    ae_title: str
    host: str
    port: int
    limits: Limits = field(default_factory=Limits)
    most: Most = field(default_factory=Most)
    strict: bool = False
    free_bytes: int = 0


def listener(
    how: Listening, desk: Desk, disk: Disk, *, bound: socket.socket | None = None, services: Sequence[Service] = ()
) -> Listener:
    """Return what listens as `how` says and records in `desk`; it listens on the socket `bound`, if there is one."""
    address = bound or (how.host, how.port)
    return Listener(how.ae_title, address, hooks(how, desk, disk), limits=how.limits, services=services)


def intake(how: Listening, desk: Desk, disk: Disk) -> Intake:
    """Return what keeps in `desk` what comes, sent or fetched."""
    return Intake(
        receive=partial(receive, desk, strict=how.strict),
        room=partial(disk.has, how.free_bytes),
        max_bytes=how.limits.max_object_bytes,
    )


def hooks(how: Listening, desk: Desk, disk: Disk) -> Hooks:
    """Return what keeps and records in `desk` what comes."""
    takes = intake(how, desk, disk)
    return Hooks(
        opened=partial(_open, how, desk),
        closed=partial(associations.end_association, desk),
        receive=takes.receive,
        rejected=partial(_reject, desk),
        room=takes.room,
    )


def _open(how: Listening, desk: Desk, caller: Caller) -> int:
    came = Came(called_ae=caller.called_ae, peer_host=caller.host, process=os.getpid())
    return associations.open_association(desk.database, caller.calling_ae, came, how.most)


def _reject(desk: Desk, caller: Caller, rejection: Rejection) -> None:
    """Record that `caller` was rejected; where that cannot be, the log has it."""
    details = {"reason": rejection.reason, "called_ae": caller.called_ae, "peer_host": caller.host}
    try:
        record_event(desk.database, caller.calling_ae, "association_rejected", details)
    except Unavailable:
        log.exception("cannot record a rejection", extra={"action": "event_lost"})
