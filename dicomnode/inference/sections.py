"""The images that a model looks at: planes of a stack, and sections through the rows and columns of all of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Stack
from dicomnode.geometry import spacing_of
from dicomnode.inference.boxes import EDGE, centres, extent, image_of, within
from dicomnode.inference.runtime import Look


class Through(StrEnum):
    """What an image shows of a stack."""

    PLANE = "plane"  # (row, column)
    ROW = "row"  # one row of every plane: (plane, column), coronal in axial planes
    COLUMN = "column"  # one column of every plane: (plane, row), sagittal in axial planes

    @property
    def axis(self) -> int:
        """Return which axis of (plane, row, column) it is one number on."""
        return list(Through).index(self)


class Section(NamedTuple):
    """One image that a model looks at: the plane, row or column of this number."""

    through: Through
    number: int

    def shape_in(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Return the rows and columns of the image in a stack of `shape` (planes, rows, columns)."""
        planes, rows, columns = shape
        match self.through:
            case Through.PLANE:
                return rows, columns
            case Through.ROW:
                return planes, columns
            case Through.COLUMN:
                return planes, rows


class Region(NamedTuple):
    """Some voxels of a stack, those of these planes, rows and columns."""

    planes: range
    rows: range
    columns: range

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return how many planes, rows and columns it has."""
        return len(self.planes), len(self.rows), len(self.columns)

    def place_of(self, section: Section) -> tuple[int | slice, ...]:
        """Return which voxels `section` shows, as an index of an array of the region, (plane, row, column)."""
        axis = section.through.axis
        return (*([slice(None)] * axis), section.number - self[axis].start)

    def part_of(self, section: Section) -> tuple[slice, slice]:
        """Return where the image of `section` shows them."""
        down, right = (slice(one.start, one.stop) for axis, one in enumerate(self) if axis != section.through.axis)
        return down, right

    def sections(self) -> Iterator[Section]:
        """Return the sections of all three directions through it."""
        return (Section(through, number) for through, numbers in zip(Through, self, strict=True) for number in numbers)

    def extents(self, inside: NDArray[np.bool_], shape: tuple[int, int, int], least_side: float) -> dict[Section, Box]:
        """Return the box of what is `inside` on each section of a stack of `shape` that shows something of it.

        `inside` is (plane, row, column), of the region; boxes are of at least `least_side`.
        """
        found: dict[Section, Box] = {}
        for section in self.sections():
            image = section.shape_in(shape)
            shown = np.zeros(image, bool)
            shown[self.part_of(section)] = inside[self.place_of(section)]
            drawn = extent(shown)
            box = drawn and within(drawn, drawn, image, least_side)
            if box:
                found[section] = box
        return found


def crossing(box: Box, planes: range, shape: tuple[int, int, int], least_side: float) -> dict[Section, Box]:
    """Return the sections through the rows and columns of a 3-D box, and its box on each of them.

    The 3-D box is `box` on each of `planes` of a stack of `shape` (planes, rows, columns).
    """
    count, rows, columns = shape
    low, high = planes[0] + EDGE, planes[-1] - EDGE
    found: dict[Section, Box] = {}
    for through, (start, end), side in (
        (Through.ROW, (box.x0, box.x1), columns),
        (Through.COLUMN, (box.y0, box.y1), rows),
    ):
        flat = Box(x0=start, y0=low, x1=end, y1=high)
        inside = within(flat, image_of((count, side)), (count, side), least_side) or flat
        numbers = centres(box.y0, box.y1, rows) if through is Through.ROW else centres(box.x0, box.x1, columns)
        found.update({Section(through, number): inside for number in numbers})
    return found


class Images:
    """The images of `sections` of a stack as a model sees it; one thread asks at a time, best in order.

    Sections through rows, or through columns, are held in memory together while they are asked for.
    """

    def __init__(self, stack: Stack, look: Look, sections: Iterable[Section]) -> None:
        wanted: dict[Through, set[int]] = defaultdict(set)
        for section in sections:
            wanted[section.through].add(section.number)
        self._stack, self._look = stack, look
        self._distances = spacing_of(stack)
        self._wanted = {through: sorted(indices) for through, indices in wanted.items()}
        self._held: tuple[Through, NDArray[np.float32]] | None = None

    def image(self, section: Section) -> NDArray[np.float32]:
        """Return what `encode` takes of `section`: float32, its axes as `Through` says and a last one for colours."""
        if section.through is Through.PLANE:
            return self._look.image(self._stack.planes[section.number])
        if self._held is None or self._held[0] is not section.through:
            self._held = None  # the others are let go first
            self._held = (section.through, self._through_all(section.through))
        image: NDArray[np.float32] = self._held[1][self._wanted[section.through].index(section.number)]
        return image

    def spacing(self, section: Section) -> tuple[float, float]:
        """Return the distances between rows and between columns of the image of `section`, in mm."""
        if section.through is Through.PLANE:
            return self._stack.planes[section.number].spacing
        between_planes, between_rows, between_columns = self._distances
        across = between_columns if section.through is Through.ROW else between_rows
        return between_planes or across, across

    def _through_all(self, through: Through) -> NDArray[np.float32]:
        """Return the wanted sections through all planes, (section, plane, row or column) and perhaps colours."""
        indices, axis = self._wanted[through], 0 if through is Through.ROW else 1
        layers = (np.moveaxis(self._look.image(one).take(indices, axis), axis, 0) for one in self._stack.planes)
        first = next(layers)
        held = np.empty((len(indices), len(self._stack.planes), *first.shape[1:]), np.float32)
        held[:, 0] = first
        for number, layer in enumerate(layers, start=1):
            held[:, number] = layer
        return held
