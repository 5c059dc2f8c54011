"""Masks as a test draws them, and closed polygons along the sides of their pixels, by plain arithmetic."""

import numpy as np
from numpy.typing import NDArray


def drawn(*rows: str) -> NDArray[np.bool_]:
    """Return the mask in which # is inside."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def signed_area(polygon: NDArray[np.float64]) -> float:
    """Return the area of `polygon`, (corner, 2) x, y with y downwards, positive where it runs clockwise."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def filled(polygon: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels whose centres have an odd number of the sides of `polygon` to their left."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if x0 == x1:
            inside ^= (min(y0, y1) < y) & (y < max(y0, y1)) & (x0 < x)
    return inside
