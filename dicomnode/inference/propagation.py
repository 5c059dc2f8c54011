"""Follow an object from plane to plane: which box a mask gives its neighbour, and whether what is found there is it.

After the propagation of LiteMedSAM (bowang-lab/MedSAM, Apache-2.0), with a guard against drift that it does not have.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box
from dicomnode.inference.boxes import Shape, extent, image_of, widened, within
from dicomnode.inference.resizing import resized_bytes
from dicomnode.inference.transforms import SIDE, TO_CENTRES, framing_of

# How much wider than its neighbour's mask a box is on every side, in pixels of the network's square.
MARGIN = 3
# What has less or more than so many times the area of what it is compared with, or less than so much of the quality of
# what was found first, is another thing or none.
LEAST_SHARE, MOST_SHARE = 0.2, 5.0
QUALITY_SHARE = 0.5


class Found(NamedTuple):
    """What a model found of an object on an image: (row, column) bool, and its predicted quality, NaN for unknown.

    `probabilities` are (row, column) uint8 in 255ths, None where nobody asks for them.
    """

    inside: NDArray[np.bool_]
    quality: float
    probabilities: NDArray[np.uint8] | None = None

    @property
    def area(self) -> int:
        """Return how many pixels are inside."""
        return int(np.count_nonzero(self.inside))


class Follow(Protocol):
    """How an object is followed."""

    @property
    def fallback(self) -> Box | None:
        """Return the box that is tried where the object is lost; None where it ends there."""
        ...

    def box(self, neighbour: NDArray[np.bool_]) -> Box | None:
        """Return the box beside a plane whose mask is `neighbour`, (row, column) bool; None where it gives none."""
        ...

    def holds(self, found: Found, neighbour: Found, seed: Found) -> bool:
        """Return whether `found` is the object of the `neighbour` plane and of the `seed`, where following began."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class InBox:
    """Follow an object within its 3-D box, which says on how many planes it is at the most."""

    fallback: Box
    shape: Shape
    least_side: float

    def box(self, neighbour: NDArray[np.bool_]) -> Box | None:
        """Return the box round `neighbour` with its margin, within the 3-D box with the same margin."""
        margin, drawn = margin_of(self.shape), extent(neighbour)
        return drawn and within(widened(drawn, margin), widened(self.fallback, margin), self.shape, self.least_side)

    def holds(self, found: Found, neighbour: Found, seed: Found) -> bool:
        """Return whether `found` is about as large as the neighbour, touches it and is of no worse quality."""
        if not neighbour.area:
            return found.area > 0
        return similar(found, neighbour) and touches(found, neighbour) and not collapsed(found, seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Beyond:
    """Follow an object beyond the planes that it was drawn on: `until_lost`, or as far as anything is found."""

    shape: Shape
    least_side: float
    until_lost: bool
    fallback: None = None

    def box(self, neighbour: NDArray[np.bool_]) -> Box | None:
        """Return the box round `neighbour` with its margin, within the image."""
        drawn, image = extent(neighbour), image_of(self.shape)
        return drawn and within(widened(drawn, margin_of(self.shape)), image, self.shape, self.least_side)

    def holds(self, found: Found, neighbour: Found, seed: Found) -> bool:
        """Return whether `found` is about as large as the seed, touches the neighbour and is of no worse quality."""
        if not self.until_lost:
            return found.area > 0
        return similar(found, seed) and touches(found, neighbour) and not collapsed(found, seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class AsReference:
    """Follow an object as the reference implementation does, which never ends it before its 3-D box does."""

    fallback: Box

    def box(self, neighbour: NDArray[np.bool_]) -> Box | None:
        """Return the box that the mask gives in the network's square, None where it vanishes there.

        The mask counts as bytes of 0 and 1, as that of the first object does; the numbers of others change how thin
        a part survives.
        """
        framing = framing_of(*neighbour.shape)
        rows, columns = np.nonzero(resized_bytes(neighbour.astype(np.uint8), framing.height, framing.width))
        if not len(rows):
            return None
        first = np.maximum([columns.min(), rows.min()], MARGIN) - MARGIN
        last = np.minimum([columns.max(), rows.max()], SIDE - MARGIN) + MARGIN
        # Half a pixel of the square more, so that cutting off the fraction there gives the whole number again.
        sides = (np.concatenate([first, last]) + 0.5) / framing.scale - TO_CENTRES
        x0, y0, x1, y1 = map(float, sides)
        return Box(x0=x0, y0=y0, x1=x1, y1=y1)

    def holds(self, found: Found, neighbour: Found, seed: Found) -> bool:  # noqa: ARG002 - it has no guard
        """Return True."""
        return True


def margin_of(shape: Shape) -> float:
    """Return the margin of a box that a neighbour gives on an image of `shape`, in its pixels."""
    return MARGIN * max(shape) / SIDE


def similar(found: Found, other: Found) -> bool:
    """Return whether two areas are of one size, within the limits for what is followed."""
    return LEAST_SHARE * other.area <= found.area <= MOST_SHARE * other.area and found.area > 0


def touches(found: Found, other: Found) -> bool:
    """Return whether two masks have a pixel in common."""
    return bool((found.inside & other.inside).any())


def collapsed(found: Found, seed: Found) -> bool:
    """Return whether the predicted quality has fallen far below that of the seed, as far as they are known."""
    known = math.isfinite(found.quality) and math.isfinite(seed.quality) and seed.quality > 0
    return known and found.quality < QUALITY_SHARE * seed.quality
