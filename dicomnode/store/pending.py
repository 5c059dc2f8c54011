"""Keep which instances are not described yet, and record what they are found to be."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, exists, select, update

from dicomnode.domain import Instance, Uid, Undescribed
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.facts import UNDESCRIBED, facts_of, kind_of, modality_of


class Pending(NamedTuple):
    """An instance that is not described yet, and its file in the spool."""

    instance: Undescribed
    key: str


def of_study(database: Database, study_uid: Uid, limit: int) -> tuple[Pending, ...]:
    """Return at most `limit` instances of the study that are not described yet."""
    rows = tables.instance.c
    wanted = select(tables.instance).where(rows.study_uid == study_uid, rows.kind == UNDESCRIBED).limit(limit)
    with database.read() as connection:
        return tuple(Pending(_undescribed(row), row.key) for row in connection.execute(wanted))


def describe(database: Database, found: Iterable[Instance]) -> None:
    """Record what instances that were not described yet are, in one transaction."""
    rows = tables.instance.c
    with database.write() as connection:
        for one in found:
            which = and_(rows.sop_uid == one.sop_instance_uid, rows.digest == one.digest, rows.kind == UNDESCRIBED)
            values = {"kind": kind_of(one), "modality": modality_of(one), "facts": facts_of(one)}
            connection.execute(update(tables.instance).where(which).values(values))


def is_left(study_uid: Uid) -> ColumnElement[bool]:
    """Return whether something that is used of the study is not described yet."""
    rows = tables.instance.c
    return exists().where(rows.study_uid == study_uid, rows.kind == UNDESCRIBED, ~rows.conflict)


def _undescribed(row: Row[Any]) -> Undescribed:
    return Undescribed(
        sop_instance_uid=Uid(row.sop_uid),
        sop_class_uid=Uid(row.facts["sop_class_uid"]),
        series_uid=Uid(row.series_uid),
        study_uid=Uid(row.study_uid),
        digest=row.digest,
        modality=row.modality,
    )
