"""Make of an image, grey or in colours and with any values, what models of grey values take."""

import numpy as np
from numpy.typing import NDArray

# The brightness of red, green and blue (ITU-R BT.601, as in PS3.3 C.7.6.3.1.2), and the axes of a colour image.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
COLOUR_DIMENSIONS = 3


def grey_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brightness of `image`, (row, column) float32, all finite.

    `image` is (row, column) float32 in any unit, or (row, column, 3) float32 red, green and blue; NaN and infinities
    count as the least finite value.
    """
    grey = (image * LUMA).sum(axis=-1) if image.ndim == COLOUR_DIMENSIONS else image
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(grey.sum()):  # quickly told; it may be too great although all are finite
            return grey.astype(np.float32, copy=False)
    known = np.isfinite(grey)
    return np.where(known, grey, grey[known].min() if known.any() else 0).astype(np.float32)
