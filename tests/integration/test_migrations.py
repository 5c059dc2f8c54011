"""A database of an older version goes on with the jobs and instances that it has."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, insert

from dicomnode.domain import (
    SEG_ONLY,
    ImageInstance,
    Instance,
    ObjectKind,
    OtherInstance,
    Place,
    PlaneKey,
    Reference,
    SegSyntax,
    SegType,
    Uid,
)
from dicomnode.errors import Reason
from dicomnode.store import deliveries, jobs, runs, tables
from dicomnode.store.arrivals import Recorded, instances_of
from dicomnode.store.database import Database, migrate
from dicomnode.store.facts import facts_of, kind_of, modality_of
from dicomnode.store.spool import Spool
from tests.couriers import claim_next
from tests.rows import STUDY, annotation, image, own_result, receive

_PLACE: dict[str, Any] = {"position": [0.1, -2.0, 1 / 3], "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]}


@pytest.fixture
def old(tmp_path: Path) -> Database:
    """Return a database of the first version with a job on one image, and a result of its own."""
    database = Database(tmp_path / "node.sqlite")
    with database.write() as connection:
        migrate(connection, "0001")
    facts = facts_of(image())
    (frame,) = facts.pop("frames")
    del facts["tags"]
    drawn = facts_of(annotation())
    for name in ("references", "samples", "objects", "own"):
        del drawn[name]
    drawn["referenced_images"] = {"1.2.3.1": 2}
    now = database.now()
    put(database, "association", {"id": 1, "peer_ae": "PEER", "opened_at": now, "closed_at": now, "ended": "released"})
    put(database, "study", {"study_uid": STUDY, "state": "receiving", "last_instance_at": now, "generation": 1})
    put(database, "instance", _old_instance(image(), facts | _PLACE | {"spacing": frame["spacing"]}, now))
    put(database, "instance", _old_instance(annotation(), drawn, now))
    put(database, "instance", _old_instance(own_result(), facts_of(own_result()), now))
    put(database, "job", _old_job(database))
    return database


def put(database: Database, name: str, row: dict[str, Any]) -> None:
    """Insert `row` into the table as the database has it."""
    with database.write() as connection:
        connection.execute(insert(Table(name, MetaData(), autoload_with=connection)).values(row))


def _old_instance(instance: Instance, facts: dict[str, Any], now: datetime) -> dict[str, Any]:
    uids = {"sop_uid": instance.sop_instance_uid, "series_uid": instance.series_uid, "study_uid": instance.study_uid}
    facts = {"sha256" if name == "digest" else name: value for name, value in facts.items()}
    row = {"sha256": instance.digest, "key": f"{instance.sop_instance_uid}-{instance.digest}.dcm", "size": 9}
    row |= {"kind": kind_of(instance), "modality": modality_of(instance), "facts": facts, "conflict": False}
    return uids | row | {"source_ae": "PEER", "association_id": 1, "received_at": now}


def _old_job(database: Database) -> dict[str, Any]:
    stack: dict[str, Any] = {"key": "1.2.3/1", "series_uid": "1.2.3", "study_uid": STUDY, "modality": "CT"}
    stack |= {"frame_of_reference_uid": "1.2.9", "images": [["1.2.3.1", "aa"]]}
    inputs = {"stack": stack, "annotation": ["1.2.4.1", "bb"], "options": {}}
    row = {"job_key": "j1", "study_uid": STUDY, "state": "ready", "attempts": 0, "inputs": inputs, "generation": 1}
    return row | {"created_at": database.now(), "changed_at": database.now()}


def test_jobs_and_images_of_the_first_version_are_understood(old: Database, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    old.upgrade()
    row = runs.claim(old, "j1")
    assert row is not None
    job = jobs.load(old, spool, row)
    assert job.annotation.references == (Reference(PlaneKey(Uid("1.2.3.1")), 2),)
    (plane,) = job.images.planes
    assert plane.key == ("1.2.3.1", None)
    assert plane.frame.place == Place(position=(0.1, -2.0, 1 / 3), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    assert plane.frame.spacing == image().frames[0].spacing
    found = instances_of(old, spool, STUDY)
    assert {type(one) for one in found} >= {ImageInstance}
    old.close()


def test_segs_of_the_first_version_are_binary_and_still_sent(old: Database) -> None:
    artifact = {
        "sop_uid": "1.2.6.1",
        "job_key": "j1",
        "kind": "SEG",
        "sop_class_uid": "1.2.3",
        "key": "k",
        "sha256": "s",
    }
    delivery = {"sop_uid": "1.2.6.1", "destination": "pacs", "job_key": "j1", "state": "waiting", "attempts": 0}
    put(old, "artifact", artifact)
    put(old, "delivery", delivery | {"next_at": old.now()})
    old.upgrade()
    row = claim_next(old)
    assert row is not None
    assert (row.kind, row.alternative) == (ObjectKind.SEG, SegType.BINARY)
    assert SEG_ONLY.syntaxes(row) == (SegSyntax.NATIVE,)
    assert deliveries.fall_back(old, row, SEG_ONLY, "it takes no segmentations") is None
    old.close()


def leave_out(database: Database, reason: str) -> None:
    """Make an image one that the first version left out for `reason`."""
    left_out = facts_of(own_result())
    left_out["exclusion"] = {"what": "image", "reason": reason, "detail": "some words"}
    with database.write() as connection:
        connection.execute(tables.instance.update().filter_by(kind="image").values(kind="other", facts=left_out))


@pytest.mark.parametrize("reason", ["NO_GEOMETRY", "UNSUPPORTED_IMAGE", "UNSUPPORTED_MULTIFRAME"])
def test_an_image_that_the_first_version_left_out_is_set_aside_until_it_is_sent_again(
    old: Database, tmp_path: Path, reason: str
) -> None:
    leave_out(old, reason)
    old.upgrade()
    spool = Spool(tmp_path)
    left_out, own = (one for one in instances_of(old, spool, STUDY) if isinstance(one, OtherInstance))
    assert left_out.exclusion.reason is Reason.UNSUPPORTED_IMAGE
    assert "received by an earlier version" in left_out.exclusion.detail
    assert own.exclusion == own_result().exclusion
    assert receive(old, image(), own_result(), image()) == [Recorded.NEW, Recorded.DUPLICATE, Recorded.DUPLICATE]
    (again,) = (one for one in instances_of(old, spool, STUDY) if isinstance(one, ImageInstance))
    assert again.frames == image().frames
    old.close()
