"""Count the values of a stack as they are shown, plane by plane, with no copy of it in floating point.

Quantiles are exact, whatever the slopes and intercepts of the planes. A value is found by its bits, which as a whole
number ascend with it once those of negative values are turned round: a first pass over the planes counts the upper half
of the bits, a second one the lower half of those that a quantile has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Plane, Stack

HALF_BITS = 16
HALVES = 1 << HALF_BITS
SIGN = 1 << 31
# Stored values that spread over no more than so many are counted each in its place; others are sorted.
MOST_PLACES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tally:
    """How many voxels of a stack are negative, zero and there at all, padding left out.

    `upper` is how many have each upper half of bits: (65536,) int64.
    """

    negative: int
    zero: int
    total: int
    upper: NDArray[np.int64]


def extent_of(stack: Stack) -> tuple[float, float]:
    """Return the least and the greatest value that is shown, padding left out; 0 and 0 where there is nothing else."""
    ends = np.concatenate([_shown(plane, _ends(plane)) for plane in stack.planes])
    return (float(ends.min()), float(ends.max())) if ends.size else (0.0, 0.0)


def tally_of(stack: Stack) -> Tally:
    """Return how many voxels of `stack` have which values."""
    upper = np.zeros(HALVES, np.int64)
    negative = zero = 0
    for plane in stack.planes:
        values, counts = _counted(plane)
        np.add.at(upper, _ordinal(values) >> HALF_BITS, counts)
        negative += int(counts[values < 0].sum())
        zero += int(counts[values == 0].sum())
    return Tally(negative=negative, zero=zero, total=int(upper.sum()), upper=upper)


def quantiles_of(stack: Stack, tally: Tally, shares: Sequence[float], skipped: int) -> tuple[float, ...]:
    """Return the values at `shares`, 0..1, of the voxels in ascending order, without the `skipped` least of them.

    They are those of NumPy: linear between the values of two voxels. `tally` is that of `stack`.
    """
    places = np.array(shares) * (tally.total - skipped - 1)
    below = np.floor(places)
    ranks = skipped + np.stack([below, np.ceil(places)]).astype(np.int64)
    neighbours = _values_at(stack, tally, ranks.ravel()).reshape(ranks.shape)
    return tuple(float(np.quantile(pair, share)) for pair, share in zip(neighbours.T, places - below, strict=True))


def _values_at(stack: Stack, tally: Tally, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of the voxels with these `ranks` in ascending order, from 0: (rank,) float64."""
    ends = tally.upper.cumsum()
    upper = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(HALVES, np.int64) for half in upper}
    for plane in stack.planes:
        values, counts = _counted(plane)
        ordinals = _ordinal(values)
        for half, tallied in lower.items():
            there = ordinals >> HALF_BITS == half
            np.add.at(tallied, ordinals[there] & (HALVES - 1), counts[there])
    left = ranks - (ends - tally.upper)[upper]
    found = [
        (half << HALF_BITS) + int(np.searchsorted(lower[half].cumsum(), rank, side="right"))
        for half, rank in zip(upper.tolist(), left, strict=True)
    ]
    return _value(np.array(found, np.uint32)).astype(np.float64)


def _counted(plane: Plane) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the values that `plane` shows and how many voxels have each, padding left out: (value,) float32, int64."""
    stored = plane.stored
    levels: NDArray[np.integer[Any]]
    least, most = int(stored.min()), int(stored.max())
    if most - least < MOST_PLACES:
        counts = np.bincount(np.subtract(stored, least, dtype=np.int64).ravel())
        levels = np.flatnonzero(counts)
        counts, levels = counts[levels], levels + least
    else:
        levels, counts = np.unique(stored, return_counts=True)
    if plane.padding is not None:
        measured = (levels < plane.padding[0]) | (levels > plane.padding[1])
        levels, counts = levels[measured], counts[measured]
    return _shown(plane, levels), counts


def _ends(plane: Plane) -> NDArray[np.int64]:
    """Return the least and the greatest stored value that is no padding: (2,) int64, or (0,) where all is."""
    stored = plane.stored
    if plane.padding is not None:
        stored = stored[(stored < plane.padding[0]) | (stored > plane.padding[1])]
    return np.array([stored.min(), stored.max()] if stored.size else [], np.int64)


def _shown(plane: Plane, levels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return the values that `plane` shows for stored `levels`, (level,), bit for bit: (level,) float32."""
    return replace(plane, stored=levels.astype(plane.stored.dtype)).shown()


def _ordinal(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers in the order of `values`: uint32."""
    bits = values.view(np.uint32)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _value(ordinals: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return the values that have these `ordinals`: float32."""
    return np.where(ordinals & SIGN, ordinals & ~np.uint32(SIGN), ~ordinals).view(np.float32)
