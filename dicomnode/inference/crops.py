"""Cut the square that `box-unet` looks at out of an image, about each box, and lay what it answers back on the image.

A box fills the middle of its crop, whatever its size and shape: both axes are resampled on their own. What lies beyond
the image is its edge again.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.boxes import pixels_in

# Rows and columns of a crop, what it shows for each pixel, and how many times as wide as the box it is.
SIDE, CHANNELS, REACH = 64, 7, 1.5
BOX = 4  # the channel that shows the box
# The logit of pixels that the crop does not show: far beyond what the network says, so that no threshold reaches it.
OUTSIDE = -20.0
# Grey values beyond these quantiles of the crop count as the quantile.
LOW_QUANTILE, HIGH_QUANTILE = 0.01, 0.99
# The core of a box: within this share of the radii of the ellipse in it. Its values set the inner window.
CORE = 0.7
# The inner window: this many times the core's median absolute deviation to either side of its median.
DEVIATIONS, WINDOW_LIMIT = 4.0, 1.5
# The histograms of what is inside the ellipse and of what is outside the box: their levels, how many pixels of no
# difference are mixed into each, how far they are smoothed, and the most that a value can say, in nats.
LEVELS, PSEUDO_PIXELS, EVIDENCE_LIMIT = 32, 30.0, 2.5
_SMOOTHING = np.array([1.0, 2.0, 1.0]) / 4
# What resampling in float32 leaves of a constant is constant to this share of it: less is rounding, and shows nothing.
ROUNDING = 2.0**-18

Crops = NDArray[np.float32]


class _Maps(NamedTuple):
    """What depends on the place in a crop alone, (row, column) each: r² in box units, and the regions."""

    square_radius: NDArray[np.float32]
    box: NDArray[np.float32]
    core: NDArray[np.bool_]
    ellipse: NDArray[np.bool_]
    outside: NDArray[np.bool_]


class _Taps(NamedTuple):
    """Which pixels along an axis each new pixel takes, (pixel, tap) int, and with which weight, float32 of sum 1."""

    at: NDArray[np.intp]
    weights: NDArray[np.float32]


def crops_of(image: NDArray[np.float32], boxes: NDArray[np.float64]) -> Crops:
    """Return what the network sees of each of `boxes`: (box, CHANNELS, 64, 64) float32.

    `image` is (row, column) float32, all finite; `boxes` is (box, 4) float64: x0, y0, x1, y1 in continuous
    pixel-centre coordinates. The channels: the crop's values from its 1 % to its 99 % quantile; the same about the
    median of the box's core; what a value says for inside; r² of the ellipse in the box; the box; and the logarithms of
    its width and height in pixels.
    """
    crops = np.empty((len(boxes), CHANNELS, SIDE, SIDE), np.float32)
    for crop, box in zip(crops, boxes, strict=True):
        _fill(crop, image, box)
    return crops


def resampled(image: NDArray[np.float32], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what the crop about `box`, (4,) float64, shows of `image`, (row, column) float32: (64, 64) float32."""
    x0, y0, x1, y1 = box
    return _sampled(image, _to_crop(y0, y1, image.shape[0]), _to_crop(x0, x1, image.shape[1]))


def placed(logits: NDArray[np.float32], boxes: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return `logits`, (box, 64, 64) float32, on the pixels of an image of `shape`: (box, row, column) float32.

    A pixel whose centre is not in its box is OUTSIDE.
    """
    rows, columns = shape
    whole = np.full((len(boxes), rows, columns), OUTSIDE, np.float32)
    for one, target, (x0, y0, x1, y1) in zip(logits, whole, boxes, strict=True):
        across, down = pixels_in(x0, x1, columns), pixels_in(y0, y1, rows)
        if across and down:
            found = _sampled(one, _from_crop(y0, y1, down), _from_crop(x0, x1, across))
            target[down.start : down.stop, across.start : across.stop] = found
    return whole


def _fill(crop: Crops, image: NDArray[np.float32], box: NDArray[np.float64]) -> None:
    """Write the channels of one box into `crop`, (channel, row, column) float32."""
    x0, y0, x1, y1 = box
    values = resampled(image, box)
    low, high, least = *_quantiles(values), _least_difference(values)
    crop[0] = (np.clip(values, low, high) - low) * (2 / (high - low)) - 1 if high - low > least else 0
    crop[1] = _inner(values, least)
    crop[2] = _evidence(crop[0])
    crop[3] = np.minimum(_MAPS.square_radius, 2) - 1
    crop[BOX] = _MAPS.box
    crop[5], crop[6] = np.log(max(x1 - x0, 1) / 32) / 2, np.log(max(y1 - y0, 1) / 32) / 2


def _to_crop(low: float, high: float, count: int) -> _Taps:
    """Return what the 64 pixels of a crop take of the `count` pixels along an axis, whose edges go on beyond them.

    The box is from `low` to `high`.
    """
    step = REACH * max(high - low, 1.0) / SIDE
    at, weights = _triangles((low + high) / 2 + (np.arange(SIDE) - (SIDE - 1) / 2) * step, max(step, 1.0))
    return _Taps(at.clip(0, count - 1), weights)


def _from_crop(low: float, high: float, pixels: range) -> _Taps:
    """Return what `pixels` along an axis take of the 64 of a crop."""
    step = REACH * max(high - low, 1.0) / SIDE
    places = (np.arange(pixels.start, pixels.stop) - (low + high) / 2) / step + (SIDE - 1) / 2
    at, weights = _triangles(places, max(1 / step, 1.0))
    there = (at >= 0) & (at < SIDE)
    weights = np.where(there, weights, np.float32(0))
    return _Taps(at.clip(0, SIDE - 1), weights / weights.sum(axis=1, keepdims=True))


def _triangles(places: NDArray[np.floating], reach: float) -> _Taps:
    """Return the mean about each of `places` under a triangle that ends `reach` pixels to either side."""
    first = np.ceil(places - reach).astype(np.intp)
    at = first[:, None] + np.arange(int(2 * reach) + 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - at) / reach)
    return _Taps(at, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def _sampled(image: NDArray[np.float32], down: _Taps, across: _Taps) -> NDArray[np.float32]:
    """Return `image`, (row, column) float32, resampled along both axes: (taken row, taken column) float32.

    It adds in one order, whatever the machine, and wakes no threads, which those of the engine would wait beside.
    """
    left, right = int(across.at.min()), int(across.at.max()) + 1
    rows = _added(image[:, left:right], down)
    return np.ascontiguousarray(_added(np.ascontiguousarray(rows.T), _Taps(across.at - left, across.weights)).T)


def _added(image: NDArray[np.float32], taps: _Taps) -> NDArray[np.float32]:
    """Return the rows that `taps` take of `image`: (taken row, column) float32."""
    total = np.zeros((len(taps.at), image.shape[1]), np.float32)
    for at, weights in zip(taps.at.T, taps.weights.T, strict=True):
        total += weights[:, None] * image[at]
    return total


def _quantiles(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    last = values.size - 1
    low, high = round(LOW_QUANTILE * last), round(HIGH_QUANTILE * last)
    ordered = np.partition(values, (low, high), axis=None)
    return ordered[low], ordered[high]


def _least_difference(values: NDArray[np.float32]) -> np.float32:
    """Return by how much `values` differ at the least where they show anything; greater than 0."""
    return np.float32(max(ROUNDING * float(np.abs(values).max()), float(np.finfo(np.float32).tiny)))


def _inner(values: NDArray[np.float32], least: np.float32) -> NDArray[np.float32]:
    """Return `values` about the median of the box's core, in DEVIATIONS of it, `least` at the least: (row, column)."""
    core = values[_MAPS.core]
    middle = _median(core)
    deviation = _median(np.abs(core - middle))
    if not deviation > least:
        deviation = np.maximum(np.float32(core.std(dtype=np.float64)), least)
    inner: NDArray[np.float32] = np.clip((values - middle) / (DEVIATIONS * deviation), -WINDOW_LIMIT, WINDOW_LIMIT)
    return inner


def _median(values: NDArray[np.float32]) -> np.float32:
    return np.float32(np.partition(values, len(values) // 2)[len(values) // 2])


def _evidence(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much likelier each of `values`, -1..1, is inside the ellipse than outside the box: -1..1 float32."""
    levels = ((values + 1) * (0.5 * (LEVELS - 1)) + 0.5).astype(np.intp)
    within, without = (
        np.convolve(np.bincount(levels[where], minlength=LEVELS), _SMOOTHING, "same")
        for where in (_MAPS.ellipse, _MAPS.outside)
    )
    both = (within + without) / (within.sum() + without.sum()) + 1e-6
    within = (within + PSEUDO_PIXELS * both) / (within.sum() + PSEUDO_PIXELS)
    without = (without + PSEUDO_PIXELS * both) / (without.sum() + PSEUDO_PIXELS)
    ratio = np.clip(np.log(within / without) / EVIDENCE_LIMIT, -1, 1)
    said: NDArray[np.float32] = ratio.astype(np.float32)[levels]
    return said


def _maps() -> _Maps:
    along = (np.arange(SIDE) - (SIDE - 1) / 2) * (2 * REACH / SIDE)  # 1 at the sides of the box
    square = (along[:, None] ** 2 + along**2).astype(np.float32)
    box = (np.abs(along)[:, None] <= 1) & (np.abs(along) <= 1)
    return _Maps(square, box.astype(np.float32), square <= CORE**2, square <= 1, ~box)


_MAPS = _maps()
