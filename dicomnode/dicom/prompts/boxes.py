"""Boxes on planes: from patient space to pixels, with margin, least size and the image's edge."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Plane
from dicomnode.errors import Reason, Refused

EDGE = -0.5  # where the first pixel begins
_LAST_BITS = 1e-9  # pixels
LEAST_SIDE = 3.0  # pixels: what a model sees something in; one that needs less says so


def to_pixels(points: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return `points`, (point, 3) float64 in patient mm, as (point, 2) float64 x, y in pixel-centre coordinates.

    They are what p = position + x * column spacing * row direction + y * row spacing * column direction maps to the
    points (PS3.3 C.7.6.2.1.1), or to the nearest place of the plane; both count from the centre of the first pixel.
    The directions are taken as they are stated: they may be a little longer than one, or not quite at a right angle.
    """
    row, column = (np.asarray(plane.orientation[start : start + 3]) for start in (0, 3))
    offsets = points - np.asarray(plane.position)
    along_row, along_column = offsets @ row, offsets @ column
    rows, both, columns = row @ row, row @ column, column @ column  # the normal equations of the least squares
    determinant = rows * columns - both * both
    x = (along_row * columns - along_column * both) / determinant / plane.spacing[1]
    y = (along_column * rows - along_row * both) / determinant / plane.spacing[0]
    return np.column_stack([x, y])


def extent(outline: NDArray[np.float64]) -> Box:
    """Return the least box round `outline`, (point, 2) float64 x, y."""
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return Box(x0=float(x0), y0=float(y0), x1=float(x1), y1=float(y1))


def square_on(line: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return the corners of the square with the middle of `line` and a side as long as it in mm, (4, 2) float64 x, y.

    `line` is (2, 2) float64 x, y in pixel-centre coordinates of `plane`.
    """
    scale = np.array([plane.spacing[1], plane.spacing[0]])
    half = np.linalg.norm((line[1] - line[0]) * scale) / 2 / scale
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    return np.asarray(line.mean(axis=0) + corners * half, dtype=np.float64)


def union(boxes: Iterable[Box]) -> Box:
    """Return the least box round all of `boxes`."""
    rows = list(boxes)
    return Box(
        x0=min(box.x0 for box in rows),
        y0=min(box.y0 for box in rows),
        x1=max(box.x1 for box in rows),
        y1=max(box.y1 for box in rows),
    )


def fit(
    box: Box, plane: Plane, margin_mm: float, *, what: str, least_side: float = LEAST_SIDE
) -> tuple[Box, tuple[str, ...]]:
    """Return `box` with its margin, clipped to the image and of at least the least side, in pixels, and notes on that.

    Refuses with BOX_OUTSIDE a box that, as it was drawn, does not touch the image.
    """
    rows, columns = plane.stored.shape[:2]
    right, bottom = columns + EDGE, rows + EDGE
    if box.x1 <= EDGE or box.y1 <= EDGE or box.x0 >= right or box.y0 >= bottom:
        drawn = f"columns {box.x0:.1f} to {box.x1:.1f}, rows {box.y0:.1f} to {box.y1:.1f}"
        raise Refused(Reason.BOX_OUTSIDE, what, f"{drawn} of an image of {columns} x {rows} pixels")
    across, down = margin_mm / plane.spacing[1], margin_mm / plane.spacing[0]
    wide = Box(x0=box.x0 - across, y0=box.y0 - down, x1=box.x1 + across, y1=box.y1 + down)
    clipped = Box(x0=max(wide.x0, EDGE), y0=max(wide.y0, EDGE), x1=min(wide.x1, right), y1=min(wide.y1, bottom))
    x0, x1 = _grow(clipped.x0, clipped.x1, right, least_side)
    y0, y1 = _grow(clipped.y0, clipped.y1, bottom, least_side)
    grown = Box(x0=x0, y0=y0, x1=x1, y1=y1)
    notes = ("clipped to the image",) * _differ(clipped, wide)
    return grown, notes + (f"grown to {least_side:g} pixels",) * _differ(grown, clipped)


def _differ(one: Box, other: Box) -> bool:
    """Return whether two boxes differ by more than the last bits."""
    sides = ((one.x0, other.x0), (one.y0, other.y0), (one.x1, other.x1), (one.y1, other.y1))
    return max(abs(a - b) for a, b in sides) > _LAST_BITS


def _grow(low: float, high: float, end: float, least_side: float) -> tuple[float, float]:
    """Return the interval with at least the least side, in equal parts where the image's edges leave room."""
    lack = min(least_side, end - EDGE) - (high - low)
    if lack <= 0:
        return low, high
    start = min(max(low - lack / 2, EDGE), end - (high - low) - lack)
    return start, start + (high - low) + lack
