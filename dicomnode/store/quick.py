"""Record what comes as a rule with the driver's own statements: the first bytes under a new UID, of an open study."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, Connection, bindparam, exists, insert, null, select, update
from sqlalchemy.dialects import sqlite

from dicomnode.domain import StudyState
from dicomnode.store import tables

_DIALECT = sqlite.dialect(paramstyle="named")
_UID: BindParameter[str] = bindparam("sop_uid")
_STUDY: BindParameter[str] = bindparam("study_uid")


def _text(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=_DIALECT))


_NOW_SO = _text(
    select(
        exists().where(tables.instance.c.sop_uid == _UID),
        exists().where(tables.artifact.c.sop_uid == _UID),
        select(tables.study.c.state).where(tables.study.c.study_uid == _STUDY).scalar_subquery(),
    )
)
_ADD = _text(insert(tables.instance))
_CAME = _text(
    update(tables.study)
    .where(tables.study.c.study_uid == _STUDY)
    .values(last_instance_at=bindparam("received_at"), reason=null())
)
_USUAL = (0, 0, StudyState.RECEIVING.value)
_TO_SQL = {
    column.key: convert
    for column in tables.instance.columns
    if (convert := column.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) is not None
}


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add the `row` of an instance within a transaction, if it is as a rule; return whether it is.

    That is: nothing came under its UID before, it was not made here, and its study is being received. Everything else
    is left as it is, to those who know what it means.
    """
    driver: Any = connection.connection.driver_connection
    if driver.execute(_NOW_SO, {"sop_uid": row["sop_uid"], "study_uid": row["study_uid"]}).fetchone() != _USUAL:
        return False
    values = {**row, "conflict": False, "same_object": None}
    for name, convert in _TO_SQL.items():
        values[name] = convert(values[name])
    driver.execute(_ADD, values)
    driver.execute(_CAME, {"study_uid": values["study_uid"], "received_at": values["received_at"]})
    return True
