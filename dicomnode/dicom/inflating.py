"""Inflate a deflated stream only as far as it is read, and never beyond a limit."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO, cast

from dicomnode.errors import Reason, Refused

INFLATED_LIMIT = 384 << 20  # bytes

_STEP = 1 << 16  # bytes read from the file at a time
_GROWTH = 1 << 22  # bytes inflated at a time: a thousandfold stream must not overshoot the limit by much


class Inflated:
    """What the raw deflate stream in the rest of `file` inflates to (PS3.5 A.5), as a file that begins with `prefix`.

    Reading beyond the limit refuses with LIMIT; a stream that is cut off is an end of file.
    """

    def __init__(self, file: BinaryIO, what: str, *, prefix: bytes) -> None:
        self.name = what
        self._file = file
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._content = bytearray(prefix)
        self._position = 0
        self._ended = False
        self._lock = Lock()

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
            self.inflate_all()
            offset += len(self._content)
        self._position = offset
        return offset

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def inflate_all(self) -> None:
        """Inflate what is left: after this the file is no longer needed."""
        self._inflate(INFLATED_LIMIT + 1)

    @contextmanager
    def lent(self) -> Iterator[BinaryIO]:
        """Lend this stream to one thread at a time."""
        with self._lock:
            yield cast("BinaryIO", self)

    def _inflate(self, size: int) -> None:
        while len(self._content) < size and not self._ended:
            data = self._inflater.unconsumed_tail or self._file.read(_STEP)
            more = self._inflater.decompress(data, _GROWTH)
            self._ended = self._inflater.eof or not (data or more)
            self._content += more
            if len(self._content) > INFLATED_LIMIT:
                detail = f"it inflates to more than {INFLATED_LIMIT >> 20} MiB"
                raise Refused(Reason.LIMIT, self.name, detail)


def inflate(data: bytes, size: int) -> bytes:
    """Return what the raw deflate stream `data` inflates to, of which no more than `size` bytes are made."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
