"""Cut a mask into its connected parts."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Run(NamedTuple):
    """Pixels of a row that lie side by side: columns `start` up to `end`, which is the first outside."""

    row: int
    start: int
    end: int


MOST_ISLANDS = 64


def islands(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the connected parts of `mask`, (row, column) bool each; pixels that touch at a corner are connected.

    A mask of more parts than anybody draws is noise, and returned whole.
    """
    runs = _runs(mask)
    root = list(range(len(runs)))
    first = 0  # of the runs that may touch the next one
    for number, run in enumerate(runs):
        while runs[first].row < run.row - 1 or (runs[first].row < run.row and runs[first].end < run.start):
            first += 1
        above = first
        while runs[above].row < run.row and runs[above].start <= run.end:
            root[_top(root, above)] = _top(root, number)
            above += 1
    parts: dict[int, list[_Run]] = defaultdict(list)
    for number, run in enumerate(runs):
        parts[_top(root, number)].append(run)
    return [_filled(part, mask.shape) for part in parts.values()] if len(parts) <= MOST_ISLANDS else [mask]


def _runs(mask: NDArray[np.bool_]) -> list[_Run]:
    """Return the runs of `mask`, row by row from left to right."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [_Run(int(row), int(start), int(end)) for (row, start), (_, end) in zip(starts, ends, strict=True)]


def _top(root: list[int], number: int) -> int:
    while root[number] != number:
        root[number] = root[root[number]]
        number = root[number]
    return number


def _filled(runs: Sequence[_Run], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    part = np.zeros(shape, dtype=np.bool_)
    for run in runs:
        part[run.row, run.start : run.end] = True
    return part
