"""Carry the mask in a frame of a segmentation onto the pixels of a plane."""

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.seg_frames import Grid
from dicomnode.domain import Plane


def on_plane(mask: NDArray[np.bool_], grid: Grid | None, plane: Plane) -> NDArray[np.bool_]:
    """Return `mask`, (row, column) bool on `grid`, on the pixels of `plane`: each has what the nearest one there has.

    Both lie in parallel planes. Without a grid its pixels are those of the plane.
    """
    if grid is None:
        return mask
    rows, columns = plane.stored.shape[:2]
    across = np.asarray(plane.orientation[:3]) * plane.spacing[1]
    down = np.asarray(plane.orientation[3:]) * plane.spacing[0]
    places = []
    for direction, spacing in ((grid.column, grid.spacing[0]), (grid.row, grid.spacing[1])):
        first = (np.asarray(plane.position) - grid.position) @ direction
        along = first + (down @ direction) * np.arange(rows)[:, None] + (across @ direction) * np.arange(columns)
        places.append(np.rint(along / spacing).astype(np.intp))
    inside = np.ones((rows, columns), np.bool_)
    for place, size in zip(places, mask.shape, strict=True):
        inside &= (place >= 0) & (place < size)
    found = np.zeros((rows, columns), np.bool_)
    found[inside] = mask[places[0][inside], places[1][inside]]
    return found
