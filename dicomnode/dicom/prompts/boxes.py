"""Boxes on planes: from patient space to pixels, with margin, least size and the image's edge."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Plane
from dicomnode.errors import Reason, Refused

EDGE = -0.5  # where the first pixel begins
LEAST_SIDE = 3.0  # pixels: less is no region a model can look at


def to_pixels(points: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return `points`, (point, 3) float64 in patient mm, as (point, 2) float64 x, y in pixel-centre coordinates.

    x = (p - position) . row direction / column spacing, likewise y (PS3.3 C.7.6.2.1.1); both count from the centre
    of the first pixel.
    """
    row, column = (np.asarray(plane.orientation[start : start + 3]) for start in (0, 3))
    offsets = points - np.asarray(plane.position)
    x = offsets @ (row / np.linalg.norm(row)) / plane.spacing[1]
    y = offsets @ (column / np.linalg.norm(column)) / plane.spacing[0]
    return np.column_stack([x, y])


def extent(outline: NDArray[np.float64]) -> Box:
    """Return the least box round `outline`, (point, 2) float64 x, y."""
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return Box(x0=float(x0), y0=float(y0), x1=float(x1), y1=float(y1))


def union(boxes: Iterable[Box]) -> Box:
    """Return the least box round all of `boxes`."""
    rows = list(boxes)
    return Box(
        x0=min(box.x0 for box in rows),
        y0=min(box.y0 for box in rows),
        x1=max(box.x1 for box in rows),
        y1=max(box.y1 for box in rows),
    )


def fit(box: Box, plane: Plane, margin_mm: float, what: str) -> tuple[Box, tuple[str, ...]]:
    """Return `box` with its margin, at least 3 pixels a side and clipped to the image, and notes on what was done.

    Refuses with BOX_OUTSIDE a box that does not touch the image.
    """
    rows, columns = plane.stored.shape[:2]
    x0, x1, thin = _grow(box.x0, box.x1, margin_mm / plane.spacing[1])
    y0, y1, flat = _grow(box.y0, box.y1, margin_mm / plane.spacing[0])
    right, bottom = columns + EDGE, rows + EDGE
    if x1 <= EDGE or y1 <= EDGE or x0 >= right or y0 >= bottom:
        detail = f"columns {x0:.1f} to {x1:.1f}, rows {y0:.1f} to {y1:.1f} of an image of {columns} x {rows} pixels"
        raise Refused(Reason.BOX_OUTSIDE, what, detail)
    clipped = Box(x0=max(x0, EDGE), y0=max(y0, EDGE), x1=min(x1, right), y1=min(y1, bottom))
    notes = []
    if thin or flat:
        notes.append(f"grown to {LEAST_SIDE:.0f} pixels")
    if clipped != Box(x0=x0, y0=y0, x1=x1, y1=y1):
        notes.append("clipped to the image")
    return clipped, tuple(notes)


def _grow(low: float, high: float, margin: float) -> tuple[float, float, bool]:
    """Return the interval with `margin` on both sides and at least the least side, and whether that was needed."""
    low, high = low - margin, high + margin
    lack = LEAST_SIDE - (high - low)
    if lack <= 0:
        return low, high, False
    return low - lack / 2, high + lack / 2, True
