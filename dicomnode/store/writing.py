"""Take turns at writing: SQLite has one writer, and lets others sleep for a while where they might be next."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType

_NAME = "-turn"  # behind the name of the database
_PAUSE = 0.0002  # seconds between two looks at whether another process has written; SQLite sleeps up to 0.1
_PATIENCE = 5.0  # seconds; then only SQLite's own lock is waited for, as where no file can be locked


class WritingTurn:
    """Whose turn it is: of the threads of this process, and of this among others that have the same database open.

    Between processes it is a lock on a file beside the database, which ends with the process.
    """

    def __init__(self, database: Path, *, patience: float = _PATIENCE) -> None:
        self.threads = Lock()  # those of this process alone
        self._path = database.with_name(database.name + _NAME)
        self._patience = patience
        self._descriptor: int | None = None  # opened by the first who writes: others may not be allowed to

    def __enter__(self) -> None:
        """Wait for the turn."""
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it to the next."""
        self.release()

    def acquire(self, timeout: float = -1) -> bool:
        """Wait for the turn, of other threads for `timeout` seconds at the most; return whether it has come.

        Another process that keeps it for too long, as one that is stopped, is waited for no longer.
        """
        if not self.threads.acquire(timeout=timeout):
            return False
        with suppress(OSError):  # whoever cannot write there is told so by SQLite
            self._wait()
        return True

    def release(self) -> None:
        """Give the turn to the next."""
        if self._descriptor is not None:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.threads.release()

    def close(self) -> None:
        """Close the file; who writes later opens it again."""
        with self.threads:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)

    def _wait(self) -> None:
        """Wait for the turn of this process."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        patient_until = time.monotonic() + self._patience
        while not _locked(self._descriptor) and time.monotonic() < patient_until:
            time.sleep(_PAUSE)


def _locked(descriptor: int) -> bool:
    """Lock the file if no other process has; return whether it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
