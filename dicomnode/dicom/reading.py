"""Read data sets so that a parser's warnings become notes and a cut-off file is noticed."""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue

from dicomnode.errors import Reason, Refused

PARSER_ERRORS = (
    AttributeError,
    BytesLengthException,
    EOFError,
    KeyError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_TAG_AND_LENGTH = 8  # bytes that begin an element

_warnings_lock = threading.RLock()  # the warning filters are the process's, not a thread's


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Collect the warnings that foreign code gives in here into `notes`, whatever the filters are."""
    with _warnings_lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            notes.extend(dict.fromkeys(str(warning.message) for warning in caught))


def read_dataset(source: Path | BinaryIO, what: str, *, pixels: bool) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data set in `source`, with its pixels or without, and the parser's notes.

    Refuses with NOT_DICOM, UNREADABLE or TRUNCATED, naming `what`.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return read_dataset(file, what, pixels=pixels)
        except OSError as error:
            raise Refused(Reason.UNREADABLE, what, str(error)) from error
    watched = _Watched(source)
    notes: list[str] = []
    try:
        with noted(notes):
            ds = _parse(watched, pixels=pixels)
    except InvalidDicomError as error:
        raise Refused(Reason.NOT_DICOM, what, "it is not a DICOM file") from error
    except PARSER_ERRORS as error:
        raise Refused(Reason.UNREADABLE, what, f"{type(error).__name__}: {error}") from error
    if watched.cut_off or any(note.startswith("End of file reached") for note in notes):
        raise Refused(Reason.TRUNCATED, what, f"it ends in the middle of an element, after {watched.size()} bytes")
    return ds, tuple(notes)


def numbers(ds: Dataset, keyword: str, count: int, what: str) -> tuple[float, ...] | None:
    """Return the `count` finite numbers of element `keyword`, or None where it is absent or empty."""
    try:
        value = ds.get(keyword)
        if value is None or value == "":
            return None
        values = tuple(float(item) for item in (value if count > 1 else [value]))
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"{keyword} holds no number: {error}") from error
    if not values:
        return None
    if len(values) != count or not all(isfinite(number) for number in values):
        raise Refused(Reason.INVALID_HEADER, what, f"{keyword} is {values}: {count} finite numbers are wanted")
    return values


def text(ds: Dataset, keyword: str) -> str:
    """Return element `keyword` as stripped text, '' where it is absent or cannot be read."""
    try:
        value = ds.get(keyword) or ""
        whole = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
        return whole.strip().rstrip("\0")
    except PARSER_ERRORS:
        return ""


def _parse(source: "_Watched", *, pixels: bool) -> Dataset:
    file = cast("BinaryIO", source)
    try:
        return dcmread(file, stop_before_pixels=not pixels)
    except InvalidDicomError:  # a data set without preamble and meta information occurs; anything else is no DICOM
        source.seek(0)
        ds = dcmread(file, stop_before_pixels=not pixels, force=True)
        if not ds.get("SOPClassUID") or not ds.get("SOPInstanceUID"):
            raise
        return ds


class _Watched:
    """A binary file that remembers whether a read was cut off by the file's end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.name = str(getattr(file, "name", "<bytes>"))
        self.cut_off = False
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        at_end = size == _TAG_AND_LENGTH and not data.strip(b"\0")  # nothing more, or a few bytes of padding
        if len(data) < size and not at_end:
            self.cut_off = True
        return data

    def size(self) -> int:
        return self._file.seek(0, 2)
