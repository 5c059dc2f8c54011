"""Make polygons without holes of outlines: each hole hangs on the edge by a channel of no width (PS3.3 C.8.8.6.3)."""

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.results.outlines import Outline


def keyhole(outline: Outline) -> NDArray[np.float64]:
    """Return a closed polygon that encloses just what `outline` does, (corner, 2) float64 x, y; see there.

    It is the edge with the holes spliced in, from left to right.
    From the first corner of a hole's leftmost side a channel leads to the left along the sides of pixels. What it meets
    first begins further left, and is part of the polygon already. All that lies between is inside, so that no channel
    crosses or touches a side or another channel.
    """
    polygon = outline.edge
    for hole in sorted(map(_from_the_left, outline.holes), key=lambda hole: tuple(hole[0])):
        polygon = _spliced(polygon, hole)
    return polygon


def _from_the_left(hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `hole` from its leftmost corner on, the upper of two."""
    return np.roll(hole, -int(np.lexsort((hole[:, 1], hole[:, 0]))[0]), axis=0)


def _spliced(polygon: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `polygon` with a channel to `hole`, there and back, where it is met on the way to the left."""
    x, y = hole[0]
    ends = np.roll(polygon, -1, axis=0)
    low, high = np.minimum(polygon[:, 1], ends[:, 1]), np.maximum(polygon[:, 1], ends[:, 1])
    met = (low < high) & (low <= y) & (y <= high) & (polygon[:, 0] < x)
    side = int(np.argmax(np.where(met, polygon[:, 0], -np.inf)))
    door = np.array([[polygon[side, 0], y]])
    channel = np.concatenate([door, hole, hole[:1], door])
    begins, goes_on = (bool((corner[side] == door).all()) for corner in (polygon, ends))
    channel = channel[1:] if begins else channel  # a corner of the polygon is its own door
    channel = channel[:-1] if goes_on else channel
    return np.concatenate([polygon[: side + 1], channel, polygon[side + 1 :]])
