"""Join the extents of a region into parts, and fill planes that were left out between drawn ones."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.boxes import union
from dicomnode.domain import Box

Extents = Mapping[int, tuple[Box, ...]]

_LONE_STEP = 4  # planes: how far apart the only two drawn planes may lie to be taken for two cuts of one thing
_Node = tuple[int, int]  # plane index, number of the extent there


def step_of(planes: Iterable[int]) -> int:
    """Return n where a region is drawn on every n-th plane, 1 where nothing tells.

    It is the commonest step between drawn planes that occurs twice, the least of several, or a short one that is alone.
    """
    steps = [high - low for low, high in pairwise(sorted(planes))]
    if len(steps) == 1:
        return steps[0] if steps[0] <= _LONE_STEP else 1
    counts = Counter(steps)
    step = min(counts, key=lambda one: (-counts[one], one), default=1)
    return step if counts[step] > 1 else 1


def components(extents: Extents, step: int) -> list[dict[int, tuple[Box, ...]]]:
    """Return the connected parts of `extents`, plane index -> boxes there, in the order of their first boxes.

    Two extents are connected where they overlap on a plane, as the hole of an outline does, or on two planes at most
    `step` apart of which none between is drawn.
    """
    nodes = [(plane, number) for plane in sorted(extents) for number in range(len(extents[plane]))]
    root = {node: node for node in nodes}
    for one, other in _connected(extents, step):
        root[_top(root, other)] = _top(root, one)
    parts: dict[_Node, dict[int, list[Box]]] = {}
    for node in nodes:
        planes = parts.setdefault(_top(root, node), defaultdict(list))
        planes[node[0]].append(extents[node[0]][node[1]])
    return [{plane: tuple(boxes) for plane, boxes in part.items()} for part in parts.values()]


def between(extents: Extents, heights: NDArray[np.float64], step: int) -> dict[int, Box]:
    """Return the boxes of planes that were left out between drawn ones, interpolated linearly.

    `heights` are the planes' places, (plane,) float64, ascending. Each connected part is filled by itself, and a plane
    has the box round all of them. Nothing is made up in gaps wider than `step`, nor beyond the ends.
    """
    if step < 2:  # noqa: PLR2004
        return {}
    filled: dict[int, list[Box]] = defaultdict(list)
    for part in components(extents, step):
        drawn = {index: union(boxes) for index, boxes in part.items()}
        for low, high in pairwise(sorted(drawn)):
            for index in range(low + 1, high):
                share = (heights[index] - heights[low]) / (heights[high] - heights[low])
                filled[index].append(_interpolated(drawn[low], drawn[high], float(share)))
    return {index: union(boxes) for index, boxes in filled.items()}


def owner_among(parts: Sequence[Extents]) -> Callable[[int, Box], int]:
    """Return what tells which of `parts` a box on a plane touches: its number, the first of several, or their count."""
    there: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    for number, part in enumerate(parts):
        for plane, boxes in part.items():
            there[plane].extend((number, box) for box in boxes)
    sides = {plane: _sides([box for _, box in boxes]) for plane, boxes in there.items()}

    def owner(plane: int, box: Box) -> int:
        found = _touching(box, sides.get(plane, _sides([])))
        return there[plane][found[0]][0] if len(found) else len(parts)

    return owner


def _interpolated(one: Box, other: Box, share: float) -> Box:
    return Box(
        x0=one.x0 + share * (other.x0 - one.x0),
        y0=one.y0 + share * (other.y0 - one.y0),
        x1=one.x1 + share * (other.x1 - one.x1),
        y1=one.y1 + share * (other.y1 - one.y1),
    )


def _connected(extents: Extents, step: int) -> Iterator[tuple[_Node, _Node]]:
    """Yield every two extents that touch, of one plane, and of two planes of which none between is drawn."""
    planes = sorted(extents)
    sides = {plane: _sides(extents[plane]) for plane in planes}
    near = [(plane, plane) for plane in planes] + [pair for pair in pairwise(planes) if pair[1] - pair[0] <= step]
    for low, high in near:
        for one, box in enumerate(extents[low]):
            yield from (((low, one), (high, int(other))) for other in _touching(box, sides[high]))


def _touching(box: Box, sides: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the numbers of those `sides`, (box, 4) float64 x0, y0, x1, y1, that `box` touches."""
    across = (box.x0 <= sides[:, 2]) & (sides[:, 0] <= box.x1)
    return np.flatnonzero(across & (box.y0 <= sides[:, 3]) & (sides[:, 1] <= box.y1))


def _sides(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 of `boxes`, (box, 4) float64."""
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64).reshape(-1, 4)


def _top(root: dict[_Node, _Node], node: _Node) -> _Node:
    while root[node] != node:
        root[node] = root[root[node]]
        node = root[node]
    return node
