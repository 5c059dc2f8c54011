"""Record what proves that a destination keeps what it took, and what becomes of an object that is not proven."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_

from dicomnode.domain import CommitmentReport, DeliveryPolicy, DeliveryState, ProvenBy, SopReference, Uid
from dicomnode.store import breakers, tables
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryRow, Failure, asked_text, change, move, row_of, rows_where, sent_to
from dicomnode.store.events import Event, add_event

Wait = Callable[[int], timedelta]  # how long to wait after so many failures


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a report on a commitment did: how much was proven, is sent again, and was given up."""

    verified: int
    again: int
    dead: int


def due(database: Database, among: Collection[str] | None = None, limit: int | None = None) -> tuple[DeliveryRow, ...]:
    """Return what was delivered and is to be proven now: by all destinations, or by those `among`."""
    rows = tables.delivery.c
    wanted = and_(_unproven(), rows.next_at <= database.now(), breakers.lets(rows.destination), sent_to(among))
    with database.read() as connection:
        return rows_where(connection, wanted, limit)


def proven(database: Database, row: DeliveryRow, by: ProvenBy) -> None:
    """Record what proved the delivery; the destination's answer alone does not verify it."""
    with database.write() as connection:
        if _still(connection, row):
            _proven(connection, row, by, database.now())


def asked(database: Database, rows: Sequence[DeliveryRow], transaction_uid: Uid, until: datetime) -> None:
    """Record, before it is asked, that storage commitment is asked for, and until when its report is waited for."""
    with database.write() as connection:
        for known in _all_still(connection, rows):
            text = asked_text((transaction_uid, *known.asked))
            change(connection, known.which, transaction_uid=text, next_at=until)


def not_asked(database: Database, rows: Sequence[DeliveryRow], transaction_uid: Uid) -> None:
    """Record that storage commitment could not be asked for: the proof is due again."""
    with database.write() as connection:
        for known in _all_still(connection, rows):
            left = asked_text(tuple(uid for uid in known.asked if uid != transaction_uid))
            change(connection, known.which, transaction_uid=left, next_at=database.now())


def is_open(database: Database, transaction_uid: Uid) -> bool:
    """Return whether a report on the transaction would still prove anything."""
    with database.read() as connection:
        return bool(rows_where(connection, and_(_unproven(), _in(transaction_uid))))


def look_again(database: Database, row: DeliveryRow, next_at: datetime, reason: str) -> None:
    """Let the proof be looked for again at `next_at`."""
    with database.write() as connection:
        if _still(connection, row):
            change(connection, row.which, next_at=next_at, reason=reason)


def postpone(database: Database, rows: Sequence[DeliveryRow], failure: Failure, policy: DeliveryPolicy) -> bool:
    """Let what of `rows` is still due be proven later, as their destination could not be asked.

    Return whether the destination is left alone from now on.
    """
    with database.write() as connection:
        now = database.now()
        for known in _all_still(connection, rows):
            if known.next_at <= now:
                change(connection, known.which, next_at=now + failure.wait, reason=failure.reason)
        return breakers.fail(connection, rows[0].destination, failure, policy, now)


def unanswered(
    database: Database, row: DeliveryRow, reason: str, policy: DeliveryPolicy, wait: timedelta
) -> DeliveryState:
    """Record that no report came, or that none will: it is asked for again, or the delivery is dead; return which."""
    with database.write() as connection:
        known, now = _still(connection, row), database.now()
        if known is None:
            return row_of(connection, row.which).state
        attempts = known.proof_attempts + 1
        if attempts >= policy.proof_attempts:
            _bury(connection, known, reason, now, attempts)
            return DeliveryState.DEAD
        change(connection, known.which, proof_attempts=attempts, next_at=now + wait, reason=reason)
        return DeliveryState.DELIVERED


def missed(database: Database, row: DeliveryRow, reason: str, policy: DeliveryPolicy, wait: Wait) -> DeliveryState:
    """Record that the destination has not got the object: it is sent again, or is dead; return which."""
    with database.write() as connection:
        known = _still(connection, row)
        if known is None:
            return row_of(connection, row.which).state
        return _missed(connection, known, reason, policy, (database.now(), wait))


def reported(database: Database, report: CommitmentReport, policy: DeliveryPolicy, wait: Wait) -> Settled | None:
    """Record what a destination commits to; return what that did, or None if nobody here asked for it.

    A report that comes twice, or so late that the object was proven otherwise, changes nothing more.
    """
    with database.write() as connection:
        known = rows_where(connection, _in(report.transaction_uid))
        if not known:
            return None
        now = database.now()
        verified, after = 0, []
        for row in known:
            if row.state is not DeliveryState.DELIVERED or row.proof is not None:
                continue
            named = SopReference(row.sop_class_uid, row.sop_uid)
            if named in report.failed:
                reason = f"it does not commit to the object: reason 0x{report.failed[named]:04X}"
                after.append(_missed(connection, row, reason, policy, (now, wait)))
            elif named in report.committed:
                _proven(connection, row, ProvenBy.COMMITMENT, now)
                verified += 1
        dead = after.count(DeliveryState.DEAD)
        return Settled(verified=verified, again=len(after) - dead, dead=dead)


def _unproven() -> ColumnElement[bool]:
    rows = tables.delivery.c
    return and_(rows.state == DeliveryState.DELIVERED.value, rows.proof.is_(None))


def _in(transaction_uid: Uid) -> ColumnElement[bool]:
    """Return the condition that a delivery was asked for in the transaction; a UID is part of no other one's value."""
    padded = "\\" + tables.delivery.c.transaction_uid + "\\"
    return padded.contains(f"\\{transaction_uid}\\", autoescape=True)


def _still(connection: Connection, row: DeliveryRow) -> DeliveryRow | None:
    """Return `row` as it is now, None where it was proven, or sent again, since it was read."""
    known = row_of(connection, row.which)
    same = known.state is DeliveryState.DELIVERED and known.proof is None and known.delivered_at == row.delivered_at
    return known if same else None


def _all_still(connection: Connection, rows: Sequence[DeliveryRow]) -> list[DeliveryRow]:
    return [known for row in rows if (known := _still(connection, row))]


def _proven(connection: Connection, row: DeliveryRow, by: ProvenBy, now: datetime) -> None:
    if by is ProvenBy.ANSWER:
        change(connection, row.which, proof=by.value, reason=None)
        return
    move(connection, row.which, DeliveryState.VERIFIED, proof=by.value, verified_at=now, reason=None)
    details = {"sop_uid": row.sop_uid, "destination": row.destination, "proof": by.value}
    add_event(connection, Event(at=now, who="node", what="delivery_verified", details=details))


def _missed(
    connection: Connection, row: DeliveryRow, reason: str, policy: DeliveryPolicy, when: tuple[datetime, Wait]
) -> DeliveryState:
    (now, wait), attempts = when, row.proof_attempts + 1
    if attempts >= policy.proof_attempts:
        _bury(connection, row, reason, now, attempts)
        return DeliveryState.DEAD
    anew: dict[str, object] = {"attempts": 0, "transaction_uid": None, "delivered_at": None, "renewed_at": now}
    anew |= {"proof_attempts": attempts, "next_at": now + wait(attempts), "reason": reason}
    move(connection, row.which, DeliveryState.WAITING, **anew)
    details = {"sop_uid": row.sop_uid, "destination": row.destination, "reason": reason}
    add_event(connection, Event(at=now, who="node", what="delivery_unproven", details=details))
    return DeliveryState.WAITING


def _bury(connection: Connection, row: DeliveryRow, reason: str, now: datetime, attempts: int) -> None:
    """Let a delivery that was never proven be dead: it is to be sent again, and is not."""
    told = f"not proven in {attempts} tries: {reason}"
    move(connection, row.which, DeliveryState.WAITING, transaction_uid=None, proof_attempts=attempts)
    move(connection, row.which, DeliveryState.DEAD, reason=told)
    details = {"sop_uid": row.sop_uid, "destination": row.destination, "reason": told}
    add_event(connection, Event(at=now, who="node", what="delivery_dead", details=details))
