"""Cut what is drawn in the patient into what lies on the planes of a stack (PS3.3 C.18.9.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.boxes import to_pixels
from dicomnode.dicom.prompts.graphics import ellipse
from dicomnode.dicom.prompts.matching import match_planes
from dicomnode.domain import Stack
from dicomnode.errors import Reason, Refused

Graphic = tuple[str, NDArray[np.float64]]  # graphic type; (point, 2) float64 x, y in pixel-centre coordinates

_COUNTS = {"POINT": 1, "CIRCLE": 2, "ELLIPSE": 4, "ELLIPSOID": 6}
_ENCLOSING = 3  # points
_NOTED_DISTANCE_MM = 0.1
_FLAT_MM = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sections:
    """What lies on each plane, by its index, and notes on how it came there."""

    planes: Mapping[int, tuple[Graphic, ...]]
    notes: tuple[str, ...] = ()


def sections(graphic_type: str, points: NDArray[np.float64], stack: Stack, what: str) -> Sections:
    """Return where `points`, (point, 3) float64 in patient mm, drawn as `graphic_type`, lie on the planes of `stack`.

    Something flat lies on the nearest plane, at most half a slice distance away, or is seen on each plane it runs
    across; an ellipsoid is cut exactly by each. Raises ValueError where the points do not draw that; refuses with
    CONTOUR_OFF_STACK what lies on no plane.
    """
    wanted = _COUNTS.get(graphic_type, len(points))
    if len(points) != wanted:
        raise ValueError(f"{graphic_type} of {len(points)} points: {wanted} wanted")
    if graphic_type == "ELLIPSOID":
        return _ellipsoid(points, stack, what)
    if graphic_type == "CIRCLE":
        return _flat("ELLIPSE", _circle(points, stack), stack, what)
    if graphic_type == "MULTIPOINT" and len(points) < _ENCLOSING:
        return _together([_flat("POINT", point[None], stack, what) for point in points])
    return _flat(graphic_type, points, stack, what)


def _flat(graphic_type: str, points: NDArray[np.float64], stack: Stack, what: str) -> Sections:
    outline = ellipse(points) if graphic_type == "ELLIPSE" else points
    match = match_planes(outline, stack)
    if not match.planes:
        detail = f"it is {match.distance:.2f} mm from the nearest plane of stack {stack.key}"
        raise Refused(Reason.CONTOUR_OFF_STACK, what, detail)
    notes = []
    if match.oblique:
        notes.append(f"it runs across planes: its whole extent is the box on each of {len(match.planes)}")
    elif match.distance > _NOTED_DISTANCE_MM:
        notes.append(f"it lies {match.distance:.2f} mm off its plane")
    planes = {index: ((graphic_type, to_pixels(points, stack.planes[index])),) for index in match.planes}
    return Sections(planes=planes, notes=tuple(notes))


def _together(parts: list[Sections]) -> Sections:
    planes: dict[int, tuple[Graphic, ...]] = {}
    for part in parts:
        for index, graphics in part.planes.items():
            planes[index] = planes.get(index, ()) + graphics
    return Sections(planes=planes, notes=tuple(note for part in parts for note in part.notes))


def _circle(points: NDArray[np.float64], stack: Stack) -> NDArray[np.float64]:
    """Return the ends of two diameters, (4, 3), of the circle round the first point through the second.

    SCOORD3D knows no circle, yet viewers write it; two points name no plane, so it lies in the stack's or nowhere.
    """
    centre, edge = points
    radius = float(np.linalg.norm(edge - centre))
    normal = stack.normal
    if abs(float((edge - centre) @ normal)) > radius / 100 + _NOTED_DISTANCE_MM:
        raise ValueError("CIRCLE is not parallel to the planes, and its two points do not say how it lies")
    across = np.asarray(stack.planes[0].orientation[:3]) * radius
    down = np.cross(normal, across)
    return np.array([centre - across, centre + across, centre - down, centre + down])


def _ellipsoid(points: NDArray[np.float64], stack: Stack, what: str) -> Sections:
    """Return the ellipses in which the planes cut the ellipsoid whose three axes end in `points`.

    With its centre c and half axes A it is c + A s for all s within the unit sphere. A plane at distance d from c
    holds those with m s = d, m = A^T normal: a disc round (d / |m|^2) m of radius sqrt(1 - d^2 / |m|^2), across m.
    """
    centre, axes = points.mean(axis=0), (points[1::2] - points[::2]).T / 2
    along = stack.normal @ axes
    height = float(np.linalg.norm(along))
    if height < _FLAT_MM:
        raise ValueError("ELLIPSOID without height")
    distances = stack.heights() - float(centre @ stack.normal)
    crossed = np.flatnonzero(np.abs(distances) < height)
    notes: tuple[str, ...] = ()
    if not len(crossed):
        match = match_planes(centre[None], stack)
        if not match.planes:
            detail = f"its centre is {match.distance:.2f} mm from the nearest plane of stack {stack.key}"
            raise Refused(Reason.CONTOUR_OFF_STACK, what, detail)
        crossed, distances = np.array(match.planes), np.zeros(len(distances))
        notes = ("it lies between planes: its widest extent is the box on the nearest",)
    direction = along / height
    discs = np.linalg.svd(direction[None])[2][1:].T  # two unit vectors across it
    cuts: dict[int, tuple[Graphic, ...]] = {}
    for index in crossed:
        part = float(distances[index]) / height
        middle = axes @ (part * direction)
        reaches = np.sqrt(1 - part * part) * (axes @ discs).T
        ends = np.array([middle + sign * reach for reach in reaches for sign in (-1, 1)])
        cuts[int(index)] = (("ELLIPSE", to_pixels(centre + ends, stack.planes[index])),)
    return Sections(planes=cuts, notes=notes)
