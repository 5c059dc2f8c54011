"""Change the models folder by one process at a time, and leave nothing half done there."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomnode.errors import Unavailable

_BEGIN = (
    ".work-"  # begins the name of a folder in which something is made or deleted; no model's name begins with a dot
)
_SCARCE = {errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.EROFS}  # of what an error of a file says no name


@contextmanager
def workplace(models: Path) -> Iterator[Path]:
    """Make a folder to work in, in the folder `models`, and delete it in the end with what is left in it.

    What a process that was killed has left is deleted as well. Another process at work is Unavailable.
    """
    models.mkdir(parents=True, exist_ok=True)
    with _locked(models):
        for left in models.glob(f"{_BEGIN}*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            with TemporaryDirectory(prefix=_BEGIN, dir=models) as folder:
                yield Path(folder)
        except OSError as error:
            if error.errno not in _SCARCE:
                raise
            raise Unavailable(f"{models}: {error.strerror}") from error


def sync(path: Path) -> None:
    """Have the file or folder at `path` kept over a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which ends with the process that holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(f"{folder}: another process is changing its models") from error
        yield
    finally:
        os.close(descriptor)
