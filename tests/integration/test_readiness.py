"""When studies start: every order and end of associations, with a clock that is set."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random

import pytest
from pydicom import Dataset

from dicomnode.counting import ask_counts
from dicomnode.dispatching import give_up_studies
from dicomnode.domain import AssociationEnd, FetchState, StudyState, Uid
from dicomnode.errors import PeerUnreachable
from dicomnode.listening import Listening, hooks
from dicomnode.network.admission import Caller
from dicomnode.store import arrivals, associations, fetches, studies
from dicomnode.store.disk import Disk
from dicomnode.store.events import events
from dicomnode.store.fetches import FOR_ANNOTATION
from dicomnode.store.queueing import STUDIES
from tests.builders import STUDY, ct_series, rtstruct, square
from tests.inbox import Inbox, inbox, other_study

IMAGES = ct_series(planes=6)
SERIES = Uid(IMAGES[0].SeriesInstanceUID)
LIVER = {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]}
DRAWN = rtstruct(IMAGES, LIVER)


def of_drawn_images() -> Dataset:
    """Return a structure set that lists only the images that it is drawn on."""
    return rtstruct([IMAGES[1], IMAGES[2]], LIVER)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Inbox]:
    with inbox(tmp_path) as box:
        yield box


def only_job(box: Inbox) -> None:
    """Assert that there is one job, on all images."""
    (job,) = box.jobs()
    assert box.planes(job) == [ds.SOPInstanceUID for ds in IMAGES]


@pytest.mark.parametrize("first", ["images", "annotation"])
def test_images_and_annotation_start_as_soon_as_the_association_of_the_last_is_released(box: Inbox, first: str) -> None:
    one, other = (IMAGES, [DRAWN]) if first == "images" else ([DRAWN], IMAGES)
    box.send(*one)
    assert [box.sweep(), box.sweep(after=60)] == [0, 0]
    assert box.study().state is (StudyState.INCOMPLETE if first == "images" else StudyState.HELD)
    association = box.open()
    box.put(association, *other)
    assert box.sweep(after=60) == 0
    box.close(association)
    assert box.sweep() == 1
    only_job(box)


def test_images_over_two_associations_make_one_job(box: Inbox) -> None:
    box.send(DRAWN, *IMAGES[:3])
    assert box.sweep(after=9) == 0
    box.send(*IMAGES[3:])
    assert box.sweep() == 1
    only_job(box)


def test_a_list_of_what_is_drawn_on_alone_does_not_start_a_study_at_once(box: Inbox) -> None:
    box.send(of_drawn_images(), *IMAGES[:4])
    assert box.sweep() == 0
    box.send(*IMAGES[4:])
    assert box.sweep(after=9) == 0
    assert box.sweep(after=1) == 1
    only_job(box)


def test_images_that_never_come_are_done_without_after_a_while(box: Inbox) -> None:
    box.send(DRAWN, *IMAGES[:4])
    assert box.sweep(after=20) == 0
    study = box.study()
    assert study.state is StudyState.INCOMPLETE
    assert study.reason is not None
    assert "2 of the 6 images that its annotations name are not here" in study.reason
    assert box.sweep(after=500) == 0
    assert box.sweep(after=100) == 1
    assert "in spite of this: 2 of the 6 images" in str(box.study().reason)


def test_a_contour_where_no_plane_is_waits_for_the_images_there(box: Inbox) -> None:
    drawn = of_drawn_images()
    far = rtstruct([IMAGES[1], IMAGES[2]], {"liver": [square(10, 8, 20, 16, 12.5)]}, references=False)
    drawn.ROIContourSequence[0].ContourSequence.extend(far.ROIContourSequence[0].ContourSequence)
    box.send(drawn, *IMAGES[:3])
    assert box.sweep(after=20) == 0
    assert "drawn where no plane is within half a slice distance" in str(box.study().reason)
    box.send(*IMAGES[3:])
    assert box.sweep(after=10) == 1
    only_job(box)


def test_a_gap_waits_for_the_slices_in_it(box: Inbox) -> None:
    box.send(of_drawn_images(), *IMAGES[:4], IMAGES[5])
    assert box.sweep(after=20) == 0
    assert "1 slices are missing between planes" in str(box.study().reason)
    box.send(IMAGES[4])
    assert box.sweep(after=10) == 1
    only_job(box)


@pytest.mark.parametrize("ended", [AssociationEnd.ABORTED, AssociationEnd.LOST])
def test_an_association_that_broke_off_is_waited_for_until_its_caller_sends_again(
    box: Inbox, ended: AssociationEnd
) -> None:
    box.send(of_drawn_images(), *IMAGES[:4], ended=ended)
    assert box.sweep(after=60) == 0
    assert box.study().state is StudyState.INCOMPLETE
    assert "broke off" in str(box.study().reason)
    box.send(*IMAGES)
    assert box.sweep(after=10) == 1
    only_job(box)


def test_a_caller_that_comes_back_with_nothing_new_lets_the_study_start(box: Inbox) -> None:
    box.send(of_drawn_images(), *IMAGES, ended=AssociationEnd.ABORTED)
    assert box.sweep(after=60) == 0
    box.send(of_drawn_images(), *IMAGES)
    assert box.sweep() == 1
    only_job(box)


def test_a_caller_that_does_not_come_back_is_waited_for_so_long(box: Inbox) -> None:
    box.send(of_drawn_images(), *IMAGES, ended=AssociationEnd.LOST)
    assert [box.sweep(after=599), box.sweep(after=1)] == [0, 1]


def test_a_node_that_died_in_the_middle_makes_one_job_of_what_is_sent_again(box: Inbox) -> None:
    box.put(box.open(), of_drawn_images(), *IMAGES[:3])
    box.clock.advance(seconds=5)
    associations.close_orphans(box.desk.database)
    assert box.sweep(after=100) == 0
    box.send(of_drawn_images(), *IMAGES[:5])
    assert box.sweep(after=9) == 0
    box.send(*IMAGES[5:])
    assert box.sweep(after=10) == 1
    only_job(box)


def test_what_is_sent_again_takes_nothing_from_what_is_proven(box: Inbox) -> None:
    box.send(DRAWN, *IMAGES, ended=AssociationEnd.LOST)
    again = box.open()
    box.put(again, *IMAGES)
    box.close(again)
    assert box.sweep() == 1
    box.send(DRAWN, *IMAGES)
    assert box.sweep(after=60) == 0
    assert box.study().generation == 1


@pytest.mark.parametrize("seed", range(2))
def test_studies_that_are_shuffled_over_many_associations_make_one_job_each(box: Inbox, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a shuffle that can be had again
    callers = ["A", "B", "C", "D"]
    waiting: list[list[Dataset]] = [[] for _ in callers]
    for number in range(5):
        for ds in other_study(number):
            random.choice(waiting).append(ds)
    for objects in waiting:
        random.shuffle(objects)
    open_: dict[int, tuple[int, list[Dataset]]] = {}
    while any(waiting) or open_:
        sender = random.randrange(len(callers))
        if sender not in open_:
            some = [waiting[sender].pop() for _ in range(min(len(waiting[sender]), random.randint(1, 6)))]
            open_[sender] = box.open(callers[sender]), some
        association, left = open_[sender]
        if left:
            box.put(association, left[-1], caller=callers[sender])
            if random.random() < 0.1:  # it was kept, its answer was lost with the connection
                box.close(association, AssociationEnd.LOST)
                waiting[sender].extend(left)
                del open_[sender]
            else:
                left.pop()
        else:
            box.close(association)
            del open_[sender]
        box.sweep(after=random.choice([0.1, 2.0, 12.0]))
    box.sweep(after=700)
    made = box.jobs()
    assert len(made) == 5
    assert {len(box.planes(job)) for job in made} == {6}


def test_a_pacs_that_has_as_many_images_lets_a_study_start_at_once(box: Inbox) -> None:
    asked = []

    def count(study: Uid) -> Mapping[Uid, int]:
        asked.append(study)
        return {SERIES: 6, Uid("1.2.3"): 9}

    box.send(of_drawn_images(), *IMAGES)
    assert box.sweep() == 0
    ask_counts(box.desk, count)
    assert box.sweep() == 1
    assert "a PACS has the 6 instances of its series that are here" in str(box.study().reason)
    assert asked == [STUDY]


def test_a_mistake_that_an_answer_brings_out_is_as_good_as_no_answer(box: Inbox) -> None:
    def count(_study: Uid) -> Mapping[Uid, int]:
        raise ZeroDivisionError

    box.send(of_drawn_images(), *IMAGES)
    box.sweep()
    ask_counts(box.desk, count)
    assert box.study().evidence["told"]["series"] == {}


def test_a_pacs_that_has_more_images_is_asked_again_now_and_then(box: Inbox) -> None:
    asked: list[Uid] = []

    def count(study: Uid) -> Mapping[Uid, int]:
        asked.append(study)
        return {SERIES: 6}

    box.send(of_drawn_images(), *IMAGES[:4])
    box.sweep()
    for _ in range(3):
        ask_counts(box.desk, count)
        assert box.sweep(after=8) == 0
    assert len(asked) == 1
    assert "a PACS has 2 more instances of its series than are here" in str(box.study().reason)
    box.clock.advance(seconds=30)
    ask_counts(box.desk, count)
    assert len(asked) == 2
    box.send(*IMAGES[4:])
    assert box.sweep() == 0
    ask_counts(box.desk, count)
    assert (len(asked), box.sweep()) == (3, 1)
    only_job(box)


def test_a_count_holds_for_what_is_sent_again_and_is_not_asked_for_again(box: Inbox) -> None:
    asked: list[Uid] = []

    def count(study: Uid) -> Mapping[Uid, int]:
        asked.append(study)
        return {SERIES: 5}

    box.send(of_drawn_images(), *IMAGES[:4], IMAGES[5])  # a gap that is there in the PACS, too
    assert box.sweep() == 0
    for _ in range(3):
        ask_counts(box.desk, count)
        box.send(*IMAGES[:4])
        assert box.sweep(after=8) == 0
    assert asked == [STUDY]
    assert box.sweep(after=2) == 1
    assert "a PACS has the 5 instances of its series that are here" in str(box.study().reason)


@pytest.mark.parametrize("failing", [True, False])
def test_where_nobody_tells_a_count_the_time_decides(box: Inbox, *, failing: bool) -> None:
    def count(_study: Uid) -> None:
        if failing:
            raise PeerUnreachable("nobody there")

    box.send(of_drawn_images(), *IMAGES)
    box.sweep()
    ask_counts(box.desk, count)
    assert [box.sweep(after=8), box.sweep(after=2)] == [0, 1]


def test_what_an_annotation_names_is_asked_for_once(box: Inbox) -> None:
    box.send(DRAWN, *IMAGES[:4])
    for _ in range(5):
        box.sweep(after=10)
    (fetch,) = fetches.fetches_of(box.desk.database, Uid(STUDY))
    assert (fetch.origin, fetch.state) == (FOR_ANNOTATION, FetchState.WAITING)
    assert fetch.wanted.series == (SERIES,)
    assert set(fetch.wanted.instances) == {ds.SOPInstanceUID for ds in IMAGES[4:]}
    assert fetch.expires_at is not None
    assert "what is missing is asked for: until " in str(box.study().reason)


def test_a_study_whose_images_no_source_has_is_held_and_expires(box: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    box.send(DRAWN)
    assert box.sweep(after=20) == 0
    assert "a study cannot start: 1 annotations and no images" in caplog.text
    give_up_studies(box.desk, box.orders)
    assert box.study().state is StudyState.HELD
    fetch = fetches.claim(box.desk.database, fetches.due(box.desk.database)[0])
    assert fetch is not None
    fetches.fail(box.desk.database, fetch, "no source has them")
    assert box.study().state is StudyState.HELD
    assert str(box.study().reason).endswith("asked for: it could not be fetched: no source has them")
    box.clock.advance(hours=72)
    give_up_studies(box.desk, box.orders)
    assert box.study().state is StudyState.EXPIRED
    assert len(events(box.desk.database, "study_expired")) == 1


def test_images_without_an_annotation_expire_and_what_comes_later_revives_them(box: Inbox) -> None:
    box.send(*IMAGES)
    box.sweep(after=20)
    box.clock.advance(hours=71.9)
    give_up_studies(box.desk, box.orders)
    assert box.study().state is StudyState.INCOMPLETE
    box.clock.advance(hours=0.2)
    give_up_studies(box.desk, box.orders)
    assert (box.study().state, box.study().changed_at) == (StudyState.EXPIRED, box.clock.now)
    assert box.study().reason == "given up after 72 hours: 6 images and no annotation of them"
    box.send(DRAWN)
    assert box.sweep() == 1
    only_job(box)


def test_an_expired_annotation_is_revived_by_images_in_another_study(box: Inbox) -> None:
    drawn = rtstruct(IMAGES, LIVER)
    drawn.StudyInstanceUID = f"{STUDY}.77"
    box.send(drawn)
    box.sweep(after=20)
    box.clock.advance(hours=73)
    give_up_studies(box.desk, box.orders)
    assert box.study(f"{STUDY}.77").state is StudyState.EXPIRED
    box.send(*IMAGES)
    assert box.sweep() + box.sweep() == 1
    only_job(box)


def test_why_a_study_started_is_kept_with_it_and_in_the_audit(box: Inbox) -> None:
    box.send(DRAWN, *IMAGES)
    box.sweep()
    study = box.study()
    assert study.reason is not None
    assert study.reason.endswith("an annotation lists all images of its stack, drawn on or not")
    assert (study.evidence["decision"], study.changed_at) == ("ready", box.clock.now)
    assert [one["kind"] for one in study.evidence["findings"]] == ["associations", "images", "list"]
    (event,) = events(box.desk.database, "study_dispatched")
    assert (event.details["why"], event.details["findings"]) == (study.reason, study.evidence["findings"])


def test_what_a_study_waits_for_is_told_and_written_once(box: Inbox, tmp_path: Path) -> None:
    box.send(of_drawn_images(), *IMAGES)
    box.sweep()
    (study,) = arrivals.studies_in(box.desk.database)
    assert study.evidence["until"] == (study.last_instance_at + box.orders.patience.quiet).isoformat()
    assert study.reason == "10 s without another instance are asked for"
    with sqlite3.connect(tmp_path / "node.sqlite") as other:
        before = other.execute("PRAGMA data_version").fetchone()
        for _ in range(3):
            box.sweep(after=1)
        assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


def test_a_study_that_is_still_sent_is_told_so_once(box: Inbox, tmp_path: Path) -> None:
    association = box.open()
    box.put(association, *IMAGES[:2])
    box.sweep()
    assert (box.study().open_associations, box.study().reason) == (1, "1 of its associations are open")
    box.put(association, IMAGES[2])
    box.sweep()
    with sqlite3.connect(tmp_path / "node.sqlite") as other:
        before = other.execute("PRAGMA data_version").fetchone()
        for _ in range(3):
            box.sweep(after=1)
        assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


def test_the_end_of_an_association_has_its_study_looked_at_at_once(box: Inbox, tmp_path: Path) -> None:
    hurried: list[str] = []
    desk = replace(box.desk, hurry=hurried.append)
    told = hooks(Listening(ae_title="NODE", host="127.0.0.1", port=0), desk, Disk(tmp_path))
    number = told.opened(Caller(calling_ae="SENDER", called_ae="NODE", host="127.0.0.1"))
    assert hurried == []
    told.closed(number, AssociationEnd.RELEASED)
    assert hurried == [STUDIES]


def test_a_study_that_waits_for_long_is_looked_at_only_while_it_can_start(box: Inbox) -> None:
    box.send(*IMAGES)
    box.sweep(after=20)
    assert studies.to_judge(box.desk.database) == ()
    box.send(DRAWN, ended=AssociationEnd.LOST)
    assert [one.study_uid for one in studies.to_judge(box.desk.database)] == [STUDY]


def test_every_order_of_three_parts_makes_one_job(box: Inbox) -> None:
    parts = [IMAGES[:3], IMAGES[3:], [DRAWN]]
    for number, order in enumerate([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]):
        renamed = dict(zip((id(ds) for ds in chain(*parts)), other_study(number), strict=True))
        for part in order:
            box.send(*(renamed[id(ds)] for ds in parts[part]))
            box.sweep(after=1)
        assert len(box.jobs()) == number + 1
