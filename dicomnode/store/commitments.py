"""Record what other nodes ask this one to commit to, and what it can truthfully say (PS3.4 annex J)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from dicomnode.domain import COMMITMENT_MOVES, CommitmentReport, CommitmentState, SopReference, Uid
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.moves import check_move
from dicomnode.store.spool import Spool

NO_SUCH_OBJECT, CLASS_CONFLICT = 0x0112, 0x0119  # PS3.3 C.14.1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitmentRow:
    """What a peer asked for, from where, and how often it could not be told."""

    transaction_uid: Uid
    peer_ae: str
    peer_host: str
    objects: tuple[SopReference, ...]
    state: CommitmentState
    attempts: int
    created_at: datetime
    reason: str | None


def ask(database: Database, transaction_uid: Uid, peer: tuple[str, str], objects: Sequence[SopReference]) -> None:
    """Record that `peer`, an AE title and an address, asks whether `objects` are kept; once for a transaction."""
    rows = tables.commitment
    with database.write() as connection:
        if connection.scalar(select(rows.c.state).where(rows.c.transaction_uid == transaction_uid)) is None:
            now = database.now()
            row: dict[str, object] = {"transaction_uid": transaction_uid, "peer_ae": peer[0], "peer_host": peer[1]}
            row |= {"objects": [list(one) for one in objects], "state": CommitmentState.WAITING.value, "attempts": 0}
            connection.execute(insert(rows).values(row | {"created_at": now, "next_at": now}))


def due(database: Database) -> tuple[CommitmentRow, ...]:
    """Return what is to be reported now, oldest first."""
    rows = tables.commitment.c
    wanted = select(tables.commitment).where(
        rows.state == CommitmentState.WAITING.value, rows.next_at <= database.now()
    )
    with database.read() as connection:
        return tuple(
            CommitmentRow(
                transaction_uid=Uid(row.transaction_uid),
                peer_ae=row.peer_ae,
                peer_host=row.peer_host,
                objects=tuple(SopReference(Uid(name), Uid(uid)) for name, uid in row.objects),
                state=CommitmentState(row.state),
                attempts=row.attempts,
                created_at=row.created_at,
                reason=row.reason,
            )
            for row in connection.execute(wanted.order_by(rows.next_at, rows.transaction_uid))
        )


def judge(database: Database, spool: Spool, row: CommitmentRow) -> CommitmentReport:
    """Return what can be said of the objects: those that are recorded and whose file is there whole are kept."""
    failed = {one: reason for one in row.objects if (reason := _failure(database, spool, one)) is not None}
    committed = tuple(one for one in row.objects if one not in failed)
    return CommitmentReport(transaction_uid=row.transaction_uid, committed=committed, failed=failed)


def settle(database: Database, row: CommitmentRow, after: CommitmentState, reason: str | None = None) -> None:
    """Record that the peer was told, or will not be, and why."""
    check_move(COMMITMENT_MOVES, row.state, after)
    which = tables.commitment.c.transaction_uid == row.transaction_uid
    with database.write() as connection:
        connection.execute(update(tables.commitment).where(which).values(state=after.value, reason=reason))
        details = {"transaction_uid": row.transaction_uid, "peer": row.peer_ae, "reason": reason}
        add_event(connection, Event(at=database.now(), who="node", what=f"commitment_{after.value}", details=details))


def put_back(database: Database, row: CommitmentRow, next_at: datetime, reason: str) -> None:
    """Let the peer be told at `next_at`, as it could not be now."""
    which = tables.commitment.c.transaction_uid == row.transaction_uid
    changes = {"attempts": row.attempts + 1, "next_at": next_at, "reason": reason}
    with database.write() as connection:
        connection.execute(update(tables.commitment).where(which).values(changes))


def _failure(database: Database, spool: Spool, named: SopReference) -> int | None:
    """Return the Failure Reason of an object, None if it is kept."""
    columns = tables.instance.c
    wanted = select(columns.key, columns.size, columns.facts).where(
        columns.sop_uid == named.sop_uid, columns.conflict.is_(False)
    )
    with database.read() as connection:
        row = connection.execute(wanted).one_or_none()
    if row is None or spool.size(row.key) != row.size:
        return NO_SUCH_OBJECT
    return None if row.facts["sop_class_uid"] == named.sop_class_uid else CLASS_CONFLICT
