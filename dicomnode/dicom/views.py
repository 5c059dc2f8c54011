"""Draw a stack: three orthogonal views in true proportions, or its frames side by side where it has no place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomnode.dicom.shades import rgb, window_of
from dicomnode.domain import Plane, Stack
from dicomnode.geometry import local_gaps

_PLANE_PIXELS = 384  # of a picture for the longer side of a plane
_WAY_PIXELS = 768  # and at most for the way from the first plane to the last
_TILE_PIXELS = 240
_MOST_TILES = 12
_OBLIQUE = 0.05  # a direction's component below this, 3 degrees, has no letter
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))  # of +x, -x, +y, -y, +z, -z (PS3.3 C.7.6.1.1.1)
_USUAL_DOWN = (1, 1, -1)  # H is shown at the top, else A

Direction = NDArray[np.float64]
Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Letters:
    """Which way the patient lies in a view: one to three letters a side, the principal direction first."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """One cut through a stack: (row, column, 3) uint8, as many pixels a millimetre in every direction.

    `letters` is None where the stack has no place.
    """

    caption: str
    picture: Picture
    letters: Letters | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Cut:
    """What a cut across the planes meets: of each plane a line, (pixel[, 3]), None where it passes beside the plane.

    `axis` is 0 where the lines are rows, 1 where they are columns; `start` is how far along them each plane begins,
    (plane,) in mm from the one in the middle: planes may step aside.
    """

    caption: str
    axis: int
    start: NDArray[np.float64]
    lines: list[NDArray[Any] | None]


def views_of(stack: Stack) -> tuple[View, ...]:
    """Return the plane in the middle and, of several planes, the cuts through its middle row and column.

    The plane lies as it is stored; the cuts are turned as is usual: H at the top, else A, and R at the left, else A.
    Each plane stands in a cut as the slab it is, at its own height; where a slice is missing there is nothing.
    A stack without place gives up to 12 of its frames.
    """
    if stack.frame_of_reference_uid is None:
        return tuple(_tiles(stack))
    middle = stack.planes[len(stack.planes) // 2]
    cuts = _cuts(stack, middle) if len(stack.planes) > 1 else ()
    values = middle.shown()
    window = window_of([values, *(line for cut in cuts for line in cut.lines if line is not None)])
    scale = _scale(stack)
    row, column = _directions(middle)
    own = View(
        caption=f"plane {len(stack.planes) // 2}",
        picture=_resized(rgb(values, window), _size(middle, scale)),
        letters=_letters(row, column),
    )
    return (own, *(_cut_view(cut, stack, window, scale) for cut in cuts))


def letters_of(direction: Direction) -> str:
    """Return the patient's side that the unit vector `direction` points to, such as L or, oblique, LPH."""
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(_LETTERS[axis][int(direction[axis] < 0)] for axis in order if abs(direction[axis]) > _OBLIQUE)


def _tiles(stack: Stack) -> Iterable[View]:
    chosen = np.unique(np.linspace(0, len(stack.planes) - 1, _MOST_TILES).astype(int))
    pixels = _PLANE_PIXELS if len(chosen) == 1 else _TILE_PIXELS
    values = [stack.planes[index].shown() for index in chosen]
    window = window_of(values)
    for index, one in zip(chosen, values, strict=True):
        plane = stack.planes[index]
        caption = "image" if plane.key.frame is None else f"frame {plane.key.frame}"
        picture = _resized(rgb(one, window), _size(plane, pixels / max(_extent(plane))))
        yield View(caption=caption, picture=picture, letters=None)


def _cuts(stack: Stack, middle: Plane) -> tuple[_Cut, _Cut]:
    """Return the cuts through the middle row and the middle column of `middle`, square to the planes."""
    rows, columns = middle.stored.shape[:2]
    away = np.array([plane.position for plane in stack.planes]) - middle.position
    across, down = (away @ direction for direction in _directions(middle))
    on_row: list[NDArray[Any] | None] = []
    on_column: list[NDArray[Any] | None] = []
    for index, plane in enumerate(stack.planes):  # one at a time: values take twice the memory of stored pixels
        values = plane.shown()
        on_row.append(_line(values, rows // 2 - round(down[index] / middle.spacing[0])))
        on_column.append(_line(values.swapaxes(0, 1), columns // 2 - round(across[index] / middle.spacing[1])))
    return (
        _Cut(caption=f"row {rows // 2}", axis=0, start=across, lines=on_row),
        _Cut(caption=f"column {columns // 2}", axis=1, start=down, lines=on_column),
    )


def _line(values: NDArray[Any], index: int) -> NDArray[Any] | None:
    return values[index].copy() if 0 <= index < len(values) else None


def _cut_view(cut: _Cut, stack: Stack, window: tuple[float, float], scale: float) -> View:
    plane = stack.planes[0]
    pixels = plane.stored.shape[1 - cut.axis]
    black = np.zeros((pixels, 3), dtype=np.uint8)
    lines = np.array([black if line is None else rgb(line, window) for line in cut.lines])
    width = _size(plane, scale)[cut.axis]
    starts = np.rint((cut.start - cut.start.min()) * scale).astype(int)
    placed = np.zeros((len(lines), width + int(starts.max()), 3), dtype=np.uint8)
    for row, line, start in zip(placed, _resized(lines, (width, len(lines))), starts, strict=True):
        row[start : start + width] = line
    heights, slabs = stack.heights(), local_gaps(stack.heights(), stack.thicknesses()) / 2
    bottoms, tops = heights - slabs[:, 0], heights + slabs[:, 1]
    levels = bottoms[0] + (np.arange(max(1, round((tops[-1] - bottoms[0]) * scale))) + 0.5) / scale
    nearest = np.clip(np.searchsorted(tops, levels, side="right"), 0, len(tops) - 1)
    picture = placed[nearest]
    picture[levels < bottoms[nearest]] = 0  # between slabs: a slice is missing
    return _upright(cut.caption, picture, stack.normal, _directions(plane)[cut.axis])


def _upright(caption: str, picture: Picture, down: Direction, right: Direction) -> View:
    """Turn `picture`, whose rows follow each other along `down` and columns along `right`, as is usual."""
    if _rank(right) > _rank(down):
        picture, down, right = picture.swapaxes(0, 1), right, down
    vertical = int(np.argmax(np.abs(down)))
    if down[vertical] * _USUAL_DOWN[vertical] < 0:
        picture, down = picture[::-1], -down
    horizontal = max({0, 1, 2} - {vertical}, key=lambda axis: abs(right[axis]))
    if right[horizontal] < 0:
        picture, right = picture[:, ::-1], -right
    return View(caption=caption, picture=picture, letters=_letters(right, down))


def _rank(direction: Direction) -> tuple[int, float]:
    """Return how much `direction` belongs upright: nearest to the long axis first, then to front and back."""
    axis = int(np.argmax(np.abs(direction)))
    return axis, float(abs(direction[axis]))


def _letters(right: Direction, down: Direction) -> Letters:
    return Letters(left=letters_of(-right), right=letters_of(right), top=letters_of(-down), bottom=letters_of(down))


def _directions(plane: Plane) -> tuple[Direction, Direction]:
    """Return the unit vectors along a row and along a column of `plane`."""
    return np.array(plane.orientation[:3]), np.array(plane.orientation[3:])


def _extent(plane: Plane) -> tuple[float, float]:
    """Return how wide and how high `plane` is, in mm."""
    rows, columns = plane.stored.shape[:2]
    return columns * plane.spacing[1], rows * plane.spacing[0]


def _size(plane: Plane, scale: float) -> tuple[int, int]:
    """Return (width, height) of `plane` at `scale` pixels a millimetre."""
    width, height = _extent(plane)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scale(stack: Stack) -> float:
    """Return the pixels a millimetre that all views of `stack` share."""
    positions = np.array([plane.position for plane in stack.planes])
    way = float(np.linalg.norm(positions - positions[0], axis=1).max())
    return min(_PLANE_PIXELS / max(_extent(stack.planes[0])), _WAY_PIXELS / max(way, 1e-3))


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
