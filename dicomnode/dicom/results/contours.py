"""Draw masks as closed planar contours on the planes of their stack (PS3.3 C.8.8.6)."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.valuerep import format_number_as_ds

from dicomnode.dicom.results.keyholes import keyhole
from dicomnode.dicom.results.outlines import Outline, outlines_of
from dicomnode.dicom.results.sources import SourceHeader, reference_to
from dicomnode.domain import Mask, Plane, Stack

_CONTOUR_DATA = Tag("ContourData")
_LONGEST = 0xFFFE  # bytes of an element whose length has 16 bits (PS3.5 7.1.2); longer ones lose their VR
_MOST_CORNERS = 4096  # which need about as many bytes
_DECIMALS = 6  # of a millimetre: less than a nanometre is lost
_LONGEST_DECIMAL = 16  # characters of a DS, PS3.5 6.2


def contours_of(mask: Mask, stack: Stack, headers: Sequence[SourceHeader]) -> Iterator[Dataset]:
    """Yield the contours of `mask`, plane by plane, each naming the image or frame that it is drawn on."""
    number = 0
    for index in sorted(mask.planes):
        for count, decimals in _drawn(mask.planes[index], stack.planes[index]):
            number += 1
            contour = Dataset()
            contour.ContourImageSequence = [reference_to(headers[index], headers[index : index + 1])]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = count
            contour.ContourNumber = number
            # as bytes, to be written as they are: there may be millions of numbers, and pydicom makes objects of them
            contour[_CONTOUR_DATA] = RawDataElement(
                _CONTOUR_DATA, "DS", len(decimals), decimals, 0, is_implicit_VR=False, is_little_endian=True
            )
            contour.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding="iso8859")
            yield contour


def _drawn(inside: NDArray[np.bool_], plane: Plane) -> Iterator[tuple[int, bytes]]:
    """Yield how many points each contour round the pixels of `inside`, (row, column) bool, has, and where they lie.

    Where one is longer than an element may be, what is inside is drawn in two parts: its upper and its lower rows.
    """
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    corner = (int(columns[0]), int(rows[0]))
    outlines = outlines_of(inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    if max(map(_corners, outlines)) <= _MOST_CORNERS:
        polygons = [keyhole(outline) + corner for outline in outlines]
        drawn = [(len(polygon), _decimals(_to_patient(polygon, plane))) for polygon in polygons]
        if all(len(decimals) <= _LONGEST for _, decimals in drawn):
            yield from drawn
            return
    middle = (int(rows[0]) + int(rows[-1]) + 1) // 2
    for part in (slice(0, middle), slice(middle, None)):
        half = np.zeros_like(inside)
        half[part] = inside[part]
        yield from _drawn(half, plane)


def _corners(outline: Outline) -> int:
    return len(outline.edge) + sum(map(len, outline.holes))


def _to_patient(points: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return `points`, (point, 2) float64 x, y in pixel-centre coordinates, as (point, 3) in mm (PS3.3 C.7.6.2.1.1)."""
    row, column = (np.asarray(plane.orientation[start : start + 3]) for start in (0, 3))
    across, down = points[:, :1] * plane.spacing[1], points[:, 1:] * plane.spacing[0]
    return np.asarray(np.asarray(plane.position) + across * row + down * column, dtype=np.float64)


def _decimals(points: NDArray[np.float64]) -> bytes:
    """Return the numbers of `points` as DICOM writes them, of even length (PS3.5 6.2, DS)."""
    numbers = np.round(points, _DECIMALS) + 0.0  # no zero below zero
    texts = "\\".join(map(_decimal, numbers.ravel().tolist())).encode()
    return texts + b" " * (len(texts) % 2)


@lru_cache(maxsize=1 << 14)  # rows and columns have the same places again and again
def _decimal(number: float) -> str:
    plain = f"{number:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return plain if len(plain) <= _LONGEST_DECIMAL else format_number_as_ds(number)
