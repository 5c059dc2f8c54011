"""Put together what is found of one object on sections of three directions: by votes, or by summing their logits."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box
from dicomnode.inference.boxes import centres
from dicomnode.inference.ellipsoids import Ellipsoid
from dicomnode.inference.probabilities import from_logits, from_votes
from dicomnode.inference.sections import Region, Section, Through

MAJORITY, VIEWS = 2, len(Through)  # two of three sections decide
# What a section's logits count for at the most: more would let one view that is sure outvote two others. Measured on
# three patients' CT, MR and PET tumours (docs/decisions/0022), all from 2 to 10 are within 0.001 in Dice.
MOST_LOGIT = 4.0
# The ellipsoid's logit is STEEPNESS * (1 - r2), r2 the squared radius, and counts WEIGHT times beside the views'.
# Measured there, weights from 0 to 0.7 are within 0.001, and more takes away from what the views find.
ELLIPSOID_STEEPNESS, ELLIPSOID_WEIGHT = 2.0, 0.35


class Fusion(Protocol):
    """What has been found of one object so far, on sections through the voxels of its region."""

    @property
    def region(self) -> Region:
        """Return the voxels that are decided on."""
        ...

    def add(self, section: Section, logits: NDArray[np.float32]) -> None:
        """Take in what a model finds on `section`, inside where > 0, its axes as `Through` says."""
        ...

    def further(self, shape: tuple[int, int, int], least_side: float) -> "tuple[Fusion, dict[Section, Box]] | None":
        """Return better boxes, and what takes in their answers in the place of this; None where what is found stands.

        Boxes are on sections of a stack of `shape`, and of at least `least_side`.
        """
        ...

    def inside(self) -> NDArray[np.bool_]:
        """Return which voxels of the region are inside, (plane, row, column)."""
        ...

    def probabilities(self) -> NDArray[np.uint8]:
        """Return how probable it is that they are, (plane, row, column) in 255ths."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """How many of the three sections through a voxel have it inside: (plane, row, column) uint8."""

    region: Region
    counts: NDArray[np.uint8]

    @classmethod
    def on(cls, region: Region) -> "Votes":
        """Return no votes on the voxels of `region`."""
        return cls(region, np.zeros(region.shape, np.uint8))

    def add(self, section: Section, logits: NDArray[np.float32]) -> None:
        """Count what is inside on `section`."""
        self.counts[self.region.place_of(section)] += logits[self.region.part_of(section)] > 0

    def further(self, shape: tuple[int, int, int], least_side: float) -> None:
        """Return None."""

    def inside(self) -> NDArray[np.bool_]:
        """Return the voxels that most sections have inside."""
        return self.counts >= MAJORITY

    def probabilities(self) -> NDArray[np.uint8]:
        """Return how many of the sections have a voxel inside, in 255ths."""
        return from_votes(self.counts, VIEWS, MAJORITY)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The clipped logits of the three sections through a voxel and the ellipsoid's, summed.

    `logits` is (plane, row, column) float32, of the region alone: some 50 MiB for a large organ. `again` tells that the
    sections' boxes are those of what was found before, and no longer the ellipsoid's.
    Where one view mistakes a neighbour for the object, the two others and the place in the box speak against it.
    """

    ellipsoid: Ellipsoid
    region: Region
    logits: NDArray[np.float32]
    again: bool = False

    @classmethod
    def about(cls, ellipsoid: Ellipsoid, region: Region, *, again: bool = False) -> "Sums":
        """Return what `ellipsoid` alone says of the voxels of `region`."""
        logits = ellipsoid.squares(region)
        np.subtract(1, logits, out=logits)
        logits *= np.float32(ELLIPSOID_WEIGHT * ELLIPSOID_STEEPNESS)
        return cls(ellipsoid, region, logits, again)

    def add(self, section: Section, logits: NDArray[np.float32]) -> None:
        """Add the clipped `logits` of `section`."""
        seen = logits[self.region.part_of(section)]
        self.logits[self.region.place_of(section)] += np.clip(seen, -MOST_LOGIT, MOST_LOGIT)

    def further(self, shape: tuple[int, int, int], least_side: float) -> "tuple[Sums, dict[Section, Box]] | None":
        """Return the boxes round what is inside on each section, and the sums of what they find; None from those.

        A section with nothing inside has no box, and says that nothing is inside.
        """
        boxes = {} if self.again else self.region.extents(self.inside(), shape, least_side)
        if not boxes:
            return None
        begun = Sums.about(self.ellipsoid, self.region, again=True)
        for section in self.region.sections():
            if section not in boxes:
                begun.logits[self.region.place_of(section)] -= np.float32(MOST_LOGIT)
        return begun, boxes

    def inside(self) -> NDArray[np.bool_]:
        """Return the voxels whose sum is positive."""
        return self.logits > 0

    def probabilities(self) -> NDArray[np.uint8]:
        """Return the probabilities of the mean logits of the views, in 255ths: the three are no independent tests."""
        return from_logits(self.logits / np.float32(VIEWS))


@dataclass(frozen=True, slots=True, eq=False)
class Qualities:
    """The qualities that a model predicts of what it finds on sections: sums and numbers, both (view, plane)."""

    totals: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def on(cls, planes: int) -> "Qualities":
        """Return none, of a stack of so many `planes`."""
        return cls(np.zeros((VIEWS, planes)), np.zeros((VIEWS, planes), np.int64))

    def add(self, section: Section, box: Box, quality: float) -> None:
        """Take in the `quality` of what is in `box` on `section`, which counts for its planes; NaN for none."""
        if not math.isfinite(quality):
            return
        view, planes = section.through.axis, self.totals.shape[1]
        number = section.number
        shown = range(number, number + 1) if section.through is Through.PLANE else centres(box.y0, box.y1, planes)
        self.totals[view, shown.start : shown.stop] += quality
        self.counts[view, shown.start : shown.stop] += 1

    def means(self, planes: range) -> dict[int, float]:
        """Return the mean of the views' mean qualities on each of `planes` that has any."""
        counts = self.counts[:, planes.start : planes.stop]
        views = self.totals[:, planes.start : planes.stop] / np.maximum(counts, 1)
        known = (counts > 0).sum(axis=0)
        means = views.sum(axis=0) / np.maximum(known, 1)
        return {plane: float(mean) for plane, mean, any_known in zip(planes, means, known, strict=True) if any_known}
