"""Record what comes as a rule with the driver's own statements: the first bytes under a new UID, of an open study."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement, Connection, bindparam, exists, false, insert, literal_column, null, select, update
from sqlalchemy.dialects import sqlite

from dicomnode.domain import StudyState
from dicomnode.store import tables

_DIALECT = sqlite.dialect(paramstyle="named")
_ROW = {column.key: bindparam(column.key, type_=column.type) for column in tables.instance.columns}
_AS_A_RULE = {"conflict": false(), "same_object": null()}


def _text(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=_DIALECT))


_ADD = _text(
    insert(tables.instance).from_select(
        list(_ROW),
        select(*(_ROW | _AS_A_RULE).values()).where(
            ~exists().where(tables.instance.c.sop_uid == _ROW["sop_uid"]),
            ~exists().where(tables.artifact.c.sop_uid == _ROW["sop_uid"]),
            exists().where(
                tables.study.c.study_uid == _ROW["study_uid"],
                tables.study.c.state == literal_column(f"'{StudyState.RECEIVING.value}'"),
            ),
        ),
    )
)
_CAME = _text(
    update(tables.study)
    .where(tables.study.c.study_uid == _ROW["study_uid"])
    .values(last_instance_at=_ROW["received_at"])
)
_TO_SQL = {
    column.key: convert
    for column in tables.instance.columns
    if column.key not in _AS_A_RULE
    and (convert := column.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) is not None
}


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add the `row` of an instance within a transaction, if it is as a rule; return whether it is.

    That is: nothing came under its UID before, it was not made here, and its study is being received. Everything else
    is left as it is, to those who know what it means.
    """
    driver: Any = connection.connection.driver_connection
    values = dict(row)
    for name, convert in _TO_SQL.items():
        values[name] = convert(values[name])
    if not driver.execute(_ADD, values).rowcount:
        return False
    driver.execute(_CAME, {"study_uid": values["study_uid"], "received_at": values["received_at"]})
    return True
