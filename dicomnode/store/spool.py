"""Keep files so that what was put is there after a power loss, whole or not at all."""

import io
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import BinaryIO, Self, cast

_MOST_KNOWN = 10_000  # folders
_BLOCK = 1 << 16  # bytes of a file read at a time
_PAGE = 1 << 12  # bytes in which the system keeps what is written


class Part:
    """A file that is being written, within a `with` statement; at the end of it it goes unless it was kept."""

    def __init__(self, path: str, place: Callable[[str], str], aside: Callable[[str], str]) -> None:
        self._path = path
        self._place = place
        self._aside = aside
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._held = bytearray()  # not written yet: what comes in little pieces is gathered
        self._kept = False
        self.size = 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Add `chunk`."""
        self.size += len(chunk)
        if len(self._held) + len(chunk) < _BLOCK:
            self._held += chunk
            return
        end = max(0, len(chunk) - self.size % _PAGE)  # what ends within a page costs the system a third more
        held, self._held = self._held, bytearray(chunk[end:])
        _write_all(self._descriptor, [held, memoryview(chunk)[:end]])

    def reading(self, start: int, prefix: bytes) -> BinaryIO:
        """Return what was written from byte `start` on, behind `prefix`, for reading, until more is written."""
        self._flush()
        return cast("BinaryIO", io.BufferedReader(_Behind(prefix, self._descriptor, start, self.size), _BLOCK))

    def keep(self, key: str) -> None:
        """Make the file durable as `key`; a file that was there is replaced.

        It gets its name before it is flushed, so that a file system with a journal flushes both at once. Where this was
        broken off, no row knows the file; one that is replaced may be known, and is whole at any time.
        """
        self._flush()
        target = self._place(key)
        if os.path.lexists(target):
            os.fsync(self._descriptor)
        try:
            os.rename(self._path, target)  # noqa: PTH104 - a Path for every object is slow
        except FileNotFoundError:  # its folder was emptied and removed meanwhile
            target = self._place(key)
            os.rename(self._path, target)  # noqa: PTH104
        self._kept = True
        os.fsync(self._descriptor)
        _sync_folder(_above(target))
        aside = self._aside(key)
        if os.path.lexists(aside):  # it was laid aside, and has come again
            _unlink(aside)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Let go of the file, and remove it if it was not kept."""
        with suppress(OSError):  # what was not written is told by `keep`
            os.close(self._descriptor)
        if not self._kept:
            _unlink(self._path)

    def _flush(self) -> None:
        """Give the system what is held."""
        if self._held:
            held, self._held = self._held, bytearray()
            _write_all(self._descriptor, [held])


class Spool:
    """A folder of files under keys, which are paths relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"  # in the same filesystem, so that a rename moves a file out of it
        self._orphans = root / "orphans"
        self._making = Lock()
        self._made: set[str] = set()  # and synced
        self._token = token_hex(4)  # of this among others on the same folder
        self._numbers = count()
        self._make(str(self._incoming))

    @property
    def root(self) -> Path:
        """Return the folder."""
        return self._root

    def writing(self) -> Part:
        """Return a new file to write."""
        name = f"{os.getpid()}-{self._token}-{next(self._numbers)}.part"
        return Part(f"{self._incoming}/{name}", self._target, self._aside)

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        """Write `chunks` as the file `key`, durable on return; a file that was there is replaced."""
        with self.writing() as part:
            for chunk in chunks:
                part.write(chunk)
            part.keep(key)

    def path(self, key: str) -> Path:
        """Return where the file `key` lies."""
        return Path(self._within(self._root, key))

    def open(self, key: str) -> BinaryIO:
        """Return the file `key`, open for reading."""
        return self.path(key).open("rb")

    def size(self, key: str) -> int | None:
        """Return the size of the file `key` in bytes, None where there is none."""
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove the file `key`; nothing happens where there is none."""
        self.path(key).unlink(missing_ok=True)

    def discard(self, key: str, before: datetime) -> None:
        """Remove the file `key`, which no row knows any more, unless it was written since `before`.

        It is laid aside first and looked at then, so that one that is put meanwhile is never lost: it goes back, at the
        latest when the next node starts.
        """
        target, aside = self.path(key), Path(self._aside(key))
        self._make(str(aside.parent))
        with suppress(FileNotFoundError):  # it is gone, or was put once more, with the same bytes
            target.rename(aside)
            if aside.stat().st_mtime >= before.timestamp():
                aside.rename(target)
                return
            aside.unlink()
        for path in (target, aside):
            with suppress(OSError):  # something is left in one of them, or comes into it just now
                for folder in path.parents:
                    folder.rmdir()

    def clear_orphans(self, before: datetime) -> int:
        """Remove the files that were laid aside before `before`; return how many."""
        old = [
            path
            for path in (Path(self._aside(key)) for key in self._orphaned())
            if path.stat().st_ctime < before.timestamp()
        ]
        for path in old:
            path.unlink()
        return len(old)

    def keys(self) -> Iterator[str]:
        """Yield the key of every whole file."""
        for folder, folders, names in os.walk(self._root):
            if Path(folder) == self._root:
                folders[:] = [name for name in folders if self._root / name not in (self._incoming, self._orphans)]
            yield from (Path(folder, name).relative_to(self._root).as_posix() for name in names)

    def drop_parts(self, process: int) -> int:
        """Remove what a process that ended has not finished; return how many files that were."""
        parts = list(self._incoming.glob(f"{process}-*.part"))
        for part in parts:
            part.unlink()
        return len(parts)

    def sweep(self, known: Container[str]) -> int:
        """Remove unfinished files, and lay whole ones whose key is not `known` aside in orphans/; return how many.

        One that was laid aside and whose key is known goes back. A whole file without a row was not acknowledged, or
        the database is older than the spool: nobody here can tell which, so it is kept until it is put again. Only for
        the start, before anything is received: a file comes to be before its row.
        """
        missed = [key for key in self._orphaned() if key in known and not self.path(key).exists()]
        for key in missed:
            Path(self._aside(key)).rename(self._target(key))
            _sync_folder(self.path(key).parent)
        strangers = [key for key in self.keys() if key not in known]
        unfinished = list(self._incoming.iterdir())
        for key in strangers:
            aside = Path(self._aside(key))
            self._make(str(aside.parent))
            self.path(key).rename(aside)
        for part in unfinished:
            part.unlink()
        return len(missed) + len(strangers) + len(unfinished)

    def _orphaned(self) -> Iterator[str]:
        """Yield the key of every file that was laid aside."""
        files = (path for path in self._orphans.rglob("*") if path.is_file())
        yield from (path.relative_to(self._orphans).as_posix() for path in files)

    def _target(self, key: str) -> str:
        """Return where the file `key` is to lie, in a folder that is there."""
        target = self._within(self._root, key)
        self._make(_above(target))
        return target

    def _aside(self, key: str) -> str:
        return self._within(self._orphans, key)

    def _within(self, folder: Path, key: str) -> str:
        """Return the path of `key` in `folder`, made for every object that comes without a Path, which is slow."""
        if not key or key[0] == "/" or ".." in key.split("/"):
            raise ValueError(f"{key!r} leads out of the spool")
        return f"{folder}/{key}"

    def _make(self, folder: str) -> None:
        """Make `folder` durably; the lock keeps a second thread from going on before the first has synced.

        A folder that is there already may have been made by a process that was killed before it could sync its name,
        and so may the data folder, in which the root lies.
        """
        with self._making:
            self._make_all(folder)

    def _make_all(self, folder: str) -> None:
        """Make `folder` below the root; one that another process may have made just now is synced, too."""
        if folder in self._made and os.path.isdir(folder):  # noqa: PTH112
            return
        if len(self._made) >= _MOST_KNOWN:
            self._made.clear()
        if folder == str(self._root):
            _make_root(self._root)
        else:
            above = _above(folder)
            self._make_all(above)
            Path(folder).mkdir(exist_ok=True)
            _sync_folder(above)
        self._made.add(folder)


def _make_root(root: Path) -> None:
    """Make `root`; its name and that of the data folder are synced whoever made them."""
    for folder in reversed((root, *root.parents)):
        if folder in (root, root.parent) or not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _sync_folder(folder.parent)


class _Behind(io.RawIOBase):
    """The bytes from `start` to `end` of an open file, behind `prefix`; the file's own position is left alone."""

    def __init__(self, prefix: bytes, descriptor: int, start: int, end: int) -> None:
        self._prefix = prefix
        self._descriptor = descriptor
        self._shift = start - len(prefix)
        self._size = len(prefix) + end - start
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` from the beginning, from here or from the end; return where that is."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer`, bytes, with what comes next; return how many there were."""
        if self._position < len(self._prefix):
            data = self._prefix[self._position : self._position + len(buffer)]
            buffer[: len(data)] = data
            got = len(data)
        else:
            got = os.preadv(self._descriptor, [buffer], self._position + self._shift)
        self._position += got
        return got


def _write_all(descriptor: int, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
    """Write `pieces`, one behind the other; the system takes less at a time where it has no room for more."""
    left = sum(map(len, pieces)) - os.writev(descriptor, pieces)
    while left:
        rest = b"".join(pieces)[-left:]
        left -= os.write(descriptor, rest)


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108


def _sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
