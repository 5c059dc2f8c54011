"""Find the planes of a stack that a contour lies on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.geometry import local_gaps

_ROUNDING_MM = 1e-6  # so that exactly half a gap is accepted, whatever the last bit says


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The planes a contour lies on, its distance in mm to the only one, and whether it runs across planes.

    `alike` are those that it lies as near to.
    """

    planes: tuple[int, ...]
    distance: float
    oblique: bool
    alike: tuple[int, ...] = ()


def match_planes(points: NDArray[np.float64], stack: Stack) -> Match:
    """Return which planes of `stack` the contour `points`, (point, 3) float64 in patient mm, lies on.

    A contour parallel to the planes belongs to the nearest one, the lower of two, when that is at most half the
    local slice distance away. One that spreads further along the normal belongs to every plane it crosses.
    A contour of a plane that could not be read belongs to none, however near the next one lies.
    """
    heights = stack.heights()
    along = points @ stack.normal
    gaps = local_gaps(heights, stack.thicknesses())
    middle = float(along.mean())
    away = np.round(np.abs(heights - middle), 6)
    nearest = int(np.argmin(away))
    if along.max() - along.min() > gaps[nearest].min() / 2:
        crossed = np.flatnonzero((heights >= along.min() - _ROUNDING_MM) & (heights <= along.max() + _ROUNDING_MM))
        if len(crossed):
            return Match(planes=tuple(int(index) for index in crossed), distance=0.0, oblique=True)
    distance = abs(float(heights[nearest]) - middle)
    reach = gaps[nearest, 1 if middle > heights[nearest] else 0] / 2
    near = distance <= reach + _ROUNDING_MM and not _is_nearer_to_a_lost_plane(middle, distance, stack)
    alike = tuple(int(index) for index in np.flatnonzero(away == away[nearest])) if near else ()
    return Match(planes=(nearest,) if near else (), distance=distance, oblique=False, alike=alike)


def _is_nearer_to_a_lost_plane(height: float, distance: float, stack: Stack) -> bool:
    lost = np.array(stack.lost).reshape(-1, 3) @ stack.normal
    return bool(np.any(np.abs(lost - height) < distance - _ROUNDING_MM))
