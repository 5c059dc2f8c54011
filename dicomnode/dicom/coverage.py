"""Count which points lie on the planes of a stack, from headers alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import StackImages, Vector, normal_of
from dicomnode.geometry import local_gaps

_ROUNDING_MM = 1e-6
_COINCIDING_MM = 0.1


def coinciding(points: Sequence[Vector], images: StackImages) -> int:
    """Count which of `points`, in patient mm, lie on a plane of `images`, within 0.1 mm, and inside it."""
    return _count(points, images, _COINCIDING_MM)


def covered(points: Sequence[Vector], images: StackImages) -> int:
    """Count which of `points`, in patient mm, lie within half a slice distance of a plane of `images` and inside it."""
    return _count(points, images, None)


def outside(points: Sequence[Vector], images: StackImages) -> int:
    """Count which of `points`, in patient mm, have no plane of `images` within half a slice distance."""
    places = [plane.frame.place for plane in images.planes if plane.frame.place]
    if not points or not places:
        return 0
    normal = normal_of(places[0].orientation)
    heights = np.array([one.position for one in places]) @ normal
    away = np.abs(heights[None, :] - (np.array(points) @ normal)[:, None])
    return int(np.count_nonzero((away > _reach(heights)[None, :]).all(axis=1)))


def _count(points: Sequence[Vector], images: StackImages, within: float | None) -> int:
    places = [plane.frame.place for plane in images.planes if plane.frame.place]
    if not points or not places:
        return 0
    (first, frame), place = images.planes[0], places[0]
    row, column = np.array(place.orientation[:3]), np.array(place.orientation[3:])
    normal = normal_of(place.orientation)
    positions = np.array([one.position for one in places])
    heights = positions @ normal
    reach = _reach(heights) if within is None else np.full(len(heights), within + _ROUNDING_MM)
    offsets = np.array(points)
    nearest = np.argmin(np.abs(heights[None, :] - (offsets @ normal)[:, None]), axis=1)
    away = offsets - positions[nearest]
    x, y = away @ row / frame.spacing[1], away @ column / frame.spacing[0]
    inside = (x >= 0) & (x <= first.columns - 1) & (y >= 0) & (y <= first.rows - 1)
    return int(np.count_nonzero(inside & (np.abs(away @ normal) <= reach[nearest])))


def _reach(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the slice distance round each of the planes at `heights`, (plane,) in mm, of unknown thickness."""
    return np.asarray(local_gaps(heights, np.full(len(heights), np.nan)).max(axis=1) / 2 + _ROUNDING_MM)
