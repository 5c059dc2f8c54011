"""Find the compressed frames of encapsulated pixel data (PS3.5 A.4)."""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from dicomnode.dicom.pixels.codestream import END_OF_IMAGE
from dicomnode.errors import Reason, Refused

_ITEM = 0xE000FFFE  # (FFFE,E000), read as one little endian number
_UNDEFINED = 0xFFFFFFFF
_FRAGMENTS_LIMIT = 1_000_000
_TAIL = 10  # bytes at the end of a fragment that may hold it, with padding


@dataclass(frozen=True, slots=True)
class Fragment:
    """Where the value of one item lies in the file, in bytes."""

    start: int
    length: int

    @property
    def item(self) -> int:
        """Return where the item itself begins, which is what offset tables count from."""
        return self.start - 8


Frame = tuple[Fragment, ...]


def find_frames(file: BinaryIO, frames: int, what: str) -> tuple[Frame, ...]:
    """Return where each of `frames` frames lies in `file`, which stands at the beginning of the pixel data's value.

    The frames that are missing are left out at the end, or have no fragments. An extended offset table is not needed:
    it goes with one fragment a frame (PS3.3 C.7.6.3.1.8). Refuses with TRUNCATED where there is no sequence of
    fragments.
    """
    items = _items(file, what)
    if not items:
        raise Refused(Reason.TRUNCATED, what, "its pixel data are not encapsulated, as its transfer syntax wants")
    table, fragments = items[0], items[1:]
    if frames == 1 or not fragments:
        return (tuple(fragments),)
    offsets = _offsets(_read(file, table))
    if len(offsets) == frames and _agree(offsets, fragments):
        return _by_offsets(fragments, offsets)
    if len(fragments) <= frames:
        return tuple((fragment,) for fragment in fragments)
    return _by_ends(file, fragments)


def read_frame(file: BinaryIO, frame: Frame) -> bytes | None:
    """Return the bytes of `frame`, or None where the file ends before they do."""
    parts = [_read(file, fragment) for fragment in frame]
    whole = all(len(part) == fragment.length for part, fragment in zip(parts, frame, strict=True))
    return b"".join(parts) if whole else None


def _items(file: BinaryIO, what: str) -> list[Fragment]:
    items: list[Fragment] = []
    while len(header := file.read(8)) == 8:  # noqa: PLR2004 - a tag and a length
        tag, length = struct.unpack("<II", header)
        if tag != _ITEM or length == _UNDEFINED:
            break
        if len(items) > _FRAGMENTS_LIMIT:
            raise Refused(Reason.LIMIT, what, f"its pixel data have more than {_FRAGMENTS_LIMIT} fragments")
        items.append(Fragment(file.tell(), length))
        file.seek(length, 1)
    return items


def _read(file: BinaryIO, fragment: Fragment) -> bytes:
    file.seek(fragment.start)
    return file.read(fragment.length)


def _offsets(table: bytes) -> tuple[int, ...]:
    count = len(table) // 4
    return struct.unpack(f"<{count}I", table[: count * 4])


def _agree(offsets: Sequence[int], fragments: Sequence[Fragment]) -> bool:
    """Return whether each offset is that of a fragment, or lies behind a file that was cut off."""
    begins = {fragment.item - fragments[0].item for fragment in fragments}
    ascending = all(first < second for first, second in pairwise(offsets))
    return ascending and all(offset in begins or offset > max(begins) for offset in offsets)


def _by_offsets(fragments: Sequence[Fragment], offsets: Sequence[int]) -> tuple[Frame, ...]:
    frames: list[list[Fragment]] = [[] for _ in offsets]
    for fragment in fragments:
        frames[max(bisect_right(offsets, fragment.item - fragments[0].item) - 1, 0)].append(fragment)
    return tuple(map(tuple, frames))


def _by_ends(file: BinaryIO, fragments: Sequence[Fragment]) -> tuple[Frame, ...]:
    frames: list[list[Fragment]] = [[]]
    for fragment in fragments:
        frames[-1].append(fragment)
        tail = min(_TAIL, fragment.length)
        if END_OF_IMAGE in _read(file, Fragment(fragment.start + fragment.length - tail, tail)):
            frames.append([])
    return tuple(tuple(frame) for frame in frames if frame)
