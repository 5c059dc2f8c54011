"""Trace the edges of masks: the sides of pixels that part what is inside from what is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RIGHT, _DOWN, _LEFT, _UP = range(4)  # the ways a line may go
_WAYS = 4

_Numbers = NDArray[np.int64]


class Outline(NamedTuple):
    """The edge of one piece of a mask, whose pixels are joined by their sides, and those of the holes in it.

    Each is a closed polygon, (corner, 2) float64 x, y in pixel-centre coordinates, its first corner not repeated. It
    goes along the sides of pixels, so that it encloses just their area: an edge clockwise, as seen with y downwards, a
    hole the other way.
    """

    edge: NDArray[np.float64]
    holes: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Lines:
    """Straight lines of pixels' sides, from one turn to the next, with what is inside on their right hand.

    They begin at corners `y`, `x`, of which (0, 0) is the first pixel's, go the `way`, and the line `after` each goes
    on where it ends. All are (line,) int64, in the reading order of where they begin.
    """

    y: _Numbers = field(repr=False)
    x: _Numbers = field(repr=False)
    way: _Numbers = field(repr=False)
    after: _Numbers = field(repr=False)


def outlines_of(inside: NDArray[np.bool_]) -> tuple[Outline, ...]:
    """Return the outline of each piece of `inside`, (row, column) bool, in the order of their first pixels."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return ()
    part = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lines = _lines(part)
    loops = _loops(lines.after.tolist())
    corners = np.column_stack([lines.x + columns[0], lines.y + rows[0]]) - 0.5
    polygons = [corners[loop] for loop in loops]
    return tuple(
        Outline(edge=polygons[first], holes=tuple(polygons[hole] for hole in holes))
        for first, *holes in _pieces(part, lines, loops)
    )


def _lines(inside: NDArray[np.bool_]) -> _Lines:
    """Return the lines between inside and outside, of which two that meet at a right angle take turns."""
    padded = np.pad(inside, 1).astype(np.int8)
    # 1 where what is below a side, or to the right of it, is inside, and -1 where what is above, or to the left, is
    rows, first, last, below = _runs(np.diff(padded, axis=0)[:, 1:-1])
    columns, top, bottom, right = _runs(np.diff(padded, axis=1)[1:-1].T)
    width = inside.shape[1] + 1
    begins = np.concatenate(
        [rows * width + np.where(below, first, last), np.where(right, bottom, top) * width + columns]
    )
    ends = np.concatenate([rows * width + np.where(below, last, first), np.where(right, top, bottom) * width + columns])
    way = np.concatenate([np.where(below, _RIGHT, _LEFT), np.where(right, _UP, _DOWN)])
    order = np.argsort(begins * _WAYS + way)
    begins, ends, way = begins[order], ends[order], way[order]
    after = _after(begins * _WAYS + way, ends, way)
    return _Lines(y=begins // width, x=begins % width, way=way, after=after)


def _runs(steps: NDArray[np.int8]) -> tuple[_Numbers, _Numbers, _Numbers, NDArray[np.bool_]]:
    """Return the runs of 1 and of -1 in each row of `steps`: row, first column, the one behind the last, whether 1."""
    padded = np.pad(steps, ((0, 0), (1, 1)))
    changed = padded[:, 1:] != padded[:, :-1]
    rows, first = np.nonzero(changed & (padded[:, 1:] != 0))
    _, last = np.nonzero(changed & (padded[:, :-1] != 0))
    return rows, first, last, steps[rows, first] > 0


def _after(begun: _Numbers, ends: _Numbers, way: _Numbers) -> _Numbers:
    """Return which line, of those that have `begun` at ascending corners and ways, goes on where each of them ends.

    Where two do, it is the one to the right, so that no corner joins pixels.
    """
    to_the_right, to_the_left = (np.searchsorted(begun, ends * _WAYS + (way + turn) % _WAYS) for turn in (1, 3))
    there = begun[np.minimum(to_the_right, len(begun) - 1)] == ends * _WAYS + (way + 1) % _WAYS
    return np.where(there, to_the_right, to_the_left)


def _loops(after: Sequence[int]) -> list[list[int]]:
    """Return the closed ways that lines make, each from its first line in reading order."""
    loops, seen = [], bytearray(len(after))
    for first in range(len(after)):
        if seen[first]:
            continue
        loop, line = [], first
        while not seen[line]:
            seen[line] = True
            loop.append(line)
            line = after[line]
        loops.append(loop)
    return loops


def _pieces(inside: NDArray[np.bool_], lines: _Lines, loops: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return which of `loops` bound the same piece: its edge, which comes first, and its holes.

    The first line of an edge goes to the right, that of a hole down. The run of pixels that ends at a hole's first line
    begins at a line of the same piece, which is up: one of the edge, or of a hole that comes earlier.
    """
    first = np.array([loop[0] for loop in loops])
    holes = np.flatnonzero(lines.way[first] == _DOWN)
    piece_of = list(range(len(loops)))
    beside = _loops_beside(inside, lines, loops, first[holes]) if len(holes) else []
    for hole, loop in zip(holes.tolist(), beside, strict=True):
        piece_of[hole] = piece_of[loop]
    pieces: dict[int, list[int]] = {}
    for number, piece in enumerate(piece_of):
        pieces.setdefault(piece, []).append(number)
    return list(pieces.values())


def _loops_beside(
    inside: NDArray[np.bool_], lines: _Lines, loops: Sequence[Sequence[int]], ends: _Numbers
) -> list[int]:
    """Return in which of `loops` the run of pixels begins that ends at the top of each of `ends`, which go down."""
    loop_of = np.empty(len(lines.way), dtype=np.int64)
    for number, loop in enumerate(loops):
        loop_of[loop] = number
    rows = lines.y[ends]
    begins = [_run_before(inside[row, :x]) for row, x in zip(rows.tolist(), lines.x[ends].tolist(), strict=True)]
    up = np.flatnonzero(lines.way == _UP)
    up = up[np.lexsort((lines.y[up], lines.x[up]))]
    height = len(inside) + 1
    there = np.searchsorted(lines.x[up] * height + lines.y[up], np.array(begins) * height + rows, side="right")
    return [int(number) for number in loop_of[up[there]]]


def _run_before(pixels: NDArray[np.bool_]) -> int:
    """Return where the last run in `pixels` begins, which are inside at the end."""
    outside = np.flatnonzero(~pixels)
    return int(outside[-1]) + 1 if len(outside) else 0
