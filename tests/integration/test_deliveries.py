from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from dicomnode.domain import SEG_ONLY, DeliveryState, ObjectKind, OutputProfile, SegType
from dicomnode.settings.profiles import FORMS
from dicomnode.store import deliveries, runs, tables
from dicomnode.store.database import Database
from dicomnode.store.deliveries import DeliveryKey, DeliveryRow
from dicomnode.store.events import events
from dicomnode.store.jobs import Artifact
from tests.couriers import claim_next, put_back
from tests.rows import Clock, artifact, complete_job, desk_of, dispatch, done_job, image, ready_job, receive
from tests.rows import claimed as claimed_job

BINARY, LABELMAP, FRACTIONAL = SegType
VIEWER = OutputProfile(
    name="viewer",
    objects=(ObjectKind.SEG, ObjectKind.SR, ObjectKind.SC),
    seg=(FORMS["labelmap-rle"], FORMS["fractional"]),
)
BOTH = (
    artifact("1.1", "a1", ObjectKind.SR, LABELMAP),
    artifact("1.2", "a2", ObjectKind.SEG, LABELMAP),
    artifact("1.3", "a3", ObjectKind.SEG, LABELMAP),
    artifact("1.4", "a4", ObjectKind.SR, BINARY),
    artifact("1.5", "a5", ObjectKind.SEG, BINARY),
    artifact("1.6", "a6", ObjectKind.SC, None),
    artifact("1.7", "a7", ObjectKind.PR, None),
)


def complete(database: Database, *artifacts: Artifact, **destinations: OutputProfile) -> None:
    ready_job(database)
    desk = replace(desk_of(database), destinations=destinations)
    assert runs.complete(desk, claimed_job(database), artifacts, {})


def states(database: Database, destination: str = "pacs") -> dict[str, DeliveryState]:
    rows = deliveries.all_deliveries(database)
    return {row.sop_uid: row.state for row in rows if row.destination == destination}


def claimed(database: Database) -> DeliveryRow:
    row = claim_next(database)
    assert row is not None
    return row


def test_a_delivery_is_claimed_for_its_destination(database: Database) -> None:
    done_job(database, "pacs")
    assert claim_next(database, "archive") is None
    claimed = claim_next(database, "pacs")
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == (DeliveryState.SENDING, 1)


def test_a_delivery_whose_end_could_not_be_recorded_is_sent_again(database: Database) -> None:
    done_job(database, "pacs")
    row = claimed(database)
    again = deliveries.claim(database, row.which)
    assert again is not None
    assert again.attempts == 2


def test_a_delivery_waits_twice_as_long_after_each_failure(database: Database, clock: Clock) -> None:
    done_job(database, "pacs")
    waits = []
    for _ in range(13):
        put_back(database, claimed(database), "nobody answers")
        (row,) = deliveries.all_deliveries(database)
        wait = (row.next_at - clock.now).total_seconds()
        waits.append(wait)
        clock.advance(seconds=wait - 1)
        assert claim_next(database, "pacs") is None
        clock.advance(seconds=1)
    assert waits == [3, 6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072, 3600, 3600]


def test_a_delivery_is_given_up_after_days_and_says_how_long_it_was_tried(database: Database, clock: Clock) -> None:
    done_job(database, "pacs")
    put_back(database, claimed(database), "nobody answers")
    clock.advance(days=7)
    assert put_back(database, claimed(database), "nobody answers").state is DeliveryState.DEAD
    (row,) = deliveries.all_deliveries(database)
    assert row.reason == "given up after 7.0 days and 2 tries: nobody answers"


def test_what_is_replayed_has_all_its_time_again(database: Database, clock: Clock) -> None:
    done_job(database, "pacs")
    clock.advance(days=8)
    put_back(database, claimed(database), "nobody answers")
    assert deliveries.replay_all(database, "pacs", "an administrator") == 1
    assert put_back(database, claimed(database), "nobody answers").state is DeliveryState.WAITING
    assert [event.who for event in events(database, "delivery_replayed")] == ["an administrator"]


def test_the_most_urgent_is_due_first_and_then_what_waits_longest(database: Database, clock: Clock) -> None:
    made = [artifact(f"1.{number}", f"a{number}") for number in range(1, 5)]
    complete(database, *made, pacs=SEG_ONLY)
    for sop_uid, priority in (("1.3", 5), ("1.4", -5)):
        with database.write() as connection:
            connection.execute(tables.delivery.update().filter_by(sop_uid=sop_uid).values(priority=priority))
    clock.advance(seconds=1)
    assert [row.sop_uid for row in deliveries.due(database)] == ["1.3", "1.1", "1.2", "1.4"]
    assert deliveries.due(database, {"archive"}) == ()


def test_a_delivery_has_the_priority_of_its_job(database: Database) -> None:
    ready_job(database)
    with database.write() as connection:
        connection.execute(tables.job.update().values(priority=7))
    complete_job(database, "pacs")
    assert [row.priority for row in deliveries.all_deliveries(database)] == [7]


def test_a_key_as_text_names_the_same_delivery(database: Database) -> None:
    done_job(database, "pacs")
    row = claimed(database)
    assert DeliveryKey.parse(str(row.which)) == row.which
    assert deliveries.delivery_row(database, row.which) == row


def test_what_was_delivered_is_not_sent_again(database: Database) -> None:
    done_job(database, "pacs")
    claimed = claim_next(database, "pacs")
    assert claimed is not None
    deliveries.delivered(database, claimed, 0xB000)
    assert claim_next(database, "pacs") is None
    assert events(database, "delivered")[0].details["status"] == "0xB000"


def test_what_will_never_be_taken_is_dead_and_says_why(database: Database) -> None:
    done_job(database, "pacs")
    claimed = claim_next(database, "pacs")
    assert claimed is not None
    deliveries.bury(database, claimed, "it answered 0xC000")
    (row,) = deliveries.all_deliveries(database)
    assert (row.state, row.reason) == (DeliveryState.DEAD, "it answered 0xC000")


def test_what_a_dead_process_was_sending_is_sent_again(database: Database) -> None:
    done_job(database, "pacs")
    claim_next(database, "pacs")
    assert deliveries.recover(database) == 1
    claimed = claim_next(database, "pacs")
    assert claimed is not None
    assert claimed.attempts == 2


def test_what_was_refused_for_good_is_sent_again_once_it_is_replayed_and_not_before(database: Database) -> None:
    done_job(database, "pacs")
    deliveries.bury(database, claimed(database), "it answered 0xC000")
    assert deliveries.recover(database) == 0
    assert claim_next(database, "pacs") is None
    (dead,) = deliveries.all_deliveries(database)
    deliveries.replay(database, dead, "an administrator")
    assert claimed(database).attempts == 1


def test_each_destination_is_sent_what_its_profile_wants_of_one_type(database: Database) -> None:
    complete(database, *BOTH, pacs=SEG_ONLY, viewer=VIEWER)
    assert set(states(database, "pacs")) == {"1.5"}
    assert set(states(database, "viewer")) == {"1.1", "1.2", "1.3", "1.6"}


def test_a_report_is_sent_after_the_segs_that_it_refers_to(database: Database) -> None:
    complete(database, *BOTH, pacs=VIEWER)
    order = []
    while row := claim_next(database, "pacs"):
        order.append(row.sop_uid)
        deliveries.delivered(database, row, 0)
    assert order == ["1.2", "1.3", "1.1", "1.6"]


def test_a_report_waits_for_a_seg_that_is_tried_again_and_nothing_else_does(database: Database, clock: Clock) -> None:
    complete(database, *BOTH, pacs=VIEWER)
    put_back(database, claimed(database), "no room")
    for sop_uid in ("1.3", "1.6"):
        row = claimed(database)
        assert row.sop_uid == sop_uid
        deliveries.delivered(database, row, 0)
    assert claim_next(database, "pacs") is None
    clock.advance(seconds=3)
    deliveries.delivered(database, claimed(database), 0)
    assert claimed(database).sop_uid == "1.1"


def test_a_report_does_not_wait_for_a_seg_that_is_dead(database: Database) -> None:
    complete(database, *BOTH[:2], pacs=VIEWER)
    deliveries.bury(database, claimed(database), "it answered 0xC000")
    assert claimed(database).sop_uid == "1.1"


def test_a_type_that_is_not_taken_is_replaced_by_the_next_one_that_was_made(database: Database) -> None:
    complete(database, *BOTH, pacs=VIEWER, other=VIEWER)
    row = claimed(database)
    assert deliveries.fall_back(database, row, VIEWER, "it takes no label maps") is BINARY
    replaced, waiting = DeliveryState.REPLACED, DeliveryState.WAITING
    assert states(database) == {
        "1.1": replaced,
        "1.2": replaced,
        "1.3": replaced,
        "1.4": waiting,
        "1.5": waiting,
        "1.6": waiting,
    }
    assert set(states(database, "other")) == {"1.1", "1.2", "1.3", "1.6"}
    (told,) = events(database, "delivery_fell_back")
    assert told.details == {
        "sop_uid": "1.2",
        "destination": "pacs",
        "reason": "it takes no label maps",
        "before": "LABELMAP",
        "after": "BINARY",
    }
    assert claimed(database).sop_uid == "1.5"


def test_what_was_replaced_is_not_replayed(database: Database) -> None:
    complete(database, *BOTH, pacs=VIEWER)
    deliveries.fall_back(database, claimed(database), VIEWER, "it takes no label maps")
    assert deliveries.replay_all(database, "pacs", "an administrator") == 0
    assert deliveries.recover(database) == 0


def test_what_was_taken_of_a_type_stays_delivered_when_the_rest_of_it_is_replaced(database: Database) -> None:
    complete(database, *BOTH, pacs=VIEWER)
    deliveries.delivered(database, claimed(database), 0)
    deliveries.fall_back(database, claimed(database), VIEWER, "it takes no label maps any more")
    assert states(database)["1.2"] is DeliveryState.DELIVERED
    assert states(database)["1.3"] is DeliveryState.REPLACED


def test_without_another_type_nothing_is_changed(database: Database) -> None:
    complete(database, *BOTH, pacs=SEG_ONLY)
    row = claimed(database)
    assert deliveries.fall_back(database, row, SEG_ONLY, "it takes no segmentations") is None
    assert states(database) == {"1.5": DeliveryState.SENDING}
    assert events(database, "delivery_fell_back") == ()


def test_a_fall_back_that_breaks_off_changes_nothing(database: Database) -> None:
    complete(database, *BOTH, pacs=VIEWER)
    row = claimed(database)
    before = states(database)
    with database.write() as connection:
        fails = "CREATE TRIGGER no_more BEFORE INSERT ON delivery BEGIN SELECT RAISE(ABORT, 'no more'); END"
        connection.exec_driver_sql(fails)
    with pytest.raises(IntegrityError, match="no more"):
        deliveries.fall_back(database, row, VIEWER, "it takes no label maps")
    assert states(database) == before


def test_an_object_that_two_jobs_make_is_sent_once_and_falls_back_with_the_later_one(database: Database) -> None:
    complete(database, BOTH[4], old=SEG_ONLY)
    assert dispatch_again(database) == ("j2",)
    desk = replace(desk_of(database), destinations={"old": SEG_ONLY, "pacs": VIEWER})
    assert runs.complete(desk, claimed_job(database, "j2"), BOTH, {})
    assert set(states(database, "old")) == {"1.5"}
    deliveries.fall_back(database, claimed(database), VIEWER, "it takes no label maps")
    assert states(database)["1.5"] is DeliveryState.WAITING


def dispatch_again(database: Database) -> tuple[str, ...] | None:
    """Let another image of the study come, and make another job."""
    receive(database, image(2, "ff"))
    return dispatch(database, "j2")
