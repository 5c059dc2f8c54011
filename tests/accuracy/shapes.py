"""Boxes round the truth, the shapes that fill them, and the overlap of masks: all that needs no model."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Extent = NDArray[np.float64]

EDGE = 0.5  # from a pixel's centre to its edge


class Variant(StrEnum):
    """How a box lies about the truth."""

    EXACT = "exact"
    LOOSE_10 = "10 % too large"
    LOOSE_20 = "20 % too large"
    SHIFTED = "shifted by 5 %"


GROWTH = {Variant.EXACT: 1.0, Variant.LOOSE_10: 1.1, Variant.LOOSE_20: 1.2, Variant.SHIFTED: 1.0}
SHIFT = 0.05  # of each side


class Counts(NamedTuple):
    """How many voxels two masks have in common, and each of them."""

    both: int = 0
    found: int = 0
    true: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the counts of both together."""
        return Counts(self.both + other.both, self.found + other.found, self.true + other.true)

    @property
    def overlap(self) -> float:
        """Return the intersection over the union, which models predict; 1 where both masks are empty."""
        union = self.found + self.true - self.both
        return self.both / union if union else 1.0

    @property
    def dice(self) -> float:
        """Return the Dice overlap; 1 where both masks are empty."""
        return 2 * self.both / (self.found + self.true) if self.found + self.true else 1.0


def compare(found: Mask, true: Mask) -> Counts:
    """Return the counts of two masks of one shape."""
    return Counts(*(int(np.count_nonzero(one)) for one in (found & true, found, true)))


def extent_of(inside: Mask) -> Extent:
    """Return where the voxels `inside` begin and end along each axis of the mask: (2, axis) float64, at their edges.

    A voxel k spans k - 1/2 to k + 1/2.
    """
    places = np.argwhere(inside)
    return np.stack([places.min(axis=0) - EDGE, places.max(axis=0) + EDGE])


def varied(extent: Extent, variant: Variant, shape: tuple[int, ...], number: int = 0) -> Extent:
    """Return `extent` larger about its centre or moved, clipped to an image of `shape`.

    It is moved along each axis by SHIFT of its length: towards which corner, `number` says, bit by bit.
    """
    centre, half = extent.mean(axis=0), np.diff(extent, axis=0)[0] / 2
    if variant is Variant.SHIFTED:
        towards = np.array([1 if number >> axis & 1 else -1 for axis in range(len(shape))])
        centre = centre + 2 * half * SHIFT * towards
    half = half * GROWTH[variant]
    moved: Extent = np.clip(np.stack([centre - half, centre + half]), -EDGE, np.array(shape) - EDGE)
    return moved


def filled(extent: Extent, shape: tuple[int, ...]) -> Mask:
    """Return the ellipse or ellipsoid inscribed in `extent`: what has its centre inside, in an image of `shape`."""
    mask = np.zeros(shape, np.bool_)
    low, high = np.ceil(extent[0]).astype(int), np.floor(extent[1]).astype(int) + 1
    window = tuple(slice(max(0, start), stop) for start, stop in zip(low, high, strict=True))
    centre, half = extent.mean(axis=0), np.diff(extent, axis=0)[0] / 2
    places = np.ogrid[window]
    squares = [((place - c) / h) ** 2 for place, c, h in zip(places, centre, half, strict=True)]
    mask[window] = sum(squares) <= 1
    return mask
