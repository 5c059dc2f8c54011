"""Turn what a model says of pixels into probabilities in 255ths, as a SEG of type FRACTIONAL has them."""

import numpy as np
from numpy.typing import NDArray

MOST = 255
_LEAST_INSIDE = 128  # more than half, exactly where the mask is


def from_logits(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the probability x 255 that belongs to `logits`, of any shape, natural log-odds: 128 or more where > 0."""
    share = 1 / (1 + np.exp(-np.clip(logits, -20, 20, dtype=np.float32)))
    return _on_its_side(np.rint(share * MOST), logits > 0)


def from_votes(counts: NDArray[np.uint8], of: int, majority: int) -> NDArray[np.uint8]:
    """Return the share of `of` votes x 255 that `counts`, of any shape, have: 128 or more from `majority` on."""
    return _on_its_side(np.rint(counts * (MOST / of)), counts >= majority)


def _on_its_side(values: NDArray[np.floating], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return `values` with what rounding took over the middle put back."""
    kept = np.where(inside, np.maximum(values, _LEAST_INSIDE), np.minimum(values, _LEAST_INSIDE - 1))
    return np.asarray(kept, np.uint8)
