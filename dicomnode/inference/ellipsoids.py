"""The ellipsoid inscribed in a 3-D box: its sections in three directions, and how far a voxel lies from its middle.

All of it is counted in voxels, so that voxels need not be cubes: what is a ball in the box's own units is the ellipsoid
in mm, too.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box
from dicomnode.inference.boxes import EDGE, centres, image_of, within
from dicomnode.inference.sections import Region, Section, Through

_Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ellipsoid:
    """The ellipsoid that touches the six sides of a 3-D box: its centre and semi-axes along (plane, row, column).

    In continuous coordinates of voxel centres, as those of a box.
    """

    centre: _Triple
    axes: _Triple

    @classmethod
    def inscribed(cls, box: Box, planes: range) -> "Ellipsoid":
        """Return the one in `box` on each of `planes`."""
        low, high = planes[0] + EDGE, planes[-1] - EDGE
        return cls(
            centre=((low + high) / 2, (box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2),
            axes=((high - low) / 2, (box.y1 - box.y0) / 2, (box.x1 - box.x0) / 2),
        )

    def sections(self, planes: range, shape: tuple[int, int, int], least_side: float) -> dict[Section, Box]:
        """Return the sections of all three directions of a stack of `shape` that meet it, and its box on each of them.

        `planes` are those that it is asked for on; sections through rows and columns show all planes. A box is of at
        least `least_side`; an ellipsoid that leaves the image has none on sections that only show what is outside.
        """
        found: dict[Section, Box] = {}
        for through, numbers in zip(Through, self.region(planes, shape), strict=True):
            axis = through.axis
            middle, half = self.centre[axis], self.axes[axis]
            for number in numbers:
                section = Section(through, number)
                box = self._box(axis, sqrt(max(0.0, 1 - ((number - middle) / half) ** 2)))
                image = section.shape_in(shape)
                inside = within(box, image_of(image), image, least_side)
                if inside is not None:
                    found[section] = inside
        return found

    def region(self, planes: range, shape: tuple[int, int, int]) -> Region:
        """Return the voxels of its 3-D box on `planes` of a stack of `shape`."""
        rows, columns = (
            centres(self.centre[axis] - self.axes[axis], self.centre[axis] + self.axes[axis], shape[axis])
            for axis in (Through.ROW.axis, Through.COLUMN.axis)
        )
        return Region(planes, rows, columns)

    def squares(self, region: Region) -> NDArray[np.float32]:
        """Return the squared radius of each voxel of `region`, (plane, row, column) float32: 1 at the rim."""
        z, y, x = (
            np.square((np.asarray(numbers) - middle) / half, dtype=np.float64)
            for numbers, middle, half in zip(region, self.centre, self.axes, strict=True)
        )
        flat = (y[:, None] + x).astype(np.float32)
        return z.astype(np.float32)[:, None, None] + flat

    def _box(self, axis: int, share: float) -> Box:
        """Return the box of the section across `axis` where the other semi-axes are `share` of what they are."""
        down, right = (other for other in range(3) if other != axis)
        x, y = self.centre[right], self.centre[down]
        half_x, half_y = share * self.axes[right], share * self.axes[down]
        return Box(x0=x - half_x, y0=y - half_y, x1=x + half_x, y1=y + half_y)
