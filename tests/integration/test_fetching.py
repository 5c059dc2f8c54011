import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from dicomnode.describing import instances_of
from dicomnode.dispatching import Orders, start_studies
from dicomnode.domain import FetchState, JobOptions, StudyState, Uid, Wanted
from dicomnode.errors import PeerUnreachable, Reason, Refused, Unavailable
from dicomnode.fetching import Errand, ask_pull, count, do_fetch, do_next_fetch
from dicomnode.inference.classical import IDENTITY
from dicomnode.network.storing import Intake
from dicomnode.receiving import receive
from dicomnode.store import arrivals, associations, fetches
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.associations import Came
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.fetches import FetchRow
from dicomnode.store.spool import Spool
from tests.archive import Archive
from tests.builders import STUDY, ct_series, rtstruct, square
from tests.rows import Clock

IMAGES = ct_series()
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})
SERIES, UID = Uid(IMAGES[0].SeriesInstanceUID), Uid(STUDY)
WHOLE = Wanted(series=(SERIES,))
AWAY = PeerUnreachable("ARCHIVE at 127.0.0.1 port 1 did not answer")


class Node:
    """The rows and files of a node, and its sources."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        database = Database(folder / "node.sqlite", clock=clock)
        self.desk = Desk(database=database, spool=Spool(folder / "spool"), destinations={})
        self.database = database
        self.clock = clock

    def errand(self, *sources: Archive, **how: Any) -> Errand:  # noqa: ANN401 - fields of `Intake`
        return Errand(sources=sources, intake=Intake(receive=partial(receive, self.desk), **how))

    def bring(self, *objects: Dataset) -> None:
        """Let `objects` be sent in an association that is released."""
        fetches.ask(self.database, Wanted(studies=(UID,)), origin="test")
        do_next_fetch(self.desk, self.errand(Archive(objects=objects)))

    def ask(self, wanted: Wanted = WHOLE, **how: Any) -> int:  # noqa: ANN401 - whatever `ask` takes
        return fetches.ask(self.database, wanted, **{"origin": "command", **how})

    def fetch(self, number: int) -> FetchRow:
        row = fetches.fetch_of(self.database, number)
        assert row is not None
        return row

    def start_studies(self) -> int:
        options = Orders(quiet_seconds=0, options=JobOptions(), model=IDENTITY)
        return start_studies(self.desk, options)

    def study(self) -> StudyRow:
        found = arrivals.study_of(self.database, UID)
        assert found is not None
        return found

    def images(self) -> set[str]:
        return {one.sop_instance_uid for one in instances_of(self.desk, UID)}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of a database without rows: it takes longer to make than to copy."""
    file = tmp_path_factory.mktemp("empty") / "node.sqlite"
    database = Database(file)
    database.upgrade()
    database.close()
    return file.read_bytes()


@pytest.fixture
def node(tmp_path: Path, empty: bytes) -> Iterator[Node]:
    (tmp_path / "node.sqlite").write_bytes(empty)
    made = Node(tmp_path, Clock())
    yield made
    made.database.close()


def uids(objects: Sequence[Dataset]) -> set[str]:
    return {ds.SOPInstanceUID for ds in objects}


def test_what_is_missing_is_kept_as_if_it_had_been_sent(node: Node) -> None:
    node.bring(*IMAGES[:2])
    archive = Archive(objects=IMAGES)
    number = node.ask()
    do_fetch(node.desk, number, node.errand(archive))
    row = node.fetch(number)
    assert (row.state, row.found, row.kept) == (FetchState.DONE, 5, 5)
    assert node.images() == uids(IMAGES)
    assert node.study().open_associations == 0
    assert [event.details["fetch"] for event in events(node.database, "fetch_done")][-1] == number


def test_only_what_is_missing_is_retrieved(node: Node) -> None:
    node.bring(*IMAGES[:2])
    archive = Archive(objects=IMAGES)
    given: list[int] = []
    archive.given = given.append
    do_fetch(node.desk, node.ask(), node.errand(archive))
    assert len(given) == 3


def test_what_is_here_already_is_done_without_a_retrieval(node: Node) -> None:
    node.bring(*IMAGES)
    archive = Archive(objects=IMAGES)
    number = node.ask()
    do_fetch(node.desk, number, node.errand(archive))
    assert node.fetch(number).state is FetchState.DONE
    assert "retrieve" not in archive.asked


def test_sources_are_asked_in_turn_until_one_has_it_all(node: Node) -> None:
    away, empty, third, fourth = Archive(error=AWAY), Archive(), Archive(objects=IMAGES), Archive(objects=IMAGES)
    off = Archive(objects=IMAGES, fetch=False)
    number = node.ask()
    do_fetch(node.desk, number, node.errand(off, away, empty, third, fourth))
    assert node.fetch(number).state is FetchState.DONE
    assert off.asked == fourth.asked == []
    assert away.asked == ["SERIES"]


def test_a_fetch_of_one_source_asks_no_other(node: Node) -> None:
    first, second = Archive(objects=IMAGES), Archive(objects=IMAGES, name="second", fetch=False)
    number = node.ask(source="second")
    do_fetch(node.desk, number, node.errand(first, second))
    assert (first.asked, node.fetch(number).state) == ([], FetchState.DONE)


def test_a_source_that_is_away_is_asked_again_after_longer_and_longer_times_until_it_is_back(node: Node) -> None:
    archive = Archive(objects=IMAGES, error=AWAY)
    number = node.ask()
    waits = []
    for _ in range(8):
        before = node.clock.now
        do_fetch(node.desk, number, node.errand(archive))
        row = node.fetch(number)
        assert row.state is FetchState.WAITING
        assert row.reason == "archive: ARCHIVE at 127.0.0.1 port 1 did not answer"
        assert do_next_fetch(node.desk, node.errand(archive)) is False
        node.clock.now = row.next_at
        waits.append((row.next_at - before).total_seconds())
    assert waits == [5, 30, 60, 120, 300, 900, 3600, 3600]
    archive.error = None
    assert do_next_fetch(node.desk, node.errand(archive))
    assert node.fetch(number).state is FetchState.DONE


def test_a_fetch_that_expires_fails_with_the_last_reason(node: Node) -> None:
    node.bring(DRAWN)
    node.start_studies()
    (number,) = (row.id for row in fetches.fetches_of(node.database, UID))
    do_fetch(node.desk, number, node.errand(Archive(error=AWAY)))
    node.clock.advance(hours=73)
    do_next_fetch(node.desk, node.errand(Archive(objects=IMAGES)))
    row = node.fetch(number)
    assert row.state is FetchState.FAILED
    assert row.reason is not None
    assert "it is given up after 1 tries; archive: ARCHIVE at 127.0.0.1 port 1 did not answer" in row.reason
    assert "it could not be fetched: it is given up" in str(node.study().reason)


def test_what_no_source_has_fails_at_once_and_says_so(node: Node) -> None:
    number = node.ask(Wanted(series=(SERIES,), instances=(Uid("1.5"), Uid("1.6"))))
    refusing = Archive(error=Refused(Reason.PEER_REFUSED, "association", "who are you"), name="other")
    do_fetch(node.desk, number, node.errand(Archive(objects=IMAGES), refusing))
    row = node.fetch(number)
    assert row.state is FetchState.FAILED
    assert row.reason == (
        "archive: it lacks 2 of what is wanted (1 series, 2 objects); other: association: PEER_REFUSED: who are you"
    )


@pytest.mark.parametrize(("source", "why"), [(None, "there is no source to ask"), ("nix", "there is no source nix")])
def test_without_a_source_it_fails(node: Node, source: str | None, why: str) -> None:
    number = node.ask(source=source)
    do_fetch(node.desk, number, node.errand(Archive(fetch=False)))
    assert (node.fetch(number).state, node.fetch(number).reason) == (FetchState.FAILED, why)


def test_a_source_that_keeps_something_for_itself_is_asked_again_a_few_times(node: Node) -> None:
    archive = Archive(objects=IMAGES, withheld=frozenset({IMAGES[0].SOPInstanceUID}))
    number = node.ask()
    for _ in range(fetches.ATTEMPTS):
        assert node.fetch(number).state is FetchState.WAITING
        do_fetch(node.desk, number, node.errand(archive))
        node.clock.advance(hours=1)
    row = node.fetch(number)
    assert (row.state, row.found, row.kept) == (FetchState.FAILED, 5, 4)
    assert row.reason == "archive: it did not give 1 of 5 objects"


def test_what_is_refused_here_is_not_asked_for_again(node: Node) -> None:
    bad = ct_series(planes=1, SOPInstanceUID="1.8.1")[0]

    def spoil(number: int) -> None:
        if number == len(IMAGES) + 1:
            del bad.StudyInstanceUID

    archive = Archive(objects=[*IMAGES, bad], given=spoil)
    number = node.ask()
    do_fetch(node.desk, number, node.errand(archive))
    row = node.fetch(number)
    assert (row.state, row.found, row.kept) == (FetchState.FAILED, 6, 5)
    assert row.reason == "archive: 1 of 6 objects were refused here"


def test_a_retrieval_that_breaks_off_keeps_what_came_and_leaves_a_lost_association(node: Node) -> None:
    def breaks(number: int) -> None:
        if number == 3:
            raise PeerUnreachable("it broke off")

    archive = Archive(objects=IMAGES, given=breaks)
    number = node.ask()
    do_fetch(node.desk, number, node.errand(archive))
    assert node.fetch(number).state is FetchState.WAITING
    assert node.images() == uids(IMAGES[:2])
    assert node.study().open_associations == 0
    archive.given = lambda _number: None
    node.clock.advance(minutes=1)
    do_fetch(node.desk, number, node.errand(archive))
    assert node.images() == uids(IMAGES)


def test_a_node_that_stops_breaks_a_fetch_off_and_the_next_one_goes_on(node: Node) -> None:
    number = node.ask()
    errand = replace(node.errand(Archive(objects=IMAGES)), stopped=lambda: bool(node.images()))
    do_fetch(node.desk, number, errand)
    assert node.fetch(number).reason == "archive: the node is stopping"
    assert 0 < len(node.images()) < len(IMAGES)


def test_a_retrieval_whose_end_could_not_be_recorded_does_not_stay_open(node: Node) -> None:
    associations.open_association(node.database, "archive")
    listens = associations.open_association(node.database, "SENDER", Came(process=1))
    do_fetch(node.desk, node.ask(), node.errand(Archive(objects=IMAGES)))
    with node.database.read() as connection:
        found = connection.exec_driver_sql("SELECT id, ended FROM association ORDER BY id").all()
    assert [row[1] for row in found] == ["lost", None, "released"]
    assert found[1][0] == listens


def test_while_there_is_no_room_nothing_is_fetched_and_then_the_rest_comes(node: Node) -> None:
    number, archive = node.ask(), Archive(objects=IMAGES)
    do_fetch(node.desk, number, node.errand(archive, room=lambda: False))
    assert node.fetch(number).state is FetchState.WAITING
    assert "archive: there is no room here" in (node.fetch(number).reason or "")
    assert "retrieve" not in archive.asked
    node.clock.advance(minutes=1)
    do_fetch(node.desk, number, node.errand(archive, room=lambda: len(node.images()) < 2))
    assert node.fetch(number).state is FetchState.WAITING
    assert node.images() == uids(IMAGES[:2])
    node.clock.advance(minutes=5)
    do_fetch(node.desk, number, node.errand(archive))
    assert node.fetch(number).state is FetchState.DONE


def test_what_is_larger_than_the_listener_takes_is_not_fetched_either(node: Node) -> None:
    number = node.ask()
    do_fetch(node.desk, number, node.errand(Archive(objects=IMAGES), max_bytes=100))
    row = node.fetch(number)
    assert (row.state, row.kept) == (FetchState.FAILED, 0)
    assert row.reason == f"archive: {len(IMAGES)} of {len(IMAGES)} objects were refused here"


def test_a_fetch_that_a_dead_node_was_doing_is_done_again(node: Node) -> None:
    number = node.ask()
    assert fetches.claim(node.database, number) is not None
    assert fetches.due(node.database) == ()
    assert fetches.recover(node.database) == 1
    do_next_fetch(node.desk, node.errand(Archive(objects=IMAGES)))
    assert node.fetch(number).state is FetchState.DONE


def test_a_fetch_of_which_nothing_was_heard_for_long_is_done_again(node: Node) -> None:
    number = node.ask()
    assert fetches.claim(node.database, number) is not None
    node.clock.advance(minutes=16)
    do_next_fetch(node.desk, node.errand(Archive(objects=IMAGES)))
    assert (node.fetch(number).state, node.fetch(number).attempts) == (FetchState.DONE, 2)


def test_a_fetch_is_done_by_one_alone(node: Node) -> None:
    number = node.ask()
    assert fetches.claim(node.database, number) is not None
    archive = Archive(objects=IMAGES)
    do_fetch(node.desk, number, node.errand(archive))
    assert archive.asked == []


def test_what_is_asked_for_while_it_is_fetched_is_fetched_too(node: Node) -> None:
    def more(number: int) -> None:
        if number == 1:
            assert node.ask(Wanted(series=(SERIES,), studies=(UID,)), study_uid=UID) == first

    first = node.ask(study_uid=UID)
    archive = Archive(objects=[*IMAGES, DRAWN], given=more)
    do_fetch(node.desk, first, node.errand(archive))
    assert node.fetch(first).state is FetchState.WAITING
    do_next_fetch(node.desk, node.errand(archive))
    assert node.fetch(first).state is FetchState.DONE
    assert node.images() == uids([*IMAGES, DRAWN])


def test_fetches_of_one_study_and_fetches_in_the_same_words_are_one(node: Node) -> None:
    assert node.ask(study_uid=UID) == node.ask(Wanted(studies=(UID,)), study_uid=UID)
    assert node.ask() == node.ask()
    assert len({node.ask(), node.ask(source="a"), node.ask(Wanted(studies=(UID,))), node.ask(origin="other")}) == 4


def test_an_annotation_without_images_lets_them_be_fetched_and_says_so(node: Node) -> None:
    node.bring(DRAWN)
    assert node.start_studies() == 0
    assert node.study().state is StudyState.HELD
    assert "1 annotations and no images" in str(node.study().reason)
    do_next_fetch(node.desk, node.errand(Archive(error=AWAY)))
    assert "until 2026-01-05 03:04 UTC: archive: ARCHIVE at 127.0.0.1 port 1 did not answer" in str(node.study().reason)
    node.clock.advance(minutes=1)
    do_next_fetch(node.desk, node.errand(Archive(objects=[*IMAGES, DRAWN], relational=False)))
    assert node.study().state is StudyState.RECEIVING
    assert node.start_studies() == 1
    assert node.study().state is StudyState.DISPATCHED


def test_a_pull_makes_a_fetch_for_each_study_that_is_not_here_whole(node: Node) -> None:
    other = ct_series(planes=2, StudyInstanceUID="1.7", SeriesInstanceUID="1.7.1")
    for number, ds in enumerate(other):
        ds.SOPInstanceUID = f"1.7.1.{number}"
    node.bring(*IMAGES)
    archive = Archive(objects=[*IMAGES, *other])
    expires = node.clock.now.replace(year=2027)
    for _ in range(2):  # overlapping runs are one
        ask_pull(node.database, "nightly", "archive", Wanted(query={"Modality": "CT"}, limit=9), expires)
    while do_next_fetch(node.desk, node.errand(archive)):
        pass
    rows = [row for row in fetches.fetches_of(node.database) if row.origin == "pull nightly"]
    assert [(row.study_uid, row.state, row.found, row.kept) for row in rows] == [
        (None, FetchState.DONE, 2, 1),
        ("1.7", FetchState.DONE, 2, 2),
    ]
    ask_pull(node.database, "nightly", "archive", Wanted(query={"Modality": "CT"}, limit=9), expires)
    while do_next_fetch(node.desk, node.errand(archive)):
        pass
    assert len(fetches.fetches_of(node.database)) == 4


def test_a_pull_from_a_source_that_is_away_is_tried_again(node: Node) -> None:
    ask_pull(node.database, "nightly", "archive", Wanted(query={"Modality": "CT"}), node.clock.now.replace(year=2027))
    do_next_fetch(node.desk, node.errand(Archive(error=AWAY)))
    (row,) = fetches.fetches_of(node.database)
    assert (row.state, row.attempts) == (FetchState.WAITING, 1)


def test_a_series_has_as_many_objects_as_the_source_says_that_has_most(node: Node) -> None:
    few, many = Archive(objects=IMAGES[:2]), Archive(objects=[*IMAGES, DRAWN], counts=False)
    away, off = Archive(error=AWAY), Archive(objects=IMAGES, count=False)
    plan = Uid(DRAWN.SeriesInstanceUID)
    assert count(UID, [few, away, many, off]) == {SERIES: 5, plan: 1}
    assert off.asked == []
    assert count(Uid("1.9"), [few]) == {}
    assert count(UID, [away, off]) is None
    assert node.images() == set()


def test_the_log_says_what_becomes_of_a_fetch(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    number = node.ask()
    archive = Archive(objects=IMAGES, error=Unavailable("it is away"))
    do_fetch(node.desk, number, node.errand(archive))
    archive.error = None
    node.clock.advance(minutes=1)
    do_fetch(node.desk, number, node.errand(archive))
    do_fetch(node.desk, node.ask(Wanted(studies=(Uid("1.9"),))), node.errand(archive))
    actions = [record.__dict__["action"] for record in caplog.records if "fetch" in record.__dict__]
    assert actions == ["fetch_postponed", "fetch_done", "fetch_failed"]
