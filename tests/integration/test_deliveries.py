from dicomnode.domain import (
    DeliveryState,
)
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.events import events
from tests.rows import Clock, done_job


def test_a_delivery_is_claimed_for_its_destination(database: Database) -> None:
    done_job(database, "pacs")
    assert deliveries.claim(database, "archive") is None
    claimed = deliveries.claim(database, "pacs")
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == (DeliveryState.SENDING, 1)


def test_a_delivery_whose_end_could_not_be_recorded_is_sent_again(database: Database) -> None:
    done_job(database, "pacs")
    deliveries.claim(database, "pacs")
    claimed = deliveries.claim(database, "pacs")
    assert claimed is not None
    assert claimed.attempts == 2


def test_a_delivery_waits_longer_after_each_failure(database: Database, clock: Clock) -> None:
    done_job(database, "pacs")
    waits = []
    for _ in range(8):
        claimed = deliveries.claim(database, "pacs")
        assert claimed is not None
        wait = deliveries.put_back(database, claimed, "nobody answers")
        waits.append(wait.total_seconds())
        clock.advance(seconds=wait.total_seconds() - 1)
        assert deliveries.claim(database, "pacs") is None
        clock.advance(seconds=1)
    assert waits == [3, 60, 120, 300, 900, 3600, 3600, 3600]


def test_what_was_delivered_is_not_sent_again(database: Database) -> None:
    done_job(database, "pacs")
    claimed = deliveries.claim(database, "pacs")
    assert claimed is not None
    deliveries.delivered(database, claimed, 0xB000)
    assert deliveries.claim(database, "pacs") is None
    assert events(database, "delivered")[0].details["status"] == "0xB000"


def test_what_will_never_be_taken_is_dead_and_says_why(database: Database) -> None:
    done_job(database, "pacs")
    claimed = deliveries.claim(database, "pacs")
    assert claimed is not None
    deliveries.bury(database, claimed, "it answered 0xC000")
    (row,) = deliveries.all_deliveries(database)
    assert (row.state, row.reason) == (DeliveryState.DEAD, "it answered 0xC000")


def test_what_a_dead_process_was_sending_is_sent_again(database: Database) -> None:
    done_job(database, "pacs")
    deliveries.claim(database, "pacs")
    assert deliveries.recover(database) == 1
    claimed = deliveries.claim(database, "pacs")
    assert claimed is not None
    assert claimed.attempts == 2


def test_what_was_refused_for_good_is_sent_once_more_after_it_is_revived(database: Database) -> None:
    done_job(database, "pacs")
    claimed = deliveries.claim(database, "pacs")
    assert claimed is not None
    deliveries.bury(database, claimed, "the AE title is not known")
    assert deliveries.claim(database, "pacs") is None
    assert deliveries.revive(database) == 1
    again = deliveries.claim(database, "pacs")
    assert again is not None
    assert again.attempts == 2
