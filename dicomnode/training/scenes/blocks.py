"""Draw a truth on a grid coarser than the image's, as label maps are made at 1.5 or 3 mm and laid on finer images."""

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.scenes.fields import Field, Inside

# How many pixels wide a block is; how many of them the shorter side of what is inside has at least; and how much of a
# block is inside where the block is: what is thin would not be in a label map else.
FINEST, COARSEST, FEWEST, LEAST, MOST = 1.5, 4.0, 2.0, 0.3, 0.5


def in_blocks(generator: np.random.Generator, share: Field) -> Inside:
    """Return which blocks are inside, (row, column) bool, by the `share` of each pixel, (row, column) 0..1."""
    inside = share > MOST
    if not inside.any():
        return inside
    shorter = min(np.ptp(np.flatnonzero(inside.any(axis=axis))) + 1 for axis in (0, 1))
    width = min(generator.uniform(FINEST, COARSEST), shorter / FEWEST)
    if width <= 1:
        return inside
    rows, columns = (_blocks(generator, side, width) for side in share.shape)
    (down, rows_in), (across, columns_in) = (
        np.unique(line, return_index=True, return_counts=True)[1:] for line in (rows, columns)
    )
    sums = np.add.reduceat(np.add.reduceat(share, down, axis=0), across, axis=1)
    blocks = sums / np.outer(rows_in, columns_in) > generator.uniform(LEAST, MOST)
    found: Inside = blocks[np.ix_(rows, columns)]
    return found


def _blocks(generator: np.random.Generator, side: int, width: float) -> NDArray[np.intp]:
    """Return in which block of `width` each of `side` pixels lies, (pixel,) from 0 on."""
    return np.asarray((np.arange(side) + generator.uniform(0, width)) // width, np.intp)
