import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dicomnode.domain import (
    AssociationEnd,
    Instance,
    StudyState,
)
from dicomnode.errors import Unavailable
from dicomnode.store import arrivals, associations
from dicomnode.store.arrivals import Recorded
from dicomnode.store.database import Database
from dicomnode.store.events import Event, add_event, events
from dicomnode.store.spool import Spool
from dicomnode.store.tables import metadata
from tests.rows import STUDY, Clock, annotation, artifact, done_job, image, own_result, ready_job, receive


def test_the_migrations_make_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_an_old_sqlite_tells_parts_of_seconds_too(database: Database) -> None:
    before = time.time()
    with database.read() as connection:
        told = connection.exec_driver_sql("SELECT unixepoch('subsec')").scalar_one()
    assert before - 0.001 <= told <= time.time() + 0.001


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(database: Database) -> None:
    receive(database, image())
    database.upgrade()
    assert arrivals.study_of(database, STUDY) is not None


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 30000), ("foreign_keys", 1)]
)
def test_the_database_is_set_to_survive_a_power_loss(database: Database, pragma: str, value: object) -> None:
    with database.read() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    def begin_and_fail() -> None:
        with database.write() as connection:
            add_event(connection, Event(at=database.now(), who="a", what="b", details={}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_fail()
    assert events(database, "b") == ()


def test_a_database_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    database = Database(tmp_path / "no such folder" / "node.sqlite")
    with pytest.raises(Unavailable, match="unable to open database file"), database.read():
        pass
    database.close()


def test_the_rows_are_plain_for_other_programs(database: Database, tmp_path: Path) -> None:
    receive(database, image())
    other = sqlite3.connect(tmp_path / "node.sqlite")
    row = other.execute("SELECT sop_uid, kind, modality, conflict, received_at FROM instance").fetchone()
    other.close()
    assert row == ("1.2.3.1", "image", "CT", 0, "2026-01-02 03:04:05.000000")


def test_what_comes_as_a_rule_gets_the_same_row_as_the_first_of_a_study(database: Database, tmp_path: Path) -> None:
    receive(database, image(1), image(2))
    other = sqlite3.connect(tmp_path / "node.sqlite")
    first, second = other.execute("SELECT * FROM instance ORDER BY sop_uid").fetchall()
    other.close()
    assert second == tuple(value.replace("1.2.3.1", "1.2.3.2") if isinstance(value, str) else value for value in first)


def test_what_fails_in_the_driver_leaves_nothing_and_is_raised(database: Database) -> None:
    receive(database, image(1))
    with pytest.raises(sqlite3.IntegrityError):
        receive(database, image(2), association_id=99)
    assert receive(database, image(2)) == [Recorded.NEW]


@pytest.mark.parametrize("instance", [image(), annotation(), own_result()])
def test_an_instance_comes_back_as_it_was_recorded(database: Database, spool: Spool, instance: Instance) -> None:
    receive(database, instance)
    (found,) = arrivals.instances_of(database, spool, STUDY)
    assert found == replace(instance, path=spool.path(f"{instance.sop_instance_uid}-{instance.digest}.dcm"))


def test_the_same_bytes_again_are_a_duplicate_and_change_nothing(database: Database, spool: Spool) -> None:
    assert receive(database, image(), image()) == [Recorded.NEW, Recorded.DUPLICATE]
    assert len(arrivals.instances_of(database, spool, STUDY)) == 1


def test_the_first_of_two_instances_with_one_uid_is_used_and_the_conflict_is_kept(
    database: Database, spool: Spool
) -> None:
    assert receive(database, image(), image(digest="ee")) == [Recorded.NEW, Recorded.CONFLICT]
    assert [found.digest for found in arrivals.instances_of(database, spool, STUDY)] == ["aa"]
    assert arrivals.known_keys(database) == {"1.2.3.1-aa.dcm", "1.2.3.1-ee.dcm"}
    (conflict,) = events(database, "UID_CONFLICT")
    assert conflict.who == "PEER"
    assert conflict.details == {"sop_uid": "1.2.3.1", "digest": "ee", "used": "aa", "kept": True}


def test_a_conflict_that_comes_again_is_a_duplicate(database: Database) -> None:
    assert receive(database, image(), image(digest="ee"), image(digest="ee"))[2] is Recorded.DUPLICATE


def test_a_study_counts_the_open_associations_that_brought_it(database: Database) -> None:
    first, second = (associations.open_association(database, peer) for peer in ("A", "B"))
    associations.open_association(database, "OTHER")
    receive(database, image(1), image(2), association_id=first)
    receive(database, image(3), association_id=second)
    assert [study.open_associations for study in arrivals.receiving(database)] == [2]
    associations.close_association(database, first, AssociationEnd.ABORTED)
    assert [study.open_associations for study in arrivals.receiving(database)] == [1]


def test_associations_that_a_dead_process_left_are_closed(database: Database) -> None:
    receive(database, image(), association_id=associations.open_association(database, "A"))
    assert associations.close_orphans(database) == 1
    assert [study.open_associations for study in arrivals.receiving(database)] == [0]


def test_a_duplicate_keeps_a_study_that_is_being_received_from_going_quiet(database: Database, clock: Clock) -> None:
    receive(database, image())
    clock.advance(seconds=30)
    receive(database, image())
    assert arrivals.receiving(database)[0].last_instance_at == clock.now


@pytest.mark.parametrize("state", [StudyState.INCOMPLETE, StudyState.HELD])
def test_an_arrival_brings_a_study_that_waits_back(database: Database, state: StudyState) -> None:
    receive(database, image())
    assert arrivals.settle(database, arrivals.receiving(database)[0], state, "something is missing")
    assert arrivals.receiving(database) == ()
    receive(database, annotation())
    (study,) = arrivals.receiving(database)
    assert (study.reason, study.generation) == (None, 1)


def test_a_study_that_received_something_meanwhile_is_not_settled(database: Database, clock: Clock) -> None:
    receive(database, image())
    seen = arrivals.receiving(database)[0]
    clock.advance(seconds=1)
    receive(database, annotation())
    assert not arrivals.settle(database, seen, StudyState.INCOMPLETE, "no annotation")
    assert arrivals.receiving(database)[0].state is StudyState.RECEIVING


def test_late_images_begin_the_next_generation(database: Database) -> None:
    ready_job(database)
    receive(database, image(2, "ff"))
    (study,) = arrivals.receiving(database)
    assert study.generation == 2


def test_what_dicomnode_made_sets_nothing_in_motion(database: Database, spool: Spool) -> None:
    done_job(database)
    came_back = replace(own_result(), sop_instance_uid=artifact().sop_uid)
    receive(database, own_result(), replace(image(7, "gg"), sop_instance_uid=artifact().sop_uid), came_back)
    assert arrivals.receiving(database) == ()
    assert artifact().sop_uid not in {found.sop_instance_uid for found in arrivals.instances_of(database, spool, STUDY)}


def test_a_file_that_is_no_database_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    path.write_bytes(b"this is no database" * 100)
    database = Database(path)
    with pytest.raises(Unavailable, match="file is not a database"):
        database.upgrade()
    database.close()


def test_what_the_queues_write_takes_turns_with_what_we_write(database: Database) -> None:
    queues, order = database.engine_of_queues(), []

    def write() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE lease SET holder = 'ours'")
            order.append("ours")

    ours = Thread(target=write)
    with queues.begin() as connection:
        connection.exec_driver_sql("INSERT INTO lease(name, holder, until) VALUES ('a', 'theirs', '2026-01-01')")
        ours.start()
        order.append("theirs")
    ours.join(10)
    assert order == ["theirs", "ours"]
    with queues.begin() as connection:
        assert connection.exec_driver_sql("SELECT holder FROM lease").scalar() == "ours"
    queues.dispose()
