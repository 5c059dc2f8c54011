"""Trace the edges of masks: the sides of pixels that part what is inside from what is not."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # the ways a side may go: right, down, left, up
_RIGHT, _DOWN, _LEFT, _UP = range(4)


class Outline(NamedTuple):
    """The edge of one piece of a mask, whose pixels are joined by their sides, and those of the holes in it.

    Each is a closed polygon, (corner, 2) float64 x, y in pixel-centre coordinates, its first corner not repeated. It
    goes along the sides of pixels, so that it encloses just their area: an edge clockwise, as seen with y downwards, a
    hole the other way.
    """

    edge: NDArray[np.float64]
    holes: tuple[NDArray[np.float64], ...]


class _Side(NamedTuple):
    """One side of a pixel: from corner (x, y), of which (0, 0) is the first pixel's, one pixel on."""

    y: int
    x: int
    way: int


def outlines_of(inside: NDArray[np.bool_]) -> tuple[Outline, ...]:
    """Return the outline of each piece of `inside`, (row, column) bool, in the order of their first pixels."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return ()
    corner = np.array([columns[0], rows[0]])
    part = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    loops = [*_loops(_sides(part))]
    polygons = [_polygon(loop) + corner for loop in loops]
    return tuple(
        Outline(edge=polygons[first], holes=tuple(polygons[hole] for hole in holes))
        for first, *holes in _pieces(part, loops)
    )


def _sides(inside: NDArray[np.bool_]) -> list[_Side]:
    """Return the sides between inside and outside, each with what is inside on its right hand, in reading order."""
    padded = np.pad(inside, 1)
    here = padded[1:-1, 1:-1]
    found: list[_Side] = []
    for way, beside, (down, across) in (
        (_RIGHT, padded[:-2, 1:-1], (0, 0)),
        (_DOWN, padded[1:-1, 2:], (0, 1)),
        (_LEFT, padded[2:, 1:-1], (1, 1)),
        (_UP, padded[1:-1, :-2], (1, 0)),
    ):
        rows, columns = np.nonzero(here & ~beside)
        found.extend(_Side(y, x, way) for y, x in zip((rows + down).tolist(), (columns + across).tolist(), strict=True))
    return sorted(found)


def _loops(sides: Sequence[_Side]) -> Iterator[list[_Side]]:
    """Yield the closed ways that `sides` make, each from its first side in reading order."""
    known = frozenset(sides)
    left = dict.fromkeys(sides)
    while left:
        loop = [next(iter(left))]
        while (side := _after(loop[-1], known)) != loop[0]:
            loop.append(side)
        for side in loop:
            del left[side]
        yield loop


def _after(side: _Side, known: frozenset[_Side]) -> _Side:
    """Return the side that goes on where `side` ends: where two do, the right one, so that no corner joins pixels."""
    across, down = _STEPS[side.way]
    turns = (_Side(side.y + down, side.x + across, (side.way + turn) % 4) for turn in (1, 0, 3))
    return next(turn for turn in turns if turn in known)


def _pieces(inside: NDArray[np.bool_], loops: Sequence[Sequence[_Side]]) -> list[list[int]]:
    """Return which of `loops` bound the same piece: its edge, which comes first, and its holes.

    A row's run of pixels has its two ends on loops of one piece, and the leftmost end of a hole's own side is the right
    one of a run that begins on another.
    """
    loop_of = {side: number for number, loop in enumerate(loops) for side in loop}
    parent = list(range(len(loops)))

    def root(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    ends = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    firsts, lasts = np.argwhere(ends > 0).tolist(), np.argwhere(ends < 0).tolist()
    for (row, first), (_, last) in zip(firsts, lasts, strict=True):
        one, other = root(loop_of[_Side(row + 1, first, _UP)]), root(loop_of[_Side(row, last, _DOWN)])
        parent[max(one, other)] = min(one, other)
    pieces: dict[int, list[int]] = {}
    for number in range(len(loops)):
        pieces.setdefault(root(number), []).append(number)
    return list(pieces.values())


def _polygon(loop: Sequence[_Side]) -> NDArray[np.float64]:
    """Return the corners where `loop` turns, (corner, 2) float64 x, y in pixel-centre coordinates."""
    before = (loop[-1], *loop[:-1])
    corners = [(side.x, side.y) for side, last in zip(loop, before, strict=True) if side.way != last.way]
    return np.array(corners, dtype=np.float64) - 0.5
