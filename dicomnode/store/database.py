"""Open the node's database, bring it up to date, and lend out its transactions and its clock."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar, cast
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from dicomnode.errors import Unavailable
from dicomnode.store.group import Group
from dicomnode.store.writing import WritingTurn

T = TypeVar("T")

FILE_NAME = "dicomnode.sqlite"  # in the data folder

_MIGRATIONS = Path(__file__).parent / "migrations"
_KNOWS_SUBSECONDS = (3, 42)  # versions of SQLite
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON")

_BEGIN_TO_WRITE = "BEGIN IMMEDIATE"
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
_TURN = "writes"
_TURN_SECONDS = 30.0


def utc_now() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


class _Kept(NamedTuple):
    """A connection that stays open, and what it is to the driver."""

    connection: Connection
    driver: sqlite3.Connection


class Database:
    """A SQLite file whose committed transactions survive a power loss; an `existing` one is not made."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now, existing: bool = False) -> None:
        self.path = path
        self._engine = _engine(path, existing=existing)
        self._clock = clock
        self._writing = WritingTurn(path)
        self._kept: _Kept | None = None  # what arrives together is written through it
        self._group = Group(self._write_kept)

    def now(self) -> datetime:
        """Return the time that every row is stamped with."""
        return self._clock()

    def upgrade(self) -> None:
        """Make the tables, or bring those of an older version up to date."""
        with self.write() as connection:
            migrate(connection)

    def version(self) -> str:
        """Return the version of its tables, which must be that of this code: nothing is upgraded here.

        Raises Unavailable where it is another one.
        """
        with self.read() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        scripts = ScriptDirectory.from_config(_alembic())
        head = scripts.get_current_head()
        if found is not None and found == head:
            return found
        if found is None:
            raise Unavailable("the database has no tables yet: the next `dicomnode serve` makes them")
        if any(found == script.revision for script in scripts.walk_revisions()):
            detail = f"it is of version {found}, this dicomnode of {head}"
            raise Unavailable(f"the database is older: the next `dicomnode serve` brings it up to date ({detail})")
        detail = f"it is of version {found}, which this dicomnode, of {head}, does not know"
        raise Unavailable(f"the database is that of a newer dicomnode: {detail}")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Lend a transaction that may write: committed at the end, undone by an exception."""
        with self._writing, translated(), self._engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def together(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, committed, in a transaction with the work of others who ask at the same time.

        `work` may run in another thread, and again where that of another one fails.
        """
        return self._group.run(work)

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
        with self._writing.threads:
            self._drop()
        self._engine.dispose()
        self._writing.close()

    @contextmanager
    def _write_kept(self) -> Iterator[Connection]:
        """Lend the same as `write`, through a connection that stays open until something goes wrong with it."""
        with self._writing, translated():
            connection, driver = self._kept = self._kept or self._keep()
            try:
                driver.execute(_BEGIN_TO_WRITE)
                yield connection
                if connection.in_transaction():  # of whoever asked SQLAlchemy, too
                    connection.commit()
                else:
                    driver.commit()
            except BaseException:
                connection.invalidate()  # and with it the transaction, whoever began it
                self._drop()
                raise

    def _keep(self) -> "_Kept":
        connection = self._engine.connect().execution_options(begun=True)
        return _Kept(connection, cast("sqlite3.Connection", connection.connection.driver_connection))

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.connection.close()

    def _take_turn(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip()[:6].upper() in _WRITES and not connection.info.get(_TURN):
            connection.info[_TURN] = self._writing.acquire(timeout=_TURN_SECONDS)  # else SQLite's own lock decides

    def _give_turn(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        if entry.info.pop(_TURN, False):
            self._writing.release()


@contextmanager
def opened(data_dir: Path) -> Iterator[Database]:
    """Lend the database of the node of `data_dir`, running or not, as it is: it is neither made nor upgraded."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        raise Unavailable(f"there is no {path}: no node ran on this data folder yet; `dicomnode serve` makes it")
    database = Database(path, existing=True)
    try:
        database.version()
        yield database
    finally:
        database.close()


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` that the database of `connection` has not seen."""
    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _alembic() -> Config:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _engine(path: Path, *, existing: bool) -> Engine:
    url = URL.create("sqlite", database=str(path))
    if existing:
        url = URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": "rw", "uri": "true"})
    engine = create_engine(url, max_overflow=-1)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    _set_up(connection)


def _prepare_for_queues(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = "IMMEDIATE"  # the driver begins before what writes, as DBOS has it
    _set_up(connection)


def _set_up(connection: sqlite3.Connection) -> None:
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()
    if sqlite3.sqlite_version_info < _KNOWS_SUBSECONDS:
        connection.create_function("unixepoch", -1, _unixepoch)


def _unixepoch(*modifiers: str) -> float:
    """Return the time now in seconds since 1970, as SQLite's `unixepoch('subsec')`: DBOS asks for it on Python 3.12.

    A Python of that version may be linked to an SQLite that does not know the modifier, and answers NULL.
    """
    if modifiers != ("subsec",):
        raise ValueError(f"unixepoch{modifiers}: only 'subsec' is known here")
    return time.time()


def _begin(connection: Connection) -> None:
    """Take the write lock at once where writes will follow: a read lock cannot always be raised to it."""
    options = connection.get_execution_options()
    if not options.get("begun", False):  # by `_write_kept`, whose work needs nothing of SQLAlchemy as a rule
        connection.exec_driver_sql(_BEGIN_TO_WRITE if options.get("writes", False) else "BEGIN")


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable where the database cannot be used now."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"the database cannot be used now: {error.orig}") from error
    except sqlite3.DatabaseError as error:  # of what the driver was told directly
        if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
            raise
        raise Unavailable(f"the database cannot be used now: {error}") from error
    except DatabaseError as error:
        if type(error.orig) is not sqlite3.DatabaseError:  # a subclass is about one statement, and a bug
            raise
        raise Unavailable(f"the database is damaged, or its file is none: {error.orig}") from error
