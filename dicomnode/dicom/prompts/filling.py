"""Fill what contours enclose on a plane."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def filled(contours: Iterable[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of an image of `shape`, (rows, columns), whose centres an odd number of `contours` enclose.

    Each is (point, 2) float64 x, y in pixel-centre coordinates, closed from its last point to its first. Of two that
    share an edge each centre on it is in one.
    """
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), np.int32)
    for contour in contours:
        (x0, y0), (x1, y1) = contour.T, np.roll(contour, -1, axis=0).T
        for row in range(max(0, int(np.ceil(y0.min()))), min(rows, int(np.floor(y0.max())) + 1)):
            cut = (y0 <= row) != (y1 <= row)
            x = x0[cut] + (row - y0[cut]) * (x1[cut] - x0[cut]) / (y1[cut] - y0[cut])
            np.add.at(crossed[row], np.clip(np.ceil(x), 0, columns).astype(np.intp), 1)
    inside: NDArray[np.bool_] = crossed[:, :columns].cumsum(axis=1) % 2 == 1
    return inside
