"""Have it proven that destinations keep what they took."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from dicomnode.domain import CommitmentReport, DeliveryState, Proof, ProvenBy, Uid
from dicomnode.errors import PeerRejected, PeerUnreachable, Refused, Unavailable
from dicomnode.network.destinations import Destination, Transaction
from dicomnode.queue.courier import Courier, about, tell_opened
from dicomnode.store import proofs
from dicomnode.store.deliveries import DeliveryRow, Failure

log = logging.getLogger(__name__)

AT_ONCE = 100  # how many objects a destination is asked for in one go


def prove(courier: Courier, destination: str) -> bool:
    """Look for what proves that a destination keeps what it took; return whether there was something to prove."""
    rows = proofs.due(courier.desk.database, {destination}, limit=AT_ONCE)
    to = courier.destinations.get(destination)
    if not rows or to is None:
        return False
    _prove_apart(courier, to, rows)
    return True


def hear(courier: Courier, report: CommitmentReport) -> bool:
    """Record what a destination commits to; return whether it was asked for in this transaction."""
    settled = proofs.reported(courier.desk.database, report, courier.policy, courier.wait)
    if settled is None:
        return False
    told: dict[str, Any] = {"action": "commitment_reported", "verified": settled.verified}
    told |= {"again": settled.again, "dead": settled.dead}
    failed = settled.again or settled.dead
    log.log(logging.WARNING if failed else logging.INFO, "a destination reported what it commits to", extra=told)
    return True


def _prove_apart(courier: Courier, to: Destination, rows: Sequence[DeliveryRow]) -> None:
    """Prove `rows`, together or, where a mistake comes out, one by one, so that it ends with the one to blame."""
    try:
        _prove(courier, to, rows)
    except PeerUnreachable as error:
        _postpone_proof(courier, rows, error)
    except Unavailable:
        raise
    except Exception as error:
        log.exception("a proof failed", extra={"action": "proof_failed", "destination": rows[0].destination})
        if len(rows) == 1:
            _fails(courier, rows[0], f"a bug: {type(error).__name__}: {error}", courier.policy.backoff.longest)
            return
        for row in rows:
            _prove_apart(courier, to, [row])


def _prove(courier: Courier, to: Destination, rows: Sequence[DeliveryRow]) -> None:
    match to.proof:
        case Proof.NONE:
            _take_the_answer(courier, rows)
        case Proof.QUERY:
            for row in rows:
                _look(courier, to, row)
        case Proof.COMMITMENT:
            _ask(courier, to, _still_to_be_asked(courier, rows))
        case Proof.AUTO:
            _prove_somehow(courier, to, rows)


def _prove_somehow(courier: Courier, to: Destination, rows: Sequence[DeliveryRow]) -> None:
    """Prove by commitment; else by a query; else let the answer to the sending be enough."""
    if not to.commits:
        _look_or_take_the_answer(courier, to, rows)
        return
    overdue = [row for row in rows if row.asked]
    left = [row for row in rows if not row.asked] + [row for row in overdue if not _finds(courier, to, row)]
    _ask(courier, to, _still_to_be_asked(courier, left), otherwise=True)


def _look_or_take_the_answer(courier: Courier, to: Destination, rows: Sequence[DeliveryRow]) -> None:
    try:
        for row in rows:
            _look(courier, to, row, strictly=False)
    except Refused as error:
        log.info("a destination proves nothing: %s", error, extra={"action": "no_proof"})
        _take_the_answer(courier, rows)


def _take_the_answer(courier: Courier, rows: Sequence[DeliveryRow]) -> None:
    """Let what is delivered be so without more proof."""
    for row in rows:
        proofs.proven(courier.desk.database, row, ProvenBy.ANSWER)


def _still_to_be_asked(courier: Courier, rows: Sequence[DeliveryRow]) -> list[DeliveryRow]:
    """Return what is to be asked for, of `rows`: what was, and got no report in time, counts as a try that failed."""
    left = []
    for row in rows:
        if row.asked and _fails(courier, row, "no report on the storage commitment came in time", timedelta()):
            continue
        left.append(row)
    return left


def _ask(courier: Courier, to: Destination, rows: Sequence[DeliveryRow], *, otherwise: bool = False) -> None:
    """Ask for storage commitment of `rows` in one transaction; `otherwise` they are proven by what else there is."""
    if not rows:
        return
    database, uid = courier.desk.database, Uid(f"2.25.{uuid4().int}")
    proofs.asked(database, rows, uid, database.now() + courier.policy.proof)
    transaction = Transaction(
        uid=uid,
        reported=lambda report: hear(courier, report),
        is_open=lambda: proofs.is_open(database, uid),
    )
    try:
        to.commit(transaction, [courier.parcel(row) for row in rows])
    except Unavailable:
        proofs.not_asked(database, rows, uid)
        raise
    except Refused as error:
        proofs.not_asked(database, rows, uid)
        if otherwise:
            _look_or_take_the_answer(courier, to, rows)
            return
        for row in rows:
            _fails(courier, row, str(error), courier.wait(row.proof_attempts + 1))


def _fails(courier: Courier, row: DeliveryRow, reason: str, wait: timedelta) -> bool:
    """Count a try to prove that failed; return whether it was the last."""
    if proofs.unanswered(courier.desk.database, row, reason, courier.policy, wait) is DeliveryState.DELIVERED:
        return False
    log.error("an object was never proven: %s", reason, extra=about(row, "delivery_dead"))
    return True


def _finds(courier: Courier, to: Destination, row: DeliveryRow) -> bool:
    """Return whether the destination has the object, which is then proven; one that cannot say has not."""
    try:
        found = to.keeps(courier.parcel(row))
    except Refused:
        return False
    if found:
        proofs.proven(courier.desk.database, row, to.keeps_by)
        log.info("a delivery is verified", extra=about(row, "delivery_verified"))
    return found


def _look(courier: Courier, to: Destination, row: DeliveryRow, *, strictly: bool = True) -> None:
    """Look for the object at its destination; what is not there in time is sent again.

    Raises Refused where the destination cannot say, unless `strictly` that counts as a try that failed.
    """
    database, now = courier.desk.database, courier.desk.database.now()
    try:
        if to.keeps(courier.parcel(row)):
            proofs.proven(database, row, to.keeps_by)
            log.info("a delivery is verified", extra=about(row, "delivery_verified"))
            return
    except Refused as error:
        if not strictly:
            raise
        _fails(courier, row, str(error), courier.wait(row.proof_attempts + 1))
        return
    passed = now - (row.delivered_at or now)
    if passed < courier.policy.proof:
        backoff = courier.policy.backoff
        wait = min(max(passed, backoff.first), backoff.longest)
        proofs.look_again(database, row, now + wait, "it is not found there yet")
        return
    reason = f"it was not found there within {courier.policy.proof.total_seconds():g} s"
    after = proofs.missed(database, row, reason, courier.policy, courier.wait)
    log.warning("a delivery is not proven: %s", reason, extra=about(row, f"delivery_{after.value}"))


def _postpone_proof(courier: Courier, rows: Sequence[DeliveryRow], error: PeerUnreachable) -> None:
    """Look for the proof of `rows` later; that the destination could not be asked counts to its breaker."""
    failure = Failure(reason=str(error), wait=courier.wait(1), at_once=isinstance(error, PeerRejected))
    opened = proofs.postpone(courier.desk.database, rows, failure, courier.policy)
    told = {"action": "proof_postponed", "destination": rows[0].destination}
    log.warning("a delivery will be proven later: %s", error, extra=told)
    if opened:
        tell_opened(rows[0].destination)
