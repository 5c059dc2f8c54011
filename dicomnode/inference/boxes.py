"""Boxes on images in pixels: round a mask, wider, within another, and of a least size."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box

EDGE = -0.5  # where the first pixel begins

Shape = tuple[int, int]


def extent(inside: NDArray[np.bool_]) -> Box | None:
    """Return the box of the pixels `inside`, (row, column) bool; None where there are none."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    left, top = float(columns[0]) + EDGE, float(rows[0]) + EDGE
    return Box(x0=left, y0=top, x1=float(columns[-1]) - EDGE, y1=float(rows[-1]) - EDGE)


def union(boxes: Iterable[Box]) -> Box:
    """Return the least box round all of `boxes`."""
    sides = as_array(list(boxes))
    x0, y0, x1, y1 = (float(side) for side in (*sides[:, :2].min(axis=0), *sides[:, 2:].max(axis=0)))
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def widened(box: Box, margin: float) -> Box:
    """Return `box` with `margin` pixels more on every side."""
    return Box(x0=box.x0 - margin, y0=box.y0 - margin, x1=box.x1 + margin, y1=box.y1 + margin)


def image_of(shape: Shape) -> Box:
    """Return the box of all pixels of an image of `shape` (rows, columns)."""
    return Box(x0=EDGE, y0=EDGE, x1=shape[1] + EDGE, y1=shape[0] + EDGE)


def within(box: Box, other: Box, shape: Shape, least_side: float) -> Box | None:
    """Return what of `box` is in `other` and in an image of `shape`, of at least `least_side`; None if nothing is."""
    bounds = image_of(shape)
    x0, y0 = max(box.x0, other.x0, bounds.x0), max(box.y0, other.y0, bounds.y0)
    x1, y1 = min(box.x1, other.x1, bounds.x1), min(box.y1, other.y1, bounds.y1)
    if x0 >= x1 or y0 >= y1:
        return None
    (x0, x1), (y0, y1) = _grown(x0, x1, bounds.x1, least_side), _grown(y0, y1, bounds.y1, least_side)
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def centres(low: float, high: float, count: int) -> range:
    """Return which of `count` pixels have their centres from `low` to `high`, the nearest one where none has."""
    first, last = int(np.ceil(low)), int(np.floor(high))
    if first > last:
        first = last = round((low + high) / 2)
    return range(min(max(first, 0), count - 1), min(max(last, 0), count - 1) + 1)


def pixels_in(low: float, high: float, count: int) -> range:
    """Return which of `count` pixels have their centres from `low` to `high`; there may be none."""
    return range(max(0, int(np.ceil(low))), max(0, min(count, int(np.floor(high)) + 1)))


def clipped(boxes: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 of `boxes`, (..., 4) float64, within the outer pixel edges of an image of `shape`."""
    rows, columns = shape
    return np.clip(boxes, EDGE, np.array([columns, rows, columns, rows]) + EDGE)


def as_array(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 of `boxes`, (box, 4) float64."""
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64)


def _grown(low: float, high: float, end: float, least: float) -> tuple[float, float]:
    """Return the interval of at least `least` about its middle, moved to lie in EDGE..end, which it may fill."""
    if high - low >= least:
        return low, high
    start = min(max((low + high - least) / 2, EDGE), max(end - least, EDGE))
    return start, min(start + least, end)
