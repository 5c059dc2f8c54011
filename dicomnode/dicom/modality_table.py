"""Turn stored pixels into the modality's values by a table, where a header has one in place of slope and intercept."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.reading import PARSER_ERRORS, items, numbers
from dicomnode.errors import Reason, Refused

_PADDED = -1  # no entry of a table is negative
_WORDS = 1 << 16
Padding = tuple[int, int] | None


def through_table(
    stored: NDArray[np.integer[Any]], padding: Padding, ds: Dataset, what: str
) -> tuple[NDArray[np.integer[Any]], Padding]:
    """Return what the table of `ds` makes of `stored`, (row, column) integers, and of its range of padding.

    Without a table both are what they were (PS3.3 C.11.1.1). Refuses with INVALID_HEADER a table that is none.
    """
    if stored.ndim > 2 or not items(ds, "ModalityLUTSequence"):  # noqa: PLR2004 - colours are no values
        return stored, padding
    first, entries = _table(ds, what)
    values = entries[np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)]
    if padding is None:
        return values, None
    padded = (stored >= padding[0]) & (stored <= padding[1])
    return np.where(padded, np.int32(_PADDED), values.astype(np.int32)), (_PADDED, _PADDED)


def _table(ds: Dataset, what: str) -> tuple[int, NDArray[np.uint16]]:
    """Return the stored value that the first entry stands for, and the entries, (entry,) uint16."""
    item = items(ds, "ModalityLUTSequence")[0]
    descriptor = numbers(item, "LUTDescriptor", 3, what)
    entries = _entries(item, ">u2" if ds.original_encoding[1] is False else "<u2", what)
    if descriptor is None or len(entries) < (int(descriptor[0]) % _WORDS or _WORDS):
        detail = f"the LUTDescriptor of its ModalityLUTSequence is {descriptor}, its LUTData has {len(entries)} entries"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    first = int(descriptor[1])
    if numbers(ds, "PixelRepresentation", 1, what) == (1.0,) and first >= _WORDS // 2:  # written without its sign
        first -= _WORDS
    return first, entries[: int(descriptor[0]) % _WORDS or _WORDS]


def _entries(item: Dataset, words: str, what: str) -> NDArray[np.uint16]:
    try:
        data = item["LUTData"].value
        if isinstance(data, bytes):
            return np.frombuffer(data, words).astype(np.uint16)
        return np.array(data, dtype=np.uint16).reshape(-1)
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"the table of its ModalityLUTSequence: {error}") from error
