"""Stand between a parser and a file: notice where the file ends too early, and refuse what would never end."""

import os
from typing import BinaryIO

from dicomnode.dicom.counting import ObjectCount
from dicomnode.dicom.inflating import Inflated
from dicomnode.errors import Reason, Refused

_HEAD = 8  # bytes that begin an element: tag and length
_LARGE = 1 << 20  # bytes
_MOST_BYTES = 384 << 20  # of a header
_CHARACTER_SET = frozenset({b"\x08\x00\x05\x00", b"\x00\x08\x00\x05"})  # the tag, little and big endian
_LONGEST_CHARACTER_SET = 1 << 10  # bytes; the parser looks each of its values up at once


class DeflatedError(Exception):
    """The parser is about to inflate the rest of the file, which begins at `start`, whatever its size."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class Watched:
    """A binary file that remembers whether a read was cut off by the file's end.

    It refuses with LIMIT, naming `what`, to give more than a header may have of bytes, elements or character sets.
    """

    def __init__(self, file: BinaryIO | Inflated, what: str) -> None:
        self.file = file
        self.name = str(getattr(file, "name", "<bytes>"))
        self.cut_off = False
        self.tell = file.tell
        self.seek = file.seek
        self._what = what
        self._objects = ObjectCount(what)
        self._left = _MOST_BYTES
        self._head = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        if size < 0:
            raise DeflatedError(self.tell())
        wanted = size if size < _LARGE else min(size, self._rest())
        self._take(wanted)
        data = self.file.read(wanted)
        self._objects.add(data)
        self._head = data[:_HEAD]
        at_end = size == _HEAD and not data.strip(b"\0")  # nothing more, or a few bytes of padding
        if len(data) < size and not at_end:
            self.cut_off = True
        return data

    def size(self) -> int:
        """Return how many bytes the file has."""
        return self.file.seek(0, os.SEEK_END)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Refused(Reason.LIMIT, self._what, f"its header has more than {_MOST_BYTES >> 20} MiB")
        if size > _LONGEST_CHARACTER_SET and self._head[:4] in _CHARACTER_SET:
            raise Refused(Reason.LIMIT, self._what, f"its SpecificCharacterSet has {size} bytes")

    def _rest(self) -> int:
        """Return how many bytes are left: memory for more must not be asked for."""
        here = self.tell()
        rest = self.size() - here
        self.seek(here)
        return max(rest, 0)
