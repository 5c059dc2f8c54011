"""Record the associations in which instances come: who opened them, how many may be open, how they ended."""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, insert, select, update

from dicomnode.domain import AssociationEnd
from dicomnode.errors import LimitReached
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.queueing import STUDIES

_OPEN = select(tables.association.c.peer_ae, tables.association.c.peer_host).where(
    tables.association.c.closed_at.is_(None), tables.association.c.process.is_not(None)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Came:
    """As whom a peer called the node, from where, and which process listened."""

    called_ae: str | None = None
    peer_host: str | None = None
    process: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Most:
    """How many associations with the listener may be open at once, and of one AE title at one address.

    0 is no limit.
    """

    in_all: int = 0
    of_a_peer: int = 0


def open_association(database: Database, peer_ae: str, came: Came | None = None, most: Most | None = None) -> int:
    """Record that `peer_ae` opened an association; return its id. Raise LimitReached where `most` are open."""
    came, most = came or Came(), most or Most()
    row = {"peer_ae": peer_ae, "called_ae": came.called_ae, "peer_host": came.peer_host, "process": came.process}
    with database.write() as connection:
        _check_open(connection, peer_ae, came.peer_host, most)
        values = row | {"opened_at": database.now()}
        number: int = connection.execute(
            insert(tables.association).values(values).returning(tables.association.c.id)
        ).scalar_one()
        return number


def close_association(database: Database, association_id: int, ended: AssociationEnd) -> None:
    """Record how the association ended."""
    with database.write() as connection:
        which = tables.association.c.id == association_id
        connection.execute(update(tables.association).where(which).values(closed_at=database.now(), ended=ended.value))


def end_association(desk: Desk, association_id: int, ended: AssociationEnd) -> None:
    """Record how the association ended, and let what came in it be looked at, which may be whole now."""
    close_association(desk.database, association_id, ended)
    desk.hurry(STUDIES)


def close_orphans(database: Database, process: int | None = None) -> int:
    """Record that the associations of a process that died, or of all of them, ended with it; return how many."""
    died = {"closed_at": database.now(), "ended": AssociationEnd.DIED.value}
    open_ = tables.association.c.closed_at.is_(None)
    which = open_ if process is None else and_(open_, tables.association.c.process == process)
    with database.write() as connection:
        return connection.execute(update(tables.association).where(which).values(died)).rowcount


def close_retrievals(database: Database) -> None:
    """Record as lost the associations by which this node retrieved, whose end could not be recorded when it came.

    No process listened for them. It is called where none is under way: they are made one after the other.
    """
    rows = tables.association
    left = and_(rows.c.closed_at.is_(None), rows.c.process.is_(None))
    with database.write() as connection:
        lost = {"closed_at": database.now(), "ended": AssociationEnd.LOST.value}
        connection.execute(update(rows).where(left).values(lost))


def _check_open(connection: Connection, peer_ae: str, peer_host: str | None, most: Most) -> None:
    opened = connection.execute(_OPEN).all()
    if most.in_all and len(opened) >= most.in_all:
        raise LimitReached(f"{len(opened)} associations are open, {most.in_all} may be")
    of_peer = sum(row.peer_ae == peer_ae and row.peer_host == peer_host for row in opened)
    if most.of_a_peer and of_peer >= most.of_a_peer:
        raise LimitReached(f"{of_peer} associations of {peer_ae} at {peer_host} are open, {most.of_a_peer} may be")
