"""Images are described after their senders were answered, and before anybody has to know what they are."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from dicomnode.describing import describe_pending, instances_of
from dicomnode.domain import ImageInstance, OtherInstance, StudyState, Uid
from dicomnode.errors import Reason
from dicomnode.network.part10 import StoreRequest
from dicomnode.receiving import receive
from dicomnode.store import arrivals, jobs, tables
from tests.builders import STUDY, ct_series, rtstruct, square
from tests.inbox import EXPLICIT, Inbox, inbox

IMAGES = ct_series(planes=6)
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Inbox]:
    with inbox(tmp_path) as box:
        yield box


def kinds(box: Inbox) -> set[str]:
    with box.desk.database.read() as connection:
        return {row.kind for row in connection.execute(tables.instance.select())}


def put_bytes(box: Inbox, association: int, ds: Dataset, more: bytes = b"", size: int | None = None) -> None:
    """Let the first `size` bytes of `ds`, and `more`, come."""
    request = StoreRequest(
        sop_class_uid=Uid(ds.SOPClassUID),
        sop_instance_uid=Uid(ds.SOPInstanceUID),
        transfer_syntax_uid=Uid(EXPLICIT),
        peer_ae="SENDER",
        association_id=association,
    )
    content = encode(ds, is_implicit_vr=False, is_little_endian=True)
    assert content is not None
    receive(box.desk, request, [content[:size] + more])


def test_images_that_come_slowly_are_described_while_more_come(box: Inbox) -> None:
    association = box.open()
    box.put(association, *IMAGES[:3])
    assert box.sweep() == 0
    assert kinds(box) == {"image"}
    box.put(association, *IMAGES[3:])
    assert kinds(box) == {"image", "undescribed"}
    box.sweep()
    assert kinds(box) == {"image"}
    assert box.study().open_associations == 1


def test_images_that_come_fast_are_described_once_nobody_is_sending_them(
    box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.describing.FEW", 7)
    other = ct_series(planes=2, StudyInstanceUID=f"{STUDY}.9", SeriesInstanceUID=f"{STUDY}.9.1")
    for number, ds in enumerate(other):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.9.2.{number}")
    association = box.open()
    box.put(association, *IMAGES, *other)  # more than 7 of both together
    assert box.sweep() == 0
    assert kinds(box) == {"undescribed"}
    box.close(association)
    box.sweep()
    assert kinds(box) == {"image"}


def test_annotations_are_described_as_they_come(box: Inbox) -> None:
    box.put(box.open(), DRAWN)
    assert kinds(box) == {"annotation"}


def test_a_study_does_not_start_while_something_of_it_is_not_described(box: Inbox) -> None:
    box.send(*IMAGES)
    study = box.study()
    assert jobs.dispatch(box.desk, study, [], ("it was quiet", {})) is None
    describe_pending(box.desk, study.study_uid)
    assert jobs.dispatch(box.desk, study, [], ("it was quiet", {})) == ()


def test_an_image_that_is_cut_off_is_kept_and_the_rest_is_segmented(box: Inbox) -> None:
    (cut,) = ct_series(planes=1, InstanceNumber=77)
    cut.SOPInstanceUID = f"{STUDY}.77"
    association = box.open()
    box.put(association, *IMAGES, DRAWN)
    put_bytes(box, association, cut, size=len(encode(cut, is_implicit_vr=False, is_little_endian=True) or b"") // 8)
    box.close(association)
    assert box.sweep(after=60) == 1
    (left_out,) = (one for one in instances_of(box.desk, Uid(STUDY)) if isinstance(one, OtherInstance))
    assert left_out.sop_instance_uid == cut.SOPInstanceUID
    assert left_out.exclusion.reason is Reason.TRUNCATED


def test_an_object_that_names_itself_twice_is_not_used(box: Inbox) -> None:
    (ds,) = ct_series(planes=1)
    other = f"{STUDY}.66".encode()
    other += b"\0" * (len(other) % 2)
    again = b"\x08\0\x18\0UI" + len(other).to_bytes(2, "little") + other
    put_bytes(box, box.open(), ds, again, size=-(len(ds.PixelData) + 12))
    (found,) = instances_of(box.desk, Uid(STUDY))
    assert isinstance(found, OtherInstance)
    assert (found.exclusion.reason, found.sop_instance_uid) == (Reason.UID_MISMATCH, ds.SOPInstanceUID)


def test_a_picture_that_another_node_made_sets_nothing_in_motion(box: Inbox) -> None:
    (ds,) = ct_series(planes=1)
    equipment = Dataset()
    equipment.Manufacturer = "dicomnode"
    ds.ContributingEquipmentSequence = [equipment]
    box.send(ds)
    assert kinds(box) == {"other"}
    assert arrivals.study_of(box.desk.database, Uid(STUDY)) is None


def test_what_cannot_be_used_and_comes_again_is_a_duplicate(box: Inbox) -> None:
    (ds,) = ct_series(planes=1)
    ds.ImageOrientationPatient = [1, 1, 0, 0, 1, 0]
    box.send(ds)
    box.sweep(after=60)
    before = box.study()
    assert before.state is StudyState.INCOMPLETE
    box.send(ds)
    assert box.study() == before
    assert kinds(box) == {"other"}


def test_what_an_earlier_version_left_out_is_described_when_it_comes_again(box: Inbox) -> None:
    box.send(IMAGES[0])
    (image,) = instances_of(box.desk, Uid(STUDY))
    with box.desk.database.write() as connection:
        connection.execute(tables.instance.update().values(kind="other"))
    box.send(IMAGES[0])
    assert kinds(box) == {"image"}
    (again,) = instances_of(box.desk, Uid(STUDY))
    assert isinstance(again, ImageInstance)
    assert again == replace(image, path=again.path)


def test_what_was_not_described_before_a_death_is_described_after_it(tmp_path: Path) -> None:
    with inbox(tmp_path) as box:
        box.send(DRAWN, *IMAGES)
    with inbox(tmp_path) as box:
        assert kinds(box) == {"annotation", "undescribed"}
        assert box.sweep(after=60) == 1
