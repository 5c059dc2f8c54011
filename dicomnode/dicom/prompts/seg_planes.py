"""Find the planes of a stack that the mask in a frame of a segmentation lies on, and its extent on each."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.boxes import extent, to_pixels
from dicomnode.dicom.prompts.matching import match_planes
from dicomnode.dicom.prompts.seg_frames import Grid, SegFrame
from dicomnode.domain import Box, Plane, PlaneKey, Stack

_PARALLEL = 1e-3  # of the unit normals: one orientation stands for all planes of a stack, which drift by at most this
_ROUNDING_MM = 1e-6  # so that a voxel that ends on a plane crosses it, whatever the last bit says
_HALF = 0.5  # pixel


class Placed(NamedTuple):
    """The extents of a mask by plane index; where there are none, why; whether its plane runs across the stack's."""

    extents: dict[int, Box]
    trouble: str = ""
    oblique: bool = False


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


def place(mask: NDArray[np.bool_], frame: SegFrame, stack: Stack, named: list[int]) -> Placed:
    """Return the extents of `mask`, (row, column) bool with at least one pixel inside, on the planes of `stack`.

    Where both frame and stack have a place, that decides; else the only plane that `named`, by the frame's sources.
    """
    if frame.grid is None or stack.frame_of_reference_uid is None:
        return _by_source(mask, stack, named)
    normal = frame.grid.normal
    if min(np.linalg.norm(normal - stack.normal), np.linalg.norm(normal + stack.normal)) > _PARALLEL:
        return _across(mask, frame.grid, stack)
    outline = frame.grid.to_patient(_outline(mask))
    match = match_planes(outline.mean(axis=0, keepdims=True), stack)
    if not match.planes:
        return Placed({}, f"it lies {match.distance:.2f} mm from the nearest plane")
    return Placed({index: extent(to_pixels(outline, stack.planes[index])) for index in match.planes})


def _by_source(mask: NDArray[np.bool_], stack: Stack, named: list[int]) -> Placed:
    """Return the extent on the plane that a frame without a place names: pixel for pixel, so of the same size."""
    if len(named) != 1:
        return Placed({}, f"it has no place, and its sources are {len(named)} planes of the stack")
    size = stack.planes[named[0]].stored.shape[:2]
    if mask.shape != size:
        detail = f"it has no place and {mask.shape[1]} x {mask.shape[0]} pixels, its source {size[1]} x {size[0]}"
        return Placed({}, detail)
    return Placed({named[0]: extent(_outline(mask))})


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
