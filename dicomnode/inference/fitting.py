"""Let what is found in a box that was drawn about an object reach all four of its sides, as the object does.

How far a model's answer may be bent for that is little: boxes that people draw are often too large, and an object that
is made to reach their sides is too large as well. Measured with `box-unet`: decision 24.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.boxes import pixels_in
from dicomnode.inference.runtime import Decoded, Runtime

# What the middle of a box has over the rim of the ellipse in it, in logits: where the values say nothing, this decides.
PRIOR = 2.0
# How much of the ellipse is found inside without it where this begins to count, and where all of it does: of branches,
# shells and several parts the middle of a box is no likelier than the rest.
BEGINS, WHOLE = 0.3, 0.6
# By how much all of the box is lifted at the most, so that its sides are reached.
MOST_LIFT = 0.5
_INSIDE = 1e-3  # the logit of what just reaches a side


def decoded(
    runtime: Runtime,
    features: Any,  # noqa: ANN401 - the engine's own
    boxes: NDArray[np.float64],
    drawn: Sequence[bool],
) -> Decoded:
    """Return what `runtime` finds in `boxes`; those `drawn` about an object are fitted where it asks for it."""
    found = runtime.decode(features, boxes)
    if runtime.fits:
        for logits, box, about in zip(found.logits, boxes, drawn, strict=True):
            if about:
                fit(logits, box)
    return found


def fit(logits: NDArray[np.float32], box: NDArray[np.float64]) -> None:
    """Change `logits`, (row, column) float32, where they lie in `box` so that what is inside, > 0, reaches its sides.

    `box` is (4,) float64: x0, y0, x1, y1 in continuous pixel-centre coordinates of the image. Where something is
    inside, something stays so.
    """
    rows, columns = (pixels_in(box[axis], box[axis + 2], logits.shape[1 - axis]) for axis in (1, 0))
    window = logits[rows.start : rows.stop, columns.start : columns.stop]
    if not window.size:
        return
    likeliest = np.unravel_index(window.argmax(), window.shape)
    promised = window[likeliest] > 0
    across, down = _places(columns, box[0], box[2]), _places(rows, box[1], box[3])
    nearness = (1 - down[:, None] ** 2 - across**2).astype(np.float32)
    window += np.float32(PRIOR * _roundness(window, nearness)) * nearness
    reached = min(side.max() for side in (window[0], window[-1], window[:, 0], window[:, -1]))
    window += np.float32(min(max(_INSIDE - reached, 0.0), MOST_LIFT))
    if promised and not window.max() > 0:
        window[likeliest] = _INSIDE


def _roundness(logits: NDArray[np.float32], nearness: NDArray[np.float32]) -> float:
    """Return how far the object fills the ellipse, where `nearness` >= 0, by `logits`, (row, column) each: 0..1."""
    within = logits[nearness >= 0]
    if not within.size:
        return 1.0
    share = float(np.mean(0.5 + 0.5 * np.tanh(0.5 * within)))  # the logistic function, which cannot overflow
    return min(max((share - BEGINS) / (WHOLE - BEGINS), 0.0), 1.0)


def _places(pixels: range, low: float, high: float) -> NDArray[np.float64]:
    """Return where `pixels` lie between the sides of a box along an axis: -1 and 1 are the sides, (pixel,) float64."""
    half = max((high - low) / 2, 0.5)
    return np.asarray((np.arange(pixels.start, pixels.stop) - (low + high) / 2) / half, np.float64)
