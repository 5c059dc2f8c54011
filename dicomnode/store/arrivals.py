"""Record what arrives: associations, instances, and where the study of each stands."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sqlalchemy import Connection, Row, Select, and_, exists, func, insert, select, update

from dicomnode.domain import STUDY_MOVES, Annotation, AssociationEnd, Instance, OtherInstance, StudyState, Uid
from dicomnode.errors import Reason
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.facts import facts_of, instance_of, kind_of, modality_of
from dicomnode.store.moves import check_move
from dicomnode.store.spool import Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """How an instance came: its file in the spool, and who sent it in which association."""

    key: str
    size: int
    source_ae: str
    association_id: int


class Recorded(Enum):
    """What an arriving instance was to those before it."""

    NEW = "new"
    DUPLICATE = "duplicate"  # the same bytes again
    CONFLICT = "conflict"  # the same SOP Instance UID with other bytes: kept, and not used


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    """Where a study stands; `open_associations` counts those that brought instances of it and may bring more."""

    study_uid: Uid
    state: StudyState
    reason: str | None
    last_instance_at: datetime
    generation: int
    open_associations: int


def open_association(database: Database, peer_ae: str) -> int:
    """Record that `peer_ae` opened an association; return its id."""
    with database.write() as connection:
        row = insert(tables.association).values(peer_ae=peer_ae, opened_at=database.now())
        number: int = connection.execute(row.returning(tables.association.c.id)).scalar_one()
        return number


def close_association(database: Database, association_id: int, ended: AssociationEnd) -> None:
    """Record how the association ended."""
    with database.write() as connection:
        which = tables.association.c.id == association_id
        connection.execute(update(tables.association).where(which).values(closed_at=database.now(), ended=ended.value))


def close_orphans(database: Database) -> int:
    """Record that the associations of a process that died ended with it; return how many."""
    died = {"closed_at": database.now(), "ended": AssociationEnd.DIED.value}
    with database.write() as connection:
        closed = connection.execute(
            update(tables.association).where(tables.association.c.closed_at.is_(None)).values(died)
        )
        return closed.rowcount


def record(database: Database, instance: Instance, arrival: Arrival) -> Recorded:
    """Record that `instance` arrived; once this returns, success may be answered."""
    with database.write() as connection:
        now = database.now()
        known = connection.scalars(
            select(tables.instance.c.sha256).where(tables.instance.c.sop_uid == instance.sop_instance_uid)
        ).all()
        row = _row(instance, arrival, now)
        if instance.sha256 in known:
            if _was_left_out(connection, row):
                _receive(connection, instance.study_uid, now)
                return Recorded.NEW
            _touch(connection, instance.study_uid, now)
            return Recorded.DUPLICATE
        connection.execute(insert(tables.instance).values(row | {"conflict": bool(known)}))
        if known:
            details = {"sop_uid": instance.sop_instance_uid, "sha256": instance.sha256, "used": known[0]}
            add_event(connection, Event(at=now, who=arrival.source_ae, what=Reason.UID_CONFLICT, details=details))
            return Recorded.CONFLICT
        if not _is_own(connection, instance):
            _receive(connection, instance.study_uid, now)
        return Recorded.NEW


def receiving(database: Database) -> tuple[StudyRow, ...]:
    """Return the studies that instances are coming for, the longest quiet first."""
    return studies_in(database, {StudyState.RECEIVING})


def studies_in(database: Database, states: Collection[StudyState]) -> tuple[StudyRow, ...]:
    """Return the studies that stand in one of `states`, the longest quiet first."""
    wanted = tables.study.c.state.in_([state.value for state in states])
    with database.read() as connection:
        rows = connection.execute(_studies().where(wanted).order_by(tables.study.c.last_instance_at)).all()
    return tuple(_study(row) for row in rows)


def study_of(database: Database, study_uid: Uid) -> StudyRow | None:
    """Return where the study stands, or None if nothing of it arrived."""
    with database.read() as connection:
        row = connection.execute(_studies().where(tables.study.c.study_uid == study_uid)).one_or_none()
    return _study(row) if row else None


def settle(database: Database, study: StudyRow, after: StudyState, reason: str) -> bool:
    """Move the quiet `study` to `after`, unless something arrived since it was read; return whether it moved."""
    with database.write() as connection:
        if not move_study(connection, study, after, reason):
            return False
        details = {"study": study.study_uid, "reason": reason}
        add_event(connection, Event(at=database.now(), who="node", what=f"study_{after.value}", details=details))
        return True


def move_study(connection: Connection, study: StudyRow, after: StudyState, reason: str | None) -> bool:
    """Move `study` within a transaction, if it is still as it was read; return whether it was."""
    check_move(STUDY_MOVES, study.state, after)
    unchanged = and_(
        tables.study.c.study_uid == study.study_uid,
        tables.study.c.state == study.state.value,
        tables.study.c.last_instance_at == study.last_instance_at,
    )
    moved = connection.execute(update(tables.study).where(unchanged).values(state=after.value, reason=reason))
    return moved.rowcount == 1


def reopen(database: Database, study: StudyRow, reason: str) -> bool:
    """Look at the waiting `study` again: what it lacked came in another one; return whether it moved."""
    return settle(database, study, StudyState.RECEIVING, reason)


def instances_of(database: Database, spool: Spool, study_uid: Uid) -> tuple[Instance, ...]:
    """Return what is used of a study, in the order it came: no conflicts, and nothing that dicomnode made."""
    rows = tables.instance
    made_here = exists().where(tables.artifact.c.sop_uid == rows.c.sop_uid)
    used = select(rows).where(rows.c.study_uid == study_uid, ~rows.c.conflict, ~made_here)
    with database.read() as connection:
        found = connection.execute(used.order_by(rows.c.received_at, rows.c.sop_uid)).all()
    return tuple(instance_of(row.kind, row.facts, spool.path(row.key)) for row in found)


def senders_of(database: Database, study_uid: Uid) -> frozenset[str]:
    """Return the calling AE titles that brought instances of the study."""
    rows = tables.instance.c
    with database.read() as connection:
        return frozenset(connection.scalars(select(rows.source_ae).where(rows.study_uid == study_uid).distinct()))


def known_keys(database: Database) -> frozenset[str]:
    """Return the key of every file that a row knows."""
    with database.read() as connection:
        received = connection.scalars(select(tables.instance.c.key)).all()
        made = connection.scalars(select(tables.artifact.c.key)).all()
    return frozenset([*received, *made])


def _was_left_out(connection: Connection, row: dict[str, object]) -> bool:
    """Describe by `row` what an earlier version, which did not read it, has left out; return whether it was so."""
    known = tables.instance.c
    which = and_(known.sop_uid == row["sop_uid"], known.sha256 == row["sha256"], known.kind == "other")
    if row["kind"] == "other":
        return False
    return connection.execute(update(tables.instance).where(which).values(row)).rowcount > 0


def _row(instance: Instance, arrival: Arrival, now: datetime) -> dict[str, object]:
    return {
        "sop_uid": instance.sop_instance_uid,
        "sha256": instance.sha256,
        "series_uid": instance.series_uid,
        "study_uid": instance.study_uid,
        "key": arrival.key,
        "size": arrival.size,
        "kind": kind_of(instance),
        "modality": modality_of(instance),
        "facts": facts_of(instance),
        "source_ae": arrival.source_ae,
        "association_id": arrival.association_id,
        "received_at": now,
    }


def _is_own(connection: Connection, instance: Instance) -> bool:
    """Return whether dicomnode made `instance`: a PACS that forwards it back sets nothing in motion."""
    if isinstance(instance, OtherInstance) and instance.exclusion.reason is Reason.OWN_RESULT:
        return True
    if isinstance(instance, Annotation) and instance.own:
        return True
    made = select(tables.artifact.c.sop_uid).where(tables.artifact.c.sop_uid == instance.sop_instance_uid)
    return connection.execute(made).first() is not None


def _touch(connection: Connection, study_uid: Uid, now: datetime) -> None:
    """Note that the study is still being sent, if it is being received."""
    which = and_(tables.study.c.study_uid == study_uid, tables.study.c.state == StudyState.RECEIVING.value)
    connection.execute(update(tables.study).where(which).values(last_instance_at=now))


def _receive(connection: Connection, study_uid: Uid, now: datetime) -> None:
    """Let the study receive (again): late instances of a dispatched one begin its next generation."""
    which = tables.study.c.study_uid == study_uid
    row = connection.execute(select(tables.study).where(which)).one_or_none()
    came = {"state": StudyState.RECEIVING.value, "reason": None, "last_instance_at": now}
    if row is None:
        connection.execute(insert(tables.study).values(came | {"study_uid": study_uid, "generation": 1}))
        return
    before = StudyState(row.state)
    if before is not StudyState.RECEIVING:
        check_move(STUDY_MOVES, before, StudyState.RECEIVING)
    late = before is StudyState.DISPATCHED
    connection.execute(update(tables.study).where(which).values(came | {"generation": row.generation + late}))


def _studies() -> Select[tuple[object, ...]]:
    """Select studies, each with the number of associations that brought instances of it and are open."""
    brought, open_ = tables.instance, tables.association
    joined = brought.join(open_, brought.c.association_id == open_.c.id)
    count = select(func.count(open_.c.id.distinct())).select_from(joined)
    count = count.where(brought.c.study_uid == tables.study.c.study_uid, open_.c.closed_at.is_(None))
    return select(tables.study, count.scalar_subquery().label("open_associations"))


def _study(row: Row[tuple[object, ...]]) -> StudyRow:
    return StudyRow(
        study_uid=Uid(row.study_uid),
        state=StudyState(row.state),
        reason=row.reason,
        last_instance_at=row.last_instance_at,
        generation=row.generation,
        open_associations=row.open_associations,
    )
