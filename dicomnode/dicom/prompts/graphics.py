"""Find the extent of what is drawn on an image, by graphic type (PS3.3 C.10.5.1.2, C.18.6.1.2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.boxes import extent
from dicomnode.dicom.prompts.region import Point
from dicomnode.dicom.reading import PARSER_ERRORS
from dicomnode.domain import Box

OUTER_CORNER = 0.5  # pixels: GraphicData count from the first pixel's corner, we from its centre
_ENCLOSING = 3  # points: fewer of MULTIPOINT are single points
_ROUND = 64  # points of the outline of a circle or ellipse


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Something drawn on an image: its extent, or single points where it has none.

    `outline` is (point, 2) float64 x, y in pixel-centre coordinates, for pictures.
    """

    extent: Box | None = None
    points: tuple[Point, ...] = ()
    outline: NDArray[np.float64] = field(compare=False, repr=False)


def extent_of(graphic_type: str, points: NDArray[np.float64]) -> Shape:
    """Return what `points`, (point, 2) float64 x, y in pixel-centre coordinates, draw as `graphic_type`.

    The extent of a circle or a rotated ellipse is exact. Raises ValueError where the points do not draw that.
    """
    if graphic_type not in _SHAPES:
        raise ValueError(f"graphic type {graphic_type[:16]!r} is not known")
    least, most, shape = _SHAPES[graphic_type]
    if not least <= len(points) <= (most or len(points)):
        wanted = f"{least}" if most == least else f"{least} at least"
        raise ValueError(f"{graphic_type} of {len(points)} points: {wanted} wanted")
    if not np.isfinite(points).all():
        raise ValueError(f"{graphic_type} with coordinates that are no finite numbers")
    return shape(points)


def points_in(ds: Dataset, dimensions: int) -> NDArray[np.float64]:
    """Return GraphicData of `ds` as stated, (point, dimensions) float64; raise ValueError where they are none."""
    try:
        values = np.array(ds.get("GraphicData", ()), dtype=np.float64).reshape(-1)
    except PARSER_ERRORS as error:
        raise ValueError(f"GraphicData hold no numbers: {error}") from error
    if not len(values) or len(values) % dimensions:
        raise ValueError(f"{len(values)} numbers in GraphicData: {dimensions} a point are wanted")
    if not np.isfinite(values).all():
        raise ValueError("GraphicData hold coordinates that are no finite numbers")
    return values.reshape(-1, dimensions)


def ellipse(ends: NDArray[np.float64], count: int = _ROUND) -> NDArray[np.float64]:
    """Return `count` points of the ellipse whose two diameters end in `ends`, (4, axis) float64, as (count, axis)."""
    middle, one, other = _axes(ends)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    return np.asarray(middle + np.cos(angles) * one + np.sin(angles) * other)


def _axes(ends: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre and the two half diameters that end in `ends`, (4, axis): of one first, then of the other."""
    return ends.mean(axis=0), (ends[1] - ends[0]) / 2, (ends[3] - ends[2]) / 2


def _single(points: NDArray[np.float64]) -> Shape:
    return Shape(points=tuple((float(x), float(y)) for x, y in points), outline=points)


def _cloud(points: NDArray[np.float64]) -> Shape:
    return _single(points) if len(points) < _ENCLOSING else _outline(points)


def _outline(points: NDArray[np.float64]) -> Shape:
    return Shape(extent=extent(points), outline=points)


def _circle(points: NDArray[np.float64]) -> Shape:
    """Return the circle round the first point through the second."""
    centre, edge = points
    radius = float(np.hypot(*(edge - centre)))
    across, down = np.array([radius, 0.0]), np.array([0.0, radius])
    return _ellipse(np.array([centre - across, centre + across, centre - down, centre + down]))


def _ellipse(points: NDArray[np.float64]) -> Shape:
    """Return the ellipse: on each axis it reaches the root of the squares of both half diameters from its centre."""
    middle, one, other = _axes(points)
    reach = np.hypot(one, other)
    return Shape(extent=extent(np.array([middle - reach, middle + reach])), outline=ellipse(points))


# graphic type -> the least and the most points of it (0: any number), and what they draw
_SHAPES: Mapping[str, tuple[int, int, Callable[[NDArray[np.float64]], Shape]]] = {
    "POINT": (1, 1, _single),
    "MULTIPOINT": (1, 0, _cloud),
    "POLYLINE": (2, 0, _outline),
    "INTERPOLATED": (2, 0, _outline),
    "POLYGON": (3, 0, _outline),
    "CIRCLE": (2, 2, _circle),
    "ELLIPSE": (4, 4, _ellipse),
}
