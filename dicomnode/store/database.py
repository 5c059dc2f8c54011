"""Open the node's database, bring it up to date, and lend out its transactions and its clock."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from dicomnode.errors import Unavailable

_MIGRATIONS = Path(__file__).parent / "migrations"
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON")

_WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
_TURN = "writes"
_TURN_SECONDS = 30.0


def utc_now() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


class Database:
    """A SQLite file whose committed transactions survive a power loss."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._engine = _engine(path)
        self._clock = clock
        self._writing = Lock()  # SQLite has one writer; waiting here is fairer than its sleeping

    def now(self) -> datetime:
        """Return the time that every row is stamped with."""
        return self._clock()

    def upgrade(self) -> None:
        """Make the tables, or bring those of an older version up to date."""
        with self.write() as connection:
            migrate(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Lend a transaction that may write: committed at the end, undone by an exception."""
        with self._writing, translated(), self._engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend a transaction that sees one state of the database and does not write."""
        with translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    def engine_of_queues(self) -> Engine:
        """Return connections for DBOS, which writes where and when it wants, in turn with everybody else here.

        Whoever waits for SQLite's own lock sleeps up to a tenth of a second at a time, and misses its turn meanwhile.
        """
        engine = create_engine(URL.create("sqlite", database=str(self.path)), max_overflow=-1)
        event.listen(engine, "connect", _prepare_for_queues)
        event.listen(engine, "before_cursor_execute", self._take_turn)
        event.listen(engine, "checkin", self._give_turn)
        return engine

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _take_turn(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip()[:6].upper() in _WRITES and not connection.info.get(_TURN):
            connection.info[_TURN] = self._writing.acquire(timeout=_TURN_SECONDS)  # else SQLite's own lock decides

    def _give_turn(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        if entry.info.pop(_TURN, False):
            self._writing.release()


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` that the database of `connection` has not seen."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), max_overflow=-1)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _prepare_for_queues(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = "IMMEDIATE"  # the driver begins before what writes, as DBOS has it
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    """Take the write lock at once where writes will follow: a read lock cannot always be raised to it."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable where the database cannot be used now."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"the database cannot be used now: {error.orig}") from error
    except DatabaseError as error:
        if type(error.orig) is not sqlite3.DatabaseError:  # a subclass is about one statement, and a bug
            raise
        raise Unavailable(f"the database is damaged, or its file is none: {error.orig}") from error
