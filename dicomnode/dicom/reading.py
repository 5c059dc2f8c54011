"""Read data sets so that a parser's warnings become notes and a cut-off file is noticed."""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom import Dataset, FileDataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as ItemSequence
from pydicom.tag import BaseTag, Tag

from dicomnode.dicom.inflating import Inflated
from dicomnode.dicom.watching import DeflatedError, Watched
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

_LONGEST_VALUE = 1 << 16  # bytes of numbers or text: what a length of 16 bits can tell (PS3.5 7.1.2)
_FIRST_GROUPS = frozenset({b"\x08\x00", b"\x00\x08", b"\x02\x00"})  # 0008 in either order, 0002
_EXPLICIT_VR_LITTLE_ENDIAN = b"\0" * 128 + b"DICM\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # PS3.10 7.1

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """A data set, the parser's notes, and the stream it was read from, which stands behind what was read.

    The stream of a deflated data set is what it inflates to.
    """

    ds: Dataset
    notes: tuple[str, ...]
    stream: BinaryIO | Inflated


def read_dataset(source: Path | BinaryIO, what: str, *, pixels: bool) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data set in `source`, with its pixels or without, and the parser's notes.

    Refuses with NOT_DICOM, UNREADABLE, TRUNCATED or LIMIT, naming `what`.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return read_dataset(file, what, pixels=pixels)
        except OSError as error:
            raise Refused(Reason.UNREADABLE, what, str(error)) from error
    parsed = parse(source, what, pixels=pixels)
    return parsed.ds, parsed.notes


def parse(file: BinaryIO, what: str, *, pixels: bool) -> Parsed:
    """Return the data set in `file`, with its pixels or only what comes before them.

    Refuses with NOT_DICOM, UNREADABLE, TRUNCATED or LIMIT, naming `what`.
    """
    watched = Watched(file, what)
    notes: list[str] = []
    try:
        with noted(notes):
            try:
                ds = _parse(watched, pixels=pixels)
            except DeflatedError as found:
                watched, ds = _parse_deflated(file, found.start, what, pixels=pixels)
    except InvalidDicomError as error:
        raise Refused(Reason.NOT_DICOM, what, "it is not a DICOM file") from error
    except PARSER_ERRORS as error:
        if isinstance(error.__context__, Refused):  # the parser made another error of it
            raise error.__context__ from error
        raise Refused(Reason.UNREADABLE, what, f"{type(error).__name__}: {error}") from error
    if watched.cut_off or any(note.startswith("End of file reached") for note in notes):
        raise Refused(Reason.TRUNCATED, what, f"it ends in the middle of an element, after {watched.size()} bytes")
    ds.buffer = None  # else the data set keeps the file
    return Parsed(ds=ds, notes=tuple(notes), stream=watched.file)


def numbers(ds: Dataset, keyword: str, count: int, what: str) -> tuple[float, ...] | None:
    """Return the `count` finite numbers of element `keyword`, or None where it is absent or empty."""
    try:
        value = value_of(ds, keyword)
        if value is None or value == "":
            return None
        values = tuple(float(item) for item in (value if isinstance(value, MultiValue | list | tuple) else [value]))
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
        value = value_of(ds, keyword) or ""
        whole = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
        return whole.strip().rstrip("\0")
    except PARSER_ERRORS:
        return ""


def value_of(ds: Dataset, keyword: str) -> Any:  # noqa: ANN401 - any element
    """Return the value of element `keyword`, None where it is absent; ValueError where it is longer than any may be."""
    tag = _tag_of(keyword)
    if tag is None or tag not in ds:
        return ds.get(keyword)
    raw = ds.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.VR != "SQ" and len(raw.value or b"") > _LONGEST_VALUE:
        raise ValueError(f"{keyword} has {len(raw.value or b'')} bytes")
    return ds[tag].value


@cache
def _tag_of(keyword: str) -> BaseTag | None:
    """Return the tag of `keyword`: looked up for every element of every header, it would take a third of the time."""
    tag = tag_for_keyword(keyword)
    return None if tag is None else Tag(tag)


def items(ds: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of the sequence `keyword`, none where it is absent, empty or no sequence."""
    value = ds.get(keyword)
    return value if isinstance(value, ItemSequence) else ()


def first_item(ds: Dataset, keyword: str) -> Dataset:
    """Return the first item of the sequence `keyword`, an empty one where there is none."""
    return next(iter(items(ds, keyword)), Dataset())


def _parse(source: Watched, *, pixels: bool) -> FileDataset:
    file = cast("BinaryIO", source)
    try:
        return dcmread(file, stop_before_pixels=not pixels)
    except InvalidDicomError:  # a data set without preamble and meta information occurs; anything else is no DICOM
        source.seek(0)
        if source.file.read(2) not in _FIRST_GROUPS:
            raise
        source.seek(0)
        ds = dcmread(file, stop_before_pixels=not pixels, force=True)
        if not ds.get("SOPClassUID") or not ds.get("SOPInstanceUID"):
            raise
        return ds


def _parse_deflated(file: BinaryIO, start: int, what: str, *, pixels: bool) -> tuple[Watched, FileDataset]:
    """Return the data set that is deflated from `start` on as if it had been plain (PS3.5 A.5)."""
    file.seek(0)
    meta = dcmread(BytesIO(file.read(start)), force=True).file_meta
    watched = Watched(Inflated(file, what, prefix=_EXPLICIT_VR_LITTLE_ENDIAN), what)
    ds = _parse(watched, pixels=pixels)
    ds.file_meta = meta
    return watched, ds
