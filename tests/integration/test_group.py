"""Threads that share a transaction; the tests look into it, for what they wait for shows nowhere else."""
# ruff: noqa: SLF001

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, event

from dicomnode.errors import Unavailable
from dicomnode.store.database import Database


def table(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE noted (number INTEGER PRIMARY KEY)")


def add(number: int, connection: Connection) -> int:
    connection.exec_driver_sql("INSERT INTO noted VALUES (?)", (number,))
    return number


def noted(database: Database) -> list[int]:
    with database.read() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT number FROM noted ORDER BY number").all()]


def side_by_side(database: Database, *work: Any) -> list[Any]:  # noqa: ANN401
    """Return what all of `work` returned or raised: it waits together for a transaction that is under way."""
    started = threading.Barrier(len(work) + 1)

    def one(piece: Any) -> Any:  # noqa: ANN401
        started.wait()
        try:
            return database.together(piece)
        except (ValueError, Unavailable) as error:
            return error

    with ThreadPoolExecutor(len(work)) as threads:
        with database._group._leading:  # as if one were at work
            found = [threads.submit(one, piece) for piece in work]
            started.wait()
            while len(database._group._waiting) < len(work):
                pass
        return [one.result(timeout=10) for one in found]


def commits(database: Database) -> list[int]:
    counted: list[int] = []
    event.listen(database._engine, "commit", lambda _connection: counted.append(1))
    return counted


def test_those_who_wait_share_a_commit(database: Database) -> None:
    table(database)
    counted = commits(database)
    found = side_by_side(database, *(lambda connection, n=n: add(n, connection) for n in range(8)))
    assert found == list(range(8))
    assert noted(database) == list(range(8))
    assert len(counted) - 1 == 1  # and the reading of the test


def test_what_fails_reaches_whose_it_is_and_spoils_nothing_for_the_others(database: Database) -> None:
    table(database)

    def fail(connection: Connection) -> None:
        add(100, connection)
        raise ValueError("of one alone")

    first, second, third = side_by_side(
        database, lambda connection: add(1, connection), fail, lambda connection: add(2, connection)
    )
    assert (first, third, str(second)) == (1, 2, "of one alone")
    assert noted(database) == [1, 2]


def test_a_commit_that_fails_reaches_everybody(database: Database) -> None:
    table(database)

    def refuse(_connection: Connection) -> None:
        raise Unavailable("no commit")

    event.listen(database._engine, "commit", refuse)
    found = side_by_side(database, *(lambda connection, n=n: add(n, connection) for n in range(3)))
    event.remove(database._engine, "commit", refuse)
    assert [str(one) for one in found] == ["no commit"] * 3
    assert noted(database) == []


def test_more_than_a_transaction_takes_come_in_the_next(database: Database) -> None:
    table(database)
    assert side_by_side(database, *(lambda connection, n=n: add(n, connection) for n in range(70))) == list(range(70))
    assert len(noted(database)) == 70
