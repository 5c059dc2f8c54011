"""Draw boxes as people and contours give them: round the truth exactly, a little beside it, or too large."""

import numpy as np
from numpy.typing import NDArray

# How many boxes are exact and how many are a little beside the truth; the rest are too large. Of half the boxes too
# large, a network learns to fill too little.
EXACT, BESIDE = 0.66, 0.18
# How far a side is beside the truth, of the box's extent (standard deviation), and how much too large a box is at most.
DEVIATION, LOOSEST = 0.025, 0.35
_LEAST_SIDE = 1.0


def extent_of(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the box round what is `inside`, (row, column) bool, by outer pixel edges: x0, y0, x1, y1, (4,) float64."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return np.array([columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5])


def drawn_box(generator: np.random.Generator, extent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a box about `extent`, x0, y0, x1, y1 (4,) float64, as somebody may draw it."""
    kind = generator.random()
    sides = np.tile(extent[2:] - extent[:2], 2)
    if kind < EXACT:
        return extent
    if kind < EXACT + BESIDE:
        moved = extent + generator.normal(0, DEVIATION, 4) * sides
        middle, half = (moved[2:] + moved[:2]) / 2, np.maximum((moved[2:] - moved[:2]) / 2, _LEAST_SIDE / 2)
        return np.concatenate([middle - half, middle + half])
    larger = generator.uniform(0, LOOSEST / 2, 4) * sides
    return np.asarray(extent + larger * (-1, -1, 1, 1))
