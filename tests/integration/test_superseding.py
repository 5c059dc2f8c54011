"""Late images make a later generation, whose results take the place of the earlier ones."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from pydicom.uid import UID

from dicomnode.domain import DeliveryState, JobOptions, JobState, StudyState
from dicomnode.store import deliveries, jobs, runs, superseding
from dicomnode.store.events import events
from dicomnode.store.jobs import JobRow
from tests.builders import STUDY, ct_series, rtstruct, square
from tests.couriers import claim_next, put_back
from tests.inbox import Inbox, inbox
from tests.rows import artifact

IMAGES = ct_series(planes=8)
DRAWN = rtstruct(IMAGES[:5], {"liver": [square(10, 8, 20, 16, 2.5)]})


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Inbox]:
    """Lend an inbox with a dispatched study."""
    with inbox(tmp_path) as box:
        box.send(*IMAGES[:5], DRAWN)
        assert box.sweep() == 1
        yield box


def finish(box: Inbox, sop_uid: str) -> str:
    """Let the next job be done with one SEG; return its key."""
    row = begin(box)
    assert runs.complete(box.desk, row, (artifact(sop_uid, sha256=sop_uid),), {})
    return row.key


def begin(box: Inbox) -> JobRow:
    """Let the next job run."""
    row = runs.claim(box.desk.database, jobs.ready(box.desk.database)[0].key)
    assert row is not None
    return row


def late(box: Inbox, number: int) -> None:
    """Let one more image come, which makes a new job."""
    box.send(IMAGES[number])
    assert box.sweep(after=10) == 1


def delivery_states(box: Inbox) -> dict[str, DeliveryState]:
    return {row.sop_uid: row.state for row in deliveries.all_deliveries(box.desk.database)}


def superseded(box: Inbox) -> list[tuple[str, str]]:
    return [(one.details["job"], one.details["by"]) for one in events(box.desk.database, "job_superseded")]


def test_the_result_of_late_images_supersedes_the_one_before_which_is_not_sent_any_more(box: Inbox) -> None:
    first = finish(box, "1.2.6.1")
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.WAITING}
    late(box, 5)
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.REPLACED}
    second = finish(box, "1.2.6.2")
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.REPLACED, "1.2.6.2": DeliveryState.WAITING}
    assert superseded(box) == [(first, second)]
    assert superseding.superseded_by(box.desk.database, [first, second]) == {second: first}
    assert (box.study().state, box.study().generation) == (StudyState.DISPATCHED, 2)


def test_what_was_sent_stays_sent(box: Inbox) -> None:
    finish(box, "1.2.6.1")
    row = claim_next(box.desk.database)
    assert row is not None
    deliveries.delivered(box.desk.database, row, 0)
    late(box, 5)
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.DELIVERED}


def test_what_was_refused_is_not_sent_again(box: Inbox) -> None:
    finish(box, "1.2.6.1")
    row = claim_next(box.desk.database)
    assert row is not None
    deliveries.bury(box.desk.database, row, "it takes none")
    late(box, 5)
    assert deliveries.replay_all(box.desk.database, "pacs", "an administrator") == 0
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.REPLACED}


def test_what_is_being_sent_meanwhile_is_not_sent_again_after_the_new_one(box: Inbox) -> None:
    finish(box, "1.2.6.1")
    row = claim_next(box.desk.database)
    assert row is not None
    late(box, 5)
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.SENDING}
    put_back(box.desk.database, row, "it broke off")
    box.clock.advance(hours=1)
    assert claim_next(box.desk.database) is None
    assert superseding.replace_late(box.desk.database) == 1
    assert superseding.replace_late(box.desk.database) == 0
    assert delivery_states(box) == {"1.2.6.1": DeliveryState.REPLACED}


def test_a_job_that_has_not_begun_is_cancelled(box: Inbox) -> None:
    (first,) = box.jobs()
    late(box, 5)
    before = jobs.job_row(box.desk.database, first.key)
    assert before.state is JobState.CANCELLED
    assert str(before.reason).startswith("superseded by job ")
    assert finish(box, "1.2.6.2") != first.key
    assert jobs.ready(box.desk.database) == ()


def test_a_job_that_is_running_ends_and_delivers_nothing(box: Inbox) -> None:
    row = begin(box)
    late(box, 5)
    assert runs.complete(box.desk, row, (artifact(),), {})
    assert delivery_states(box) == {}
    assert jobs.job_row(box.desk.database, row.key).state is JobState.DONE


def test_each_generation_supersedes_the_one_before(box: Inbox) -> None:
    keys = [finish(box, "1.2.6.1")]
    for number in (5, 6, 7):
        late(box, number)
        keys.append(finish(box, f"1.2.6.{number}"))
    assert superseded(box) == list(pairwise(keys))
    assert [state for state in delivery_states(box).values() if state is DeliveryState.WAITING] == [
        DeliveryState.WAITING
    ]


def test_a_pair_whose_images_did_not_change_keeps_its_job(box: Inbox) -> None:
    others = ct_series(planes=5, SeriesInstanceUID=f"{STUDY}.5", FrameOfReferenceUID=f"{STUDY}.9.5")
    for number, ds in enumerate(others):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.5.{number}")
    second = rtstruct(others, {"node": [square(10, 8, 20, 16, 2.5)]}, frame_of_reference=f"{STUDY}.9.5")
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.3.5")
    (first,) = box.jobs()
    box.send(*others)
    assert box.sweep(after=10) == 0
    box.send(second)
    assert box.sweep() == 1
    assert [one.state for one in box.jobs()] == [JobState.READY, JobState.READY]
    assert superseded(box) == []
    assert box.jobs()[0].key == first.key


def test_late_images_of_another_study_make_a_generation_too(box: Inbox) -> None:
    drawn = rtstruct(IMAGES[:6], {"liver": [square(10, 8, 20, 16, 5.0)]})
    drawn.StudyInstanceUID = f"{STUDY}.77"
    drawn.SOPInstanceUID = drawn.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.77.1")
    box.send(drawn)
    assert [box.sweep(after=20), box.sweep(after=600)] == [0, 1]
    box.send(IMAGES[5])
    box.sweep(after=10)
    box.sweep()
    assert box.study(f"{STUDY}.77").generation == 2
    assert len(superseded(box)) == 2


def test_other_options_for_the_same_images_supersede_nothing(box: Inbox) -> None:
    other = replace(box, orders=replace(box.orders, options=JobOptions(margin_mm=2.0)))
    localizer = ct_series(planes=1, SeriesInstanceUID=f"{STUDY}.6")[0]
    localizer.SOPInstanceUID = localizer.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.6.1")
    other.send(localizer)
    assert other.sweep(after=10) == 1
    assert superseded(box) == []
