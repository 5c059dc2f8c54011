"""Find the planes of a stack that the mask in a frame of a segmentation lies on, and its extent on each."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.boxes import extent, to_pixels
from dicomnode.dicom.prompts.matching import match_planes
from dicomnode.dicom.prompts.seg_frames import Grid, SegFrame
from dicomnode.domain import Box, Plane, PlaneKey, Stack

_PARALLEL = 1e-3  # of the unit normals: one orientation stands for all planes of a stack, which drift by at most this
_ROUNDING_MM = 1e-6  # so that a voxel that ends on a plane crosses it, whatever the last bit says
_SAME_DEPTH = 0.01  # relative
_HALF = 0.5  # pixel


class Placed(NamedTuple):
    """The extents of a mask by plane index; where there are none, why; whether its plane runs across the stack's.

    `pixelwise` tells that its pixels are those of the plane, whatever places are stated.
    """

    extents: dict[int, Box]
    trouble: str = ""
    oblique: bool = False
    pixelwise: bool = False


class SourceIndex:
    """Finds the planes of a stack that a frame names as its sources; an image named whole means all of its frames."""

    def __init__(self, stack: Stack) -> None:
        self._planes: dict[PlaneKey, list[int]] = defaultdict(list)
        for index, (uid, frame) in enumerate(plane.key for plane in stack.planes):
            for key in {PlaneKey(uid, None), PlaneKey(uid, frame or 1)}:
                self._planes[key].append(index)

    def planes(self, sources: Iterable[PlaneKey]) -> list[int]:
        """Return the indices of the planes that `sources` name, each once, ascending."""
        return sorted({index for source in sources for index in self._planes.get(source, ())})


class Ground:
    """A stack to place the frames of a segmentation on.

    `frames` are all of the segmentation; `is_foreign` tells that its frame of reference is not the stack's, and only
    the images that it names prove that it belongs here.
    """

    def __init__(self, stack: Stack, frames: Iterable[SegFrame], *, is_foreign: bool) -> None:
        self._stack = stack
        self._is_foreign = is_foreign
        self._least_gap = _least_gap([frame.grid for frame in frames if frame.grid], stack)

    def place(self, mask: NDArray[np.bool_], frame: SegFrame, named: list[int]) -> Placed:
        """Return the extents of `mask`, (row, column) bool with at least one pixel inside, on the planes of the stack.

        Where both frame and stack have a place, that decides; else the only plane that is `named`, by the frame's
        sources. In another frame of reference places prove nothing, and must not contradict the images named.
        """
        if frame.grid is None or self._stack.frame_of_reference_uid is None:
            return _by_source(mask, self._stack, named)
        if not self._is_foreign:
            return self._by_place(mask, frame.grid, named)
        if len(named) == 1 and _is_grid_of(frame.grid, mask, self._stack.planes[named[0]]):
            return _by_source(mask, self._stack, named)
        placed = self._by_place(mask, frame.grid, named)
        if placed.extents and not placed.extents.keys() <= set(named):
            detail = f"in another frame of reference it lies on planes {sorted(placed.extents)} and names {named}"
            return Placed({}, detail)
        return placed

    def _by_place(self, mask: NDArray[np.bool_], grid: Grid, named: list[int]) -> Placed:
        """Return the extents on the planes whose middles lie in the frame's voxels, at least that on the nearest.

        A frame that names planes covers no others between, however thick it is said to be.
        """
        stack = self._stack
        if min(np.linalg.norm(grid.normal - stack.normal), np.linalg.norm(grid.normal + stack.normal)) > _PARALLEL:
            return _across(mask, grid, stack)
        outline = grid.to_patient(_outline(mask))
        middle = outline.mean(axis=0, keepdims=True)
        match = match_planes(middle, stack)
        inside = self._inside(float(middle[0] @ stack.normal), grid)
        planes = set(match.planes) | (inside & set(named) if named else inside)
        if not planes:
            return Placed({}, f"it lies {match.distance:.2f} mm from the nearest plane")
        return Placed({index: extent(to_pixels(outline, stack.planes[index])) for index in sorted(planes)})

    def _inside(self, middle: float, grid: Grid) -> set[int]:
        """Return the planes whose height lies in the slab of a frame's voxels round `middle`, in mm along the normal.

        Of a plane on the border of two slabs the upper one is taken. A thickness that is as that of the stack's own
        planes is theirs, which may overlap, and says nothing of the others; nor do frames overlap each other.
        """
        stack = self._stack
        nearest = int(np.argmin(np.abs(stack.heights() - middle)))
        own = stack.planes[nearest].thickness or 0.0
        if abs(grid.depth - own) <= _SAME_DEPTH * own and self._least_gap > grid.depth * (1 + _SAME_DEPTH):
            return set()
        half = min(grid.depth, self._least_gap) / 2
        away = stack.heights() - middle
        return {int(index) for index in np.flatnonzero((away >= -half - _ROUNDING_MM) & (away < half - _ROUNDING_MM))}


def _least_gap(grids: Sequence[Grid], stack: Stack) -> float:
    """Return the least distance in mm between two frames along the normal of `stack`, infinity where there is none."""
    heights = np.array([grid.position for grid in grids]).reshape(-1, 3) @ stack.normal
    gaps = np.diff(np.unique(np.round(heights, 3)))
    return float(gaps.min(initial=np.inf))


def _is_grid_of(grid: Grid, mask: NDArray[np.bool_], plane: Plane) -> bool:
    """Return whether the frame's pixels are as many, as large and turned as those of `plane`."""
    turned = max(np.abs(np.concatenate([grid.row, grid.column]) - np.array(plane.orientation)))
    alike = np.allclose(grid.spacing, plane.spacing, rtol=_PARALLEL)
    return mask.shape == plane.stored.shape[:2] and bool(turned <= _PARALLEL) and alike


def _by_source(mask: NDArray[np.bool_], stack: Stack, named: list[int]) -> Placed:
    """Return the extent on the plane that a frame without a place names: pixel for pixel, so of the same size."""
    if len(named) != 1:
        return Placed({}, f"it has no place, and its sources are {len(named)} planes of the stack")
    size = stack.planes[named[0]].stored.shape[:2]
    if mask.shape != size:
        detail = f"it has no place and {mask.shape[1]} x {mask.shape[0]} pixels, its source {size[1]} x {size[0]}"
        return Placed({}, detail)
    return Placed({named[0]: extent(_outline(mask))}, pixelwise=True)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the outer corners of the first and last pixel of each row, (point, 2) float64 x, y.

    They have the mask's extent in any direction: it has the same convex hull.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1) - _HALF
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1) - _HALF
    corners = [np.column_stack([x, rows + y]) for x in (first, last) for y in (-_HALF, _HALF)]
    return np.concatenate(corners).astype(np.float64, copy=False)


def _across(mask: NDArray[np.bool_], grid: Grid, stack: Stack) -> Placed:
    """Return the extent, on each plane of the stack, of the voxels that it crosses, by their centres and half sizes.

    It is exact where the axes of both grids are parallel, and else at most the size of a voxel too wide.
    """
    rows, columns = np.nonzero(mask)
    centres = grid.to_patient(np.column_stack([columns, rows]).astype(np.float64))
    along = centres @ stack.normal
    order = np.argsort(along)
    reach = _half_size(grid, stack.normal) + _ROUNDING_MM
    heights = stack.heights()
    starts = np.searchsorted(along[order], heights - reach)
    ends = np.searchsorted(along[order], heights + reach)
    extents = {
        int(index): _widened(extent(to_pixels(centres[order[starts[index] : ends[index]]], plane)), grid, plane)
        for index, plane in enumerate(stack.planes)
        if ends[index] > starts[index]
    }
    return Placed(extents, "" if extents else "it runs across the planes, and its voxels cross none", oblique=True)


def _half_size(grid: Grid, direction: NDArray[np.float64]) -> float:
    """Return how far a voxel of `grid` reaches from its centre along the unit vector `direction`, in mm."""
    between_rows, between_columns = grid.spacing
    sides = np.array([between_columns * grid.row, between_rows * grid.column, grid.depth * grid.normal])
    return float(np.abs(sides @ direction).sum() / 2)


def _widened(box: Box, grid: Grid, plane: Plane) -> Box:
    across = _half_size(grid, np.array(plane.orientation[:3])) / plane.spacing[1]
    down = _half_size(grid, np.array(plane.orientation[3:])) / plane.spacing[0]
    return Box(x0=box.x0 - across, y0=box.y0 - down, x1=box.x1 + across, y1=box.y1 + down)
