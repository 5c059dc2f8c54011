"""Inflate a deflated stream only as far as it is wanted, and never beyond a limit."""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO
from weakref import ref

from dicomnode.errors import Reason, Refused

INFLATED_LIMIT = 384 << 20  # bytes

_LARGE = 16 << 20  # bytes
_STEP = 1 << 16  # bytes read from the file at a time
_GROWTH = 1 << 22  # bytes inflated at a time: a thousandfold stream must not overshoot the limit by much


class Inflated:
    """What the raw deflate stream in the rest of `file` inflates to (PS3.5 A.5), as a file that begins with `prefix`.

    Reading beyond the limit refuses with LIMIT; a stream that is cut off is an end of file.
    """

    def __init__(self, file: BinaryIO, what: str, *, prefix: bytes) -> None:
        self.name = what
        self._deflated_at = file.tell()
        self._prefixed = len(prefix)
        self._parts = _parts(file)
        self._content = bytearray(prefix)
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer at the end; all that are left without a size."""
        end = self._position + size if size >= 0 else INFLATED_LIMIT + 1
        self._inflate(end)
        with memoryview(self._content) as content:
            data = bytes(content[self._position : end])
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`, bytes, with what comes next; return how many there were."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` from the beginning, from here or from the end; return where that is."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            self._inflate(INFLATED_LIMIT + 1)
            offset += len(self._content)
        self._position = offset
        return offset

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def value(self, path: Path, start: int, size: int) -> "InflatedValue":
        """Return the `size` bytes from `start` on of this, the file at `path`; LIMIT where they are too many."""
        if size > INFLATED_LIMIT:
            detail = f"its pixels inflate to {size >> 20} MiB: at most {INFLATED_LIMIT >> 20} are read"
            raise Refused(Reason.LIMIT, self.name, detail)
        return InflatedValue(path, self._deflated_at, start - self._prefixed, size)

    def _inflate(self, size: int) -> None:
        while len(self._content) < size and (part := next(self._parts, None)) is not None:
            self._content += part
            if len(self._content) > INFLATED_LIMIT:
                raise Refused(Reason.LIMIT, self.name, f"it inflates to more than {INFLATED_LIMIT >> 20} MiB")


class InflatedValue:
    """The `size` bytes from `start` on that a file inflates to from its byte `deflated_at` on, made when asked for.

    Of large values the process holds only the one that was asked for last; another is inflated anew.
    """

    def __init__(self, path: Path, deflated_at: int, start: int, size: int) -> None:
        self._path = path
        self._deflated_at = deflated_at
        self._start = start
        self._end = start + size
        self._content = b""
        self._place = _LARGE_PLACE if size > _LARGE else _Place()

    @contextmanager
    def lent(self) -> Iterator[BinaryIO]:
        """Lend the bytes as a file to one thread at a time; fewer where the stream is cut off or broken."""
        with self._place.lock:
            if self._place.holder() is not self:
                self._place.empty()
                self._content = self._inflate()
                self._place.holder = ref(self)
            yield BytesIO(self._content)

    def drop(self) -> None:
        """Let the bytes go."""
        self._content = b""

    def _inflate(self) -> bytes:
        content, position = BytesIO(), 0
        with self._path.open("rb") as file, suppress(zlib.error):
            file.seek(self._deflated_at)
            for part in _parts(file):
                content.write(part[max(self._start - position, 0) : self._end - position])
                position += len(part)
                if position >= self._end:
                    break
        return content.getvalue()


class _Place:
    """Room for the bytes of one value; `lock` is for whoever uses them."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.holder: Callable[[], InflatedValue | None] = _nobody

    def empty(self) -> None:
        """Let go of what is held."""
        if holder := self.holder():
            holder.drop()
        self.holder = _nobody


def _nobody() -> None:
    return None


_LARGE_PLACE = _Place()


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """Yield what the raw deflate stream in the rest of `file` inflates to, as far as it goes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        data = inflater.unconsumed_tail or file.read(_STEP)
        part = inflater.decompress(data, _GROWTH)
        if not (data or part):
            return
        yield part


def inflate(data: bytes, size: int) -> bytes:
    """Return what the raw deflate stream `data` inflates to, of which no more than `size` bytes are made."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
