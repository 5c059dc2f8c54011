"""Record what arrives: instances, and where the study of each stands."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, exists, func, insert, select, update

from dicomnode.domain import (
    STUDY_MOVES,
    Annotation,
    Instance,
    OtherInstance,
    StudyState,
    Uid,
    Undescribed,
)
from dicomnode.errors import Reason
from dicomnode.store import pending, quick, tables
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event
from dicomnode.store.facts import UNDESCRIBED, facts_of, instance_of, kind_of, modality_of
from dicomnode.store.moves import check_move
from dicomnode.store.spool import Spool

# What is asked for every instance that comes, made once
_KNOWN = select(tables.instance.c.digest, tables.instance.c.kind).where(tables.instance.c.sop_uid == bindparam("uid"))
_ADDED = insert(tables.instance)
_MADE = select(tables.artifact.c.sop_uid).where(tables.artifact.c.sop_uid == bindparam("uid"))
_STUDY = select(tables.study).where(tables.study.c.study_uid == bindparam("uid"))
_CAME = (
    update(tables.study).where(tables.study.c.study_uid == bindparam("uid")).values(last_instance_at=bindparam("now"))
)


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
    REFUSED = "refused"  # the same, where conflicts are not kept
    LEFT_OUT = "left_out"  # the same bytes were no image to whoever described them, and are to be described first


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    """Where a study stands; `open_associations` counts those that brought instances of it and may bring more.

    `evidence` is what was seen for and against its being complete when it was last looked at, as JSON values;
    `changed_at` is when it came to its state.
    """

    study_uid: Uid
    state: StudyState
    reason: str | None
    last_instance_at: datetime
    generation: int
    open_associations: int
    evidence: Mapping[str, Any] = field(default_factory=dict)
    changed_at: datetime | None = None


def record(database: Database, instance: Instance | Undescribed, arrival: Arrival, *, strict: bool = False) -> Recorded:
    """Record that `instance` arrived; once this returns, success may be answered, but where it is LEFT_OUT.

    What arrives at the same time shares a transaction. With `strict`, a conflict is recorded as an event alone.
    """
    row = _row(instance, arrival)
    own = _says_own(instance)

    def work(connection: Connection) -> Recorded:
        return _record(connection, row | {"received_at": database.now()}, own=own, strict=strict)

    return database.together(work)


def receiving(database: Database) -> tuple[StudyRow, ...]:
    """Return the studies that instances are coming for, the longest quiet first."""
    return studies_in(database, {StudyState.RECEIVING})


def studies_in(database: Database, states: Collection[StudyState] = tuple(StudyState)) -> tuple[StudyRow, ...]:
    """Return the studies that stand in one of `states`, the longest quiet first."""
    return studies_where(database, tables.study.c.state.in_([state.value for state in states]))


def studies_where(database: Database, condition: ColumnElement[bool]) -> tuple[StudyRow, ...]:
    """Return the studies whose rows fulfil `condition`, the longest quiet first."""
    with database.read() as connection:
        rows = connection.execute(_studies().where(condition).order_by(tables.study.c.last_instance_at)).all()
    return tuple(_study(row) for row in rows)


def study_of(database: Database, study_uid: Uid) -> StudyRow | None:
    """Return where the study stands, or None if nothing of it arrived."""
    with database.read() as connection:
        row = connection.execute(_studies().where(tables.study.c.study_uid == study_uid)).one_or_none()
    return _study(row) if row else None


def settle(
    database: Database,
    study: StudyRow,
    after: StudyState,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> bool:
    """Move `study` to `after` by `evidence`, unless something arrived since it was read; return whether it moved."""
    return _settle(database, study, after, {"reason": reason, "evidence": evidence})


def move_study(
    connection: Connection, study: StudyRow, after: StudyState, changes: Mapping[str, object], now: datetime
) -> bool:
    """Move `study` within a transaction, with `changes` of its row, if it is still as it was read; say whether so.

    It is not ready while something of it is not described.
    """
    check_move(STUDY_MOVES, study.state, after)
    unchanged = and_(
        tables.study.c.study_uid == study.study_uid,
        tables.study.c.state == study.state.value,
        tables.study.c.last_instance_at == study.last_instance_at,
    )
    if after is StudyState.READY:
        unchanged = and_(unchanged, ~pending.is_left(study.study_uid))
    values = {"state": after.value, "changed_at": now, **changes}
    moved = connection.execute(update(tables.study).where(unchanged).values(values))
    return moved.rowcount == 1


def reopen(database: Database, study: StudyRow, reason: str) -> bool:
    """Look at the waiting `study` again: what it lacked came in another one; return whether it moved.

    What was seen of it counts no more; that it woke others itself does, as nothing new is in it.
    """
    late = study.state is StudyState.DISPATCHED
    values = {"reason": reason, "evidence": {"woke": study.evidence.get("woke")}, "generation": study.generation + late}
    return _settle(database, study, StudyState.RECEIVING, values)


def instances_of(database: Database, spool: Spool, study_uid: Uid) -> tuple[Instance, ...]:
    """Return what is used of a study, in the order it came: no conflicts, and nothing that dicomnode made.

    What is not described yet is left out.
    """
    rows = tables.instance
    made_here = exists().where(tables.artifact.c.sop_uid == rows.c.sop_uid)
    used = select(rows).where(rows.c.study_uid == study_uid, ~rows.c.conflict, ~made_here, rows.c.kind != UNDESCRIBED)
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


def _record(connection: Connection, row: dict[str, Any], *, own: bool, strict: bool) -> Recorded:
    if not own and quick.add(connection, row):
        return Recorded.NEW
    known = {one.digest: one.kind for one in connection.execute(_KNOWN, {"uid": row["sop_uid"]})}
    study_uid, now = row["study_uid"], row["received_at"]
    if row["digest"] in known:
        if row["kind"] == UNDESCRIBED and known[row["digest"]] == "other":
            return Recorded.LEFT_OUT
        if _was_left_out(connection, row):
            _receive(connection, study_uid, now)
            return Recorded.NEW
        _touch(connection, study_uid, now)
        return Recorded.DUPLICATE
    if not (known and strict):
        connection.execute(_ADDED, row | {"conflict": bool(known)})
    if known:
        details = {"sop_uid": row["sop_uid"], "digest": row["digest"], "used": next(iter(known)), "kept": not strict}
        add_event(connection, Event(at=now, who=row["source_ae"], what=Reason.UID_CONFLICT, details=details))
        return Recorded.REFUSED if strict else Recorded.CONFLICT
    if not own and connection.execute(_MADE, {"uid": row["sop_uid"]}).first() is None:
        _receive(connection, study_uid, now)
    return Recorded.NEW


def _settle(database: Database, study: StudyRow, after: StudyState, values: Mapping[str, object]) -> bool:
    with database.write() as connection:
        if not move_study(connection, study, after, values, database.now()):
            return False
        details = {"study": study.study_uid, "reason": values["reason"]}
        add_event(connection, Event(at=database.now(), who="node", what=f"study_{after.value}", details=details))
        return True


def _was_left_out(connection: Connection, row: dict[str, Any]) -> bool:
    """Describe by `row` what an earlier version, which did not read it, has left out; return whether it was so."""
    known = tables.instance.c
    which = and_(known.sop_uid == row["sop_uid"], known.digest == row["digest"], known.kind == "other")
    if row["kind"] == "other":
        return False
    return connection.execute(update(tables.instance).where(which).values(row)).rowcount > 0


def _row(instance: Instance | Undescribed, arrival: Arrival) -> dict[str, Any]:
    return {
        "sop_uid": instance.sop_instance_uid,
        "digest": instance.digest,
        "series_uid": instance.series_uid,
        "study_uid": instance.study_uid,
        "key": arrival.key,
        "size": arrival.size,
        "kind": kind_of(instance),
        "modality": modality_of(instance),
        "facts": facts_of(instance),
        "source_ae": arrival.source_ae,
        "association_id": arrival.association_id,
    }


def _says_own(instance: Instance | Undescribed) -> bool:
    """Return whether `instance` says that dicomnode made it: a PACS that forwards it back sets nothing in motion."""
    if isinstance(instance, OtherInstance):
        return instance.exclusion.reason is Reason.OWN_RESULT
    return isinstance(instance, Annotation) and instance.own


def _touch(connection: Connection, study_uid: Uid, now: datetime) -> None:
    """Note that the study is still being sent, if it is being received."""
    which = and_(tables.study.c.study_uid == study_uid, tables.study.c.state == StudyState.RECEIVING.value)
    connection.execute(update(tables.study).where(which).values(last_instance_at=now))


def _receive(connection: Connection, study_uid: Uid, now: datetime) -> None:
    """Let the study receive (again): late instances of a dispatched one begin its next generation."""
    which = tables.study.c.study_uid == study_uid
    row = connection.execute(_STUDY, {"uid": study_uid}).one_or_none()
    if row and row.state == StudyState.RECEIVING.value:
        connection.execute(_CAME, {"uid": study_uid, "now": now})
        return
    came = {"state": StudyState.RECEIVING.value, "reason": None, "last_instance_at": now}
    if row is None:
        new = {"study_uid": study_uid, "generation": 1, "changed_at": now}
        connection.execute(insert(tables.study).values(came | new))
        return
    before = StudyState(row.state)
    check_move(STUDY_MOVES, before, StudyState.RECEIVING)
    came["changed_at"] = now
    late = before is StudyState.DISPATCHED
    connection.execute(update(tables.study).where(which).values(came | {"generation": row.generation + late}))


def _studies() -> Select[tuple[object, ...]]:
    """Select studies, each with the number of associations that brought instances of it and are open.

    From those that are open, each is looked up: a study may have thousands of instances, and is looked at often.
    """
    brought, open_ = tables.instance.c, tables.association.c
    did = exists().where(brought.association_id == open_.id, brought.study_uid == tables.study.c.study_uid)
    count = select(func.count()).select_from(tables.association).where(open_.closed_at.is_(None), did)
    return select(tables.study, count.scalar_subquery().label("open_associations"))


def _study(row: Row[tuple[object, ...]]) -> StudyRow:
    return StudyRow(
        study_uid=Uid(row.study_uid),
        state=StudyState(row.state),
        reason=row.reason,
        last_instance_at=row.last_instance_at,
        generation=row.generation,
        open_associations=row.open_associations,
        evidence=row.evidence or {},
        changed_at=row.changed_at,
    )
