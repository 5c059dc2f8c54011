"""Keep files so that what was put is there after a power loss, whole or not at all."""

import os
import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import BinaryIO


class Spool:
    """A folder of files under keys, which are paths relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"  # in the same filesystem, so that a rename moves a file out of it
        self._orphans = root / "orphans"
        self._making = Lock()
        self._durable: set[Path] = set()  # the folders whose names this process has made durable
        self._make(self._incoming)

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        """Write `chunks` as the file `key`, durable on return; a file that was there is replaced."""
        target = self.path(key)
        with (
            tempfile.NamedTemporaryFile(dir=self._incoming, suffix=".part", delete=False) as part,
            ExitStack() as undo,
        ):
            undo.callback(Path(part.name).unlink)
            part.writelines(chunks)
            part.flush()
            os.fsync(part.fileno())
            self._make(target.parent)
            Path(part.name).rename(target)
            undo.pop_all()
        _sync_folder(target.parent)
        self._aside(key).unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Return where the file `key` lies."""
        parts = PurePosixPath(key).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError(f"{key!r} leads out of the spool")
        return self._root.joinpath(*parts)

    def open(self, key: str) -> BinaryIO:
        """Return the file `key`, open for reading."""
        return self.path(key).open("rb")

    def delete(self, key: str) -> None:
        """Remove the file `key`; nothing happens where there is none."""
        self.path(key).unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        """Yield the key of every whole file."""
        for folder, folders, names in os.walk(self._root):
            if Path(folder) == self._root:
                folders[:] = [name for name in folders if self._root / name not in (self._incoming, self._orphans)]
            yield from (Path(folder, name).relative_to(self._root).as_posix() for name in names)

    def sweep(self, known: Container[str]) -> int:
        """Remove unfinished files, and lay whole ones whose key is not `known` aside in orphans/; return how many.

        A whole file without a row was not acknowledged, or the database is older than the spool: nobody here can tell
        which, so it is kept until it is put again. Only for the start, before anything is received: a file comes to be
        before its row.
        """
        strangers = [key for key in self.keys() if key not in known]
        unfinished = list(self._incoming.iterdir())
        for key in strangers:
            aside = self._aside(key)
            self._make(aside.parent)
            self.path(key).rename(aside)
        for part in unfinished:
            part.unlink()
        return len(strangers) + len(unfinished)

    def _aside(self, key: str) -> Path:
        return self._orphans.joinpath(*PurePosixPath(key).parts)

    def _make(self, folder: Path) -> None:
        """Make `folder` durably; the lock keeps a second thread from going on before the first has synced.

        A folder that is there already may have been made by a process that was killed before it could sync its name,
        and so may the data folder, in which the root lies.
        """
        with self._making:
            for new in reversed((folder, *folder.parents)):
                if new.is_relative_to(self._root.parent) and not (new in self._durable and new.is_dir()):
                    new.mkdir(exist_ok=True)
                    _sync_folder(new.parent)
                    self._durable.add(new)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
