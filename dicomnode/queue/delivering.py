"""Send objects, and probe destinations that were left alone."""

import logging
import time
from typing import Any

from dicomnode.domain import DeliveryState, ObjectKind
from dicomnode.errors import ClassRefused, PeerRejected, Refused, Unavailable
from dicomnode.queue.courier import Courier, about, attending, tell_opened
from dicomnode.queue.proving import prove
from dicomnode.store import breakers, deliveries
from dicomnode.store.deliveries import DeliveryKey, DeliveryRow, Failure
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0


def attend(courier: Courier, destination: str) -> bool:
    """Probe a destination that was left alone, or prove what it took, where that is due; return whether it was."""
    if destination in breakers.probes_due(courier.desk.database, {destination}):
        probe(courier, destination)
        return True
    return prove(courier, destination)


def send(courier: Courier, key: str) -> None:
    """Send for a while what is due at the destination of a delivery, the most urgent first; `key` is its key as text.

    The engine gives a destination about eight turns a second, and it has to take what waited for days within a minute.
    Whose turn it is may have been said before the destination was left alone: what is most urgent is looked up now.
    """
    until, destination = time.monotonic() + TURN_SECONDS, DeliveryKey.parse(key).destination
    while destination in courier.destinations:
        found = deliveries.due(courier.desk.database, {destination}, limit=1)
        if not found:
            return
        _send(courier, str(found[0].which))
        if time.monotonic() >= until:
            return


def send_one(courier: Courier, key: str) -> None:
    """Claim and send one object, if it is still due; `key` is that of its delivery as text.

    A type of SEG that is not taken there is replaced by the next one that the destination's profile names.
    """
    which = DeliveryKey.parse(key)
    to = courier.destinations.get(which.destination)
    row = deliveries.claim(courier.desk.database, which) if to is not None else None
    if to is None or row is None:
        return
    try:
        status = to.send(courier.parcel(row))
    except Unavailable as error:
        _postpone(courier, row, error)
    except Refused as error:
        _give_up(courier.desk, row, error)
    else:
        deliveries.delivered(courier.desk.database, row, status)
        told = about(row, "delivered") | {"status": f"0x{status:04X}"}
        log.log(logging.WARNING if status else logging.INFO, "an object is delivered", extra=told)
        courier.desk.hurry(attending(row.destination))


def fail_delivery(courier: Courier, key: str, reason: str) -> None:
    """Record that a bug keeps an object from being sent; `key` is that of its delivery as text."""
    deliveries.fail(courier.desk.database, DeliveryKey.parse(key), reason)


def probe(courier: Courier, destination: str) -> None:
    """Ask a destination that was left alone whether it is there again; then all that waits for it goes at once."""
    database, policy = courier.desk.database, courier.policy
    told: dict[str, Any] = {"destination": destination}
    if not breakers.claim_probe(database, destination, policy):
        return
    try:
        courier.destinations[destination].probe()
    except (Unavailable, Refused) as error:
        _leave_alone(courier, destination, str(error))
    except Exception as error:
        log.exception("a probe failed", extra=told | {"action": "probe_failed"})
        _leave_alone(courier, destination, f"a bug: {type(error).__name__}: {error}")
    else:
        waiting = breakers.probe_succeeded(database, destination, policy)
        told |= {"action": "destination_closed", "waiting": waiting}
        log.warning("a destination is there again: what waits is sent", extra=told)


def _send(courier: Courier, key: str) -> None:
    """Send an object; a mistake that it brings out is put down to it, in whoever's turn that is."""
    try:
        send_one(courier, key)
    except Unavailable:
        raise
    except Exception as error:
        log.exception("a sending failed", extra={"action": "step_failed", "queue": "deliveries", "key": key})
        fail_delivery(courier, key, f"a bug: {type(error).__name__}: {error}")


def _leave_alone(courier: Courier, destination: str, reason: str) -> None:
    """Record that a probe did not succeed, and give up what has waited for too long."""
    for row in breakers.probe_failed(courier.desk.database, destination, reason, courier.policy):
        log.error("an object is given up: %s", reason, extra=about(row, "delivery_dead"))
    told = {"action": "probe_failed", "destination": destination}
    log.info("a destination is still not there: %s", reason, extra=told)


def _postpone(courier: Courier, row: DeliveryRow, error: Unavailable) -> None:
    """Let the object be sent later; that the destination does not know this node will not mend itself by trying."""
    failure = Failure(reason=str(error), wait=courier.wait(row.attempts), at_once=isinstance(error, PeerRejected))
    after = deliveries.put_back(courier.desk.database, row, failure, courier.policy)
    if after.state is DeliveryState.DEAD:
        log.error("an object is given up: %s", error, extra=about(row, "delivery_dead"))
    else:
        told = about(row, "delivery_postponed") | {"seconds": round(failure.wait.total_seconds(), 1)}
        log.warning("an object will be sent later: %s", error, extra=told)
    if after.opened:
        tell_opened(row.destination)


def _give_up(desk: Desk, row: DeliveryRow, error: Refused) -> None:
    """Send another type of SEG where there is one and it was the class that was refused; else let it be."""
    if isinstance(error, ClassRefused) and row.kind is ObjectKind.SEG:
        profile = desk.destinations[row.destination]
        if after := deliveries.fall_back(desk.database, row, profile, str(error)):
            told = about(row, "delivery_fell_back") | {"before": f"{row.alternative}", "after": after.value}
            log.warning("another type of SEG is sent instead: %s", error, extra=told)
            return
    deliveries.bury(desk.database, row, str(error))
    log.error("an object cannot be delivered: %s", error, extra=about(row, "delivery_dead"))
