"""A database of an older version goes on with the jobs and instances that it has."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from dicomnode.domain import (
    SEG_ONLY,
    ImageInstance,
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
from dicomnode.store import deliveries, jobs, tables
from dicomnode.store.arrivals import Recorded, instances_of
from dicomnode.store.database import Database, migrate
from dicomnode.store.facts import facts_of
from dicomnode.store.spool import Spool
from tests.rows import STUDY, annotation, image, own_result, receive

_PLACE: dict[str, Any] = {"position": [0.1, -2.0, 1 / 3], "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]}


@pytest.fixture
def old(tmp_path: Path) -> Database:
    """Return a database of the first version with a job on one image, and a result of its own."""
    database = Database(tmp_path / "node.sqlite")
    with database.write() as connection:
        migrate(connection, "0001")
    receive(database, image(), annotation(), own_result())
    with database.write() as connection:
        facts = facts_of(image())
        (frame,) = facts.pop("frames")
        del facts["tags"]
        connection.execute(
            tables.instance.update()
            .filter_by(kind="image")
            .values(facts=facts | _PLACE | {"spacing": frame["spacing"]})
        )
        drawn = facts_of(annotation())
        for name in ("references", "samples", "objects", "own"):
            del drawn[name]
        drawn["referenced_images"] = {"1.2.3.1": 2}
        connection.execute(tables.instance.update().filter_by(kind="annotation").values(facts=drawn))
        connection.execute(insert(tables.job).values(_old_job(database)))
    return database


def _old_job(database: Database) -> dict[str, Any]:
    stack: dict[str, Any] = {"key": "1.2.3/1", "series_uid": "1.2.3", "study_uid": STUDY, "modality": "CT"}
    stack |= {"frame_of_reference_uid": "1.2.9", "images": [["1.2.3.1", "aa"]]}
    inputs = {"stack": stack, "annotation": ["1.2.4.1", "bb"], "options": {}}
    row = {"job_key": "j1", "study_uid": STUDY, "state": "ready", "attempts": 0, "inputs": inputs, "generation": 1}
    return row | {"created_at": database.now(), "changed_at": database.now()}


def test_jobs_and_images_of_the_first_version_are_understood(old: Database, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    old.upgrade()
    row = jobs.claim(old)
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
    with old.write() as connection:
        connection.execute(insert(tables.artifact).values(artifact | {"key": "k", "sha256": "s"}))
        connection.execute(insert(tables.delivery).values(delivery | {"next_at": old.now()}))
    old.upgrade()
    row = deliveries.claim(old, "pacs")
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
