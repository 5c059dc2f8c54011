"""Find what belongs together across studies: the images and annotations that an annotation of another study names."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from sqlalchemy import Connection, exists, func, select, true

from dicomnode.domain import Annotation, Instance, OtherInstance, StudyState, Uid
from dicomnode.store import tables
from dicomnode.store.arrivals import StudyRow, studies_in
from dicomnode.store.database import Database
from dicomnode.store.facts import UNDESCRIBED, instance_of
from dicomnode.store.spool import Spool

_AT_ONCE = 500  # SQLite binds a limited number of values
_LACKING = frozenset({StudyState.HELD, StudyState.INCOMPLETE, StudyState.EXPIRED})
_REFERENCES, _LISTED, _OBJECTS = "$.references", "$.listed", "$.objects"  # where the facts of an annotation have them
_WAITING = _LACKING | {StudyState.DISPATCHED}

_Naming: TypeAlias = dict[tuple[Uid, Uid], set[Uid]]  # (study, annotation) -> what the annotation names


def related_to(
    database: Database, spool: Spool, study_uid: Uid, annotations: Collection[Annotation]
) -> tuple[Instance, ...]:
    """Return what is in other studies and `annotations` of the study name.

    That is the annotations that they need, and the images of the series of which they or those name an image. A SOP
    Instance UID is proof enough that they are of one patient: nothing else is asked.
    """
    with database.read() as connection:
        needed = _needed(connection, spool, study_uid, annotations)
        named = sorted(_images_of((*annotations, *needed)))
        return (*needed, *_images(connection, spool, study_uid, named))


def undescribed_for(
    database: Database, spool: Spool, study_uid: Uid, annotations: Collection[Annotation]
) -> tuple[Uid, ...]:
    """Return the other studies with something not described yet of which `related_to` tells once it is."""
    rows = tables.instance
    found: set[Uid] = set()
    with database.read() as connection:
        needed = _needed(connection, spool, study_uid, annotations)
        series = _series(connection, study_uid, sorted(_images_of((*annotations, *needed))))
        for some in _parts(sorted(series)):
            pending = select(rows.c.study_uid).where(rows.c.series_uid.in_(some), rows.c.kind == UNDESCRIBED)
            found |= {Uid(uid) for uid in connection.scalars(pending.distinct())}
    return tuple(sorted(found))


def waiting_for(database: Database, instances: Iterable[Instance]) -> tuple[StudyRow, ...]:
    """Return the studies with an annotation that names one of `instances`, or needs one that names one.

    A dispatched study is one of them only if such an annotation has no job with it yet.
    """
    here = {one.sop_instance_uid for one in instances if not isinstance(one, OtherInstance)}
    with database.read() as connection:
        naming = _naming(connection, here)
    if not naming:
        return ()
    waiting = [study for study in studies_in(database, _WAITING) if any(study.study_uid == uid for uid, _ in naming)]
    with database.read() as connection:
        return tuple(study for study in waiting if study.state in _LACKING or _lacks(connection, study, naming))


def _needed(
    connection: Connection, spool: Spool, study_uid: Uid, annotations: Iterable[Annotation]
) -> tuple[Annotation, ...]:
    """Return the annotations of other studies that `annotations` need, none of which was made here."""
    rows = tables.instance
    made_here = exists().where(tables.artifact.c.sop_uid == rows.c.sop_uid)
    found: list[Instance] = []
    for some in _parts(sorted({uid for one in annotations for uid in one.objects})):
        used = select(rows).where(rows.c.sop_uid.in_(some), rows.c.kind == "annotation", ~rows.c.conflict, ~made_here)
        elsewhere = used.where(rows.c.study_uid != study_uid).order_by(rows.c.sop_uid)
        found.extend(instance_of(row.kind, row.facts, spool.path(row.key)) for row in connection.execute(elsewhere))
    return tuple(one for one in found if isinstance(one, Annotation))


def _images(connection: Connection, spool: Spool, study_uid: Uid, named: list[Uid]) -> list[Instance]:
    """Return the images of the series in other studies of which one is `named`."""
    rows = tables.instance
    found: list[Instance] = []
    for some in _parts(sorted(_series(connection, study_uid, named))):
        members = select(rows).where(rows.c.series_uid.in_(some), rows.c.kind == "image", ~rows.c.conflict)
        found.extend(
            instance_of(row.kind, row.facts, spool.path(row.key))
            for row in connection.execute(members.order_by(rows.c.sop_uid))
        )
    return found


def _series(connection: Connection, study_uid: Uid, named: list[Uid]) -> set[str]:
    """Return the series in other studies of which an image is `named`; what is not described yet may be one."""
    rows = tables.instance
    series: set[str] = set()
    for some in _parts(named):
        elsewhere = select(rows.c.series_uid).where(rows.c.sop_uid.in_(some), rows.c.study_uid != study_uid)
        series |= set(connection.scalars(elsewhere.where(rows.c.kind.in_(["image", UNDESCRIBED])).distinct()))
    return series


def _naming(connection: Connection, here: Collection[Uid]) -> _Naming:
    """Return the annotations that name one of `here`, or need one that does, and which of `here`."""
    found = _listing(connection, _REFERENCES, here) if here else {}
    for where in (_LISTED, _OBJECTS) if here else ():
        for key, uids in _listing(connection, where, here).items():
            found.setdefault(key, set()).update(uids)
    of_annotation = {annotation: uids for (_, annotation), uids in found.items()}
    needing = _listing(connection, _OBJECTS, of_annotation) if of_annotation else {}
    for key, needed in needing.items():
        found.setdefault(key, set()).update(*(of_annotation[uid] for uid in needed))
    return found


def _listing(connection: Connection, where: str, wanted: Collection[Uid]) -> _Naming:
    """Return the annotations with one of `wanted` in the list `where` of their facts; SQLite reads the JSON."""
    rows = tables.instance
    each = func.json_each(rows.c.facts, where).table_valued("value", name="each")
    uid = func.json_extract(each.c.value, "$[0][0]") if where == _REFERENCES else each.c.value
    sought = select(func.json_each(json.dumps(sorted(wanted))).table_valued("value", name="sought").c.value)
    query = select(rows.c.study_uid, rows.c.sop_uid, uid.label("uid")).select_from(rows.join(each, true()))
    found: _Naming = defaultdict(set)
    for row in connection.execute(query.where(rows.c.kind == "annotation", ~rows.c.conflict, uid.in_(sought))):
        found[Uid(row.study_uid), Uid(row.sop_uid)].add(Uid(row.uid))
    return found


def _lacks(connection: Connection, study: StudyRow, naming: Mapping[tuple[Uid, Uid], set[Uid]]) -> bool:
    """Return whether an annotation of `study` names what no job of that annotation has."""
    used: dict[str, set[str]] = defaultdict(set)
    for inputs in connection.scalars(select(tables.job.c.inputs).where(tables.job.c.study_uid == study.study_uid)):
        (annotation, _), *companions = inputs["annotations"]
        used[annotation] |= {uid for uid, *_ in (*inputs["stack"]["planes"], *companions)}
    of_study = {annotation: uids for (study_uid, annotation), uids in naming.items() if study_uid == study.study_uid}
    return any(uids - used[annotation] for annotation, uids in of_study.items())


def _images_of(annotations: Iterable[Annotation]) -> set[Uid]:
    return {plane.sop_instance_uid for annotation in annotations for plane, _ in annotation.references}


def _parts(values: list[Uid] | list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield list(values[start : start + _AT_ONCE])
