"""Tell whether two files hold the same object, however each is encoded."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.dicom.reading import PARSER_ERRORS, noted, numbers, read_dataset, text
from dicomnode.errors import Reason, Refused

_PIXEL_DATA, _PADDING = Tag("PixelData"), Tag(0xFFFCFFFC)
_OF_ENCODING = frozenset(  # say how pixels are encoded, not what they are (PS3.5 8.2, PS3.3 C.7.6.3.1)
    {
        _PIXEL_DATA,
        _PADDING,
        Tag("ExtendedOffsetTable"),
        Tag("ExtendedOffsetTableLengths"),
        Tag("EncapsulatedPixelDataValueTotalLength"),
        Tag("PhotometricInterpretation"),
        Tag("PlanarConfiguration"),
    }
)
_AS_STORED = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"})  # decoded without loss
_LIKE_RGB = {"YBR_RCT": "RGB"}  # a reversible transformation of it (PS3.3 C.7.6.3.1.2)
_BYTE = 8  # bits
_LARGEST = 1 << 30  # bytes of a file


def is_same(one: Path, other: Path, decoders: Decoders) -> bool:
    """Return whether the decoded elements and pixels of both files are equal; in doubt they are not.

    Refuses what cannot be read or decoded.
    """
    first, second = _read(one), _read(other)
    try:
        with noted([]):
            if not _equal(first, second):
                return False
    except PARSER_ERRORS as error:
        raise Refused(Reason.UNREADABLE, str(other), f"{type(error).__name__}: {error}") from error
    if _PIXEL_DATA not in first or _PIXEL_DATA not in second:
        return _PIXEL_DATA not in first and _PIXEL_DATA not in second
    return _comparable(first, second, str(one)) and _same_pixels(first, (one, other), decoders)


def _read(path: Path) -> Dataset:
    if path.stat().st_size > _LARGEST:
        raise Refused(Reason.LIMIT, str(path), f"it has {path.stat().st_size >> 20} MiB: at most 1024 are compared")
    ds, _ = read_dataset(path, str(path), pixels=True)
    return ds


def _equal(one: Dataset, other: Dataset) -> bool:
    tags = _tags(one)
    return tags == _tags(other) and all(_equal_element(one, other, tag) for tag in tags)


def _tags(ds: Dataset) -> set[BaseTag]:
    """Return the elements that count: neither lengths of groups (PS3.5 7.2) nor what tells of the encoding."""
    return {tag for tag in ds.keys() if tag.element and tag not in _OF_ENCODING}  # noqa: SIM118 - a data set yields values


def _equal_element(one: Dataset, other: Dataset, tag: BaseTag) -> bool:
    """Compare the bytes of two elements, or where these differ what they mean."""
    if (stored := _stored(one, tag)) is not None and stored == _stored(other, tag):
        return True
    first, second = one[tag], other[tag]
    if isinstance(first.value, Sequence) and isinstance(second.value, Sequence):
        pairs = zip(first.value, second.value, strict=False)
        return len(first.value) == len(second.value) and all(_equal(*pair) for pair in pairs)
    return _means(first) == _means(second)


def _stored(ds: Dataset, tag: BaseTag) -> tuple[bytes, Any] | None:
    """Return the bytes of an element in little endian and the character set that they are in, if not parsed yet."""
    raw = ds.get_item(tag)
    if not isinstance(raw, RawDataElement) or not raw.is_little_endian or raw.value is None:
        return None
    return raw.value, ds.original_character_set


def _means(element: DataElement) -> tuple[str, Any]:
    return element.VR, element.value


def _comparable(one: Dataset, other: Dataset, what: str) -> bool:
    """Return whether decoding both gives their very numbers: colours are made 8-bit RGB."""
    first, second = (text(ds, "PhotometricInterpretation") for ds in (one, other))
    alike = _LIKE_RGB.get(first, first) == _LIKE_RGB.get(second, second)
    bits = numbers(one, "BitsStored", 1, what) or (0.0,)
    whole = bits[0] == _BYTE or numbers(one, "SamplesPerPixel", 1, what) == (1.0,)
    return alike and whole and _LIKE_RGB.get(first, first) in _AS_STORED


def _same_pixels(header: Dataset, paths: tuple[Path, Path], decoders: Decoders) -> bool:
    first, second = (open_pixels(path, decoders) for path in paths)
    count = numbers(header, "NumberOfFrames", 1, str(paths[0])) or (1.0,)
    every = range(1, max(int(count[0]), 1) + 1)
    return all(np.array_equal(first.stored(number), second.stored(number)) for number in every)
