"""Measure masks: the long and short axis on a plane, the area, and the modality's values inside."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.results.outlines import outlines_of
from dicomnode.domain import Mask, Plane, Stack

_LAST_BITS_MM = 1e-9


class Axes(NamedTuple):
    """The axes of a mask on the plane where the long one is greatest, in mm, and the index of that plane.

    `long` is the greatest distance between two points of the edge of one piece, whose pixels are joined by their
    sides; `short` the greatest distance at a right angle to it between two points of the same piece's convex hull.
    Edges go along the sides of pixels: the long axis of one pixel is its diagonal.
    """

    long: float
    short: float
    plane: int


class Intensity(NamedTuple):
    """The mean of values and their standard deviation, that of the whole population: divided by their number."""

    mean: float
    deviation: float


def axes_of(planes: Mapping[int, NDArray[np.bool_]], spacing: tuple[float, float]) -> Axes | None:
    """Return the axes of a mask, plane index -> (row, column) bool; None where nothing is inside.

    `spacing` is (between rows, between columns) in mm. Of equal axes those of the first plane count.
    """
    found: Axes | None = None
    for most, index in sorted(_bounds(planes, spacing), key=lambda bound: (-bound[0], bound[1])):
        if found and most < found.long - _LAST_BITS_MM:
            break  # no plane from here on has room for a longer one
        for outline in outlines_of(planes[index]):
            long, short = _axes_of_hull(_convex_hull(outline.edge * (spacing[1], spacing[0])))
            if not found or (long, -index) > (found.long, -found.plane):
                found = Axes(long, short, index)
    return found


def area_of(inside: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Return how large `inside`, (row, column) bool, is in mm2; `spacing` is (between rows, columns) in mm."""
    return int(np.count_nonzero(inside)) * spacing[0] * spacing[1]


def intensities(masks: Sequence[Mask], stack: Stack) -> tuple[Intensity | None, ...]:
    """Return mean and standard deviation of the modality's values in each mask, in the unit of those values.

    Padding is no measurement and left out. None where nothing is left, and of colours, which are no modality's values.
    """
    values: list[list[NDArray[np.float32]]] = [[] for _ in masks]
    for index, plane in enumerate(stack.planes):
        here = [number for number, mask in enumerate(masks) if index in mask.planes and mask.planes[index].any()]
        if plane.is_colour or not here:
            continue
        of_plane, measured = plane.values(), _measured(plane)
        for number in here:
            values[number].append(of_plane[masks[number].planes[index] & measured])
    return tuple(_intensity(np.concatenate(found)) if any(map(len, found)) else None for found in values)


def _bounds(planes: Mapping[int, NDArray[np.bool_]], spacing: tuple[float, float]) -> list[tuple[float, int]]:
    """Return the greatest distance in what is inside on each plane, whole, in mm, with the plane's index.

    No piece is longer, and of one piece it is the long axis.
    """
    found: list[tuple[float, int]] = []
    for index, inside in planes.items():
        rows = np.flatnonzero(inside.any(axis=1))
        if len(rows):
            first = inside[rows].argmax(axis=1)
            behind = inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
            corners = [np.column_stack([x, rows + down]) for x in (first, behind) for down in (0, 1)]
            hull = _convex_hull(np.concatenate(corners).astype(np.float64) * (spacing[1], spacing[0]))
            found.append((_axes_of_hull(hull)[0], index))
    return found


def _convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull of `points`, (point, 2), in turn: (corner, 2) float64.

    Two chains of corners from the first point to the last, in the order of x and y (A. M. Andrew, 1979).
    """
    ordered = sorted(set(map(tuple, points.tolist())))
    chains = (_chain(ordered), _chain(ordered[::-1]))
    return np.array([corner for chain in chains for corner in chain[:-1]])


def _chain(ordered: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    chain: list[tuple[float, ...]] = []
    for x, y in ordered:
        while len(chain) > 1:
            (x0, y0), (x1, y1) = chain[-2:]
            if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                break  # a turn to the left: the corner stays
            chain.pop()
        chain.append((x, y))
    return chain


def _axes_of_hull(hull: NDArray[np.float64]) -> tuple[float, float]:
    """Return the longest distance in the convex polygon `hull`, (corner, 2), and the longest at a right angle to it."""
    apart = hull[:, None] - hull[None]
    first, last = np.unravel_index(np.argmax((apart**2).sum(axis=2)), apart.shape[:2])
    turned = np.roll(hull, -int(first), axis=0)
    end = (int(last) - int(first)) % len(hull)
    long = float(np.linalg.norm(turned[end] - turned[0]))
    x, y = (turned[end] - turned[0]) / long
    along, across = (turned - turned[0]) @ (x, y), (turned - turned[0]) @ (-y, x)
    # Between its two farthest points the polygon has two sides; it is widest at a corner of one of them.
    one, other = slice(None, end + 1), [0, *range(len(hull) - 1, end - 1, -1)]
    widths = np.interp(along, along[one], across[one]) - np.interp(along, along[other], across[other])
    return long, float(np.abs(widths).max())


def _measured(plane: Plane) -> NDArray[np.bool_]:
    """Return where `plane` was measured, (row, column) bool: everywhere but in its padding (PS3.3 C.7.5.1.1.2)."""
    if plane.padding is None:
        return np.ones(plane.stored.shape, dtype=bool)
    low, high = plane.padding
    return np.asarray((plane.stored < low) | (plane.stored > high))


def _intensity(values: NDArray[np.float32]) -> Intensity:
    exact = values.astype(np.float64)
    return Intensity(float(exact.mean()), float(exact.std()))
