"""Keep a data folder to one process: the node, or a command in its place."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomnode.errors import Unavailable


class Taken(Unavailable):
    """Another process has the data folder."""


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Keep others from `data_dir`, or raise Taken; the lock ends with the process, whatever ends it."""
    with (data_dir / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Taken(f"another dicomnode runs on {data_dir}: it holds {file.name}") from error
        yield
