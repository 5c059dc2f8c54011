"""Join the extents of a region into parts, and fill planes that were left out between drawn ones."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.boxes import union
from dicomnode.domain import Box

Extents = Mapping[int, tuple[Box, ...]]

_LONE_STEP, _LONE_MM = 4, 10.0  # how far apart the only two drawn planes may lie to be two cuts of one thing
_NAMED = 3  # gaps, of all that are left open
_Node = tuple[int, int]  # plane index, number of the extent there


def widest_gap(planes: Iterable[int], heights: NDArray[np.float64]) -> int:
    """Return how many planes apart two drawn ones may be to have boxes between them, 1 where none are to be made.

    `heights` are the planes' places, (plane,) float64 in mm. Where the commonest step between drawn planes (the least
    of several) is two or more, all planes between are meant, also of a wider gap that leaves out no whole step. Where
    it is one, planes that are left out are not meant. A step that is alone counts where it is short.
    """
    drawn = sorted(planes)
    steps = [high - low for low, high in pairwise(drawn)]
    if len(steps) == 1:
        near = steps[0] <= _LONE_STEP or heights[drawn[1]] - heights[drawn[0]] <= _LONE_MM
        return steps[0] if near else 1
    counts = Counter(steps)
    step = min(counts, key=lambda one: (-counts[one], one), default=1)
    return max(2 * step - 1, 1)


def components(extents: Extents, step: int) -> list[dict[int, tuple[Box, ...]]]:
    """Return the connected parts of `extents`, plane index -> boxes there, in the order of their first boxes.

    Two extents are connected where they overlap on a plane, as the hole of an outline does, or on two planes at most
    `step` apart of which none between is drawn.
    """
    links = _Links(extents, step)
    parts: list[dict[int, list[Box]]] = []
    for plane in sorted(extents):
        for number in range(len(extents[plane])):
            planes: dict[int, list[Box]] = defaultdict(list)
            for index, one in sorted(links.take((plane, number))):
                planes[index].append(extents[index][one])
            if planes:
                parts.append(planes)
    return [{plane: tuple(boxes) for plane, boxes in part.items()} for part in parts]


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


def left_open(planes: Iterable[int]) -> str:
    """Return in words the planes that are missing between the first and the last of `planes`, '' where none is."""
    gaps = [(low + 1, high - 1) for low, high in pairwise(sorted(planes)) if high - low > 1]
    named = [f"{low}" if low == high else f"{low}-{high}" for low, high in gaps[:_NAMED]]
    more = f" and in {len(gaps) - _NAMED} more gaps" if len(gaps) > _NAMED else ""
    return ", ".join(named) + more


def owner_among(parts: Sequence[Extents]) -> Callable[[int, Box], int]:
    """Return what tells which of `parts` a box on a plane touches: its number, the first of several, or their count."""
    there: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    for number, part in enumerate(parts):
        for plane, boxes in part.items():
            there[plane].extend((number, box) for box in boxes)
    sides = {plane: _sides([box for _, box in boxes]) for plane, boxes in there.items()}

    def owner(plane: int, box: Box) -> int:
        found = _touching(_sides([box])[0], sides.get(plane, _sides([])))
        return there[plane][int(found.argmax())][0] if found.any() else len(parts)

    return owner


def _interpolated(one: Box, other: Box, share: float) -> Box:
    return Box(
        x0=one.x0 + share * (other.x0 - one.x0),
        y0=one.y0 + share * (other.y0 - one.y0),
        x1=one.x1 + share * (other.x1 - one.x1),
        y1=one.y1 + share * (other.y1 - one.y1),
    )


class _Links:
    """Follows which extents touch each other, on one plane and on two of which none between is drawn; each once."""

    def __init__(self, extents: Extents, step: int) -> None:
        planes = sorted(extents)
        self._sides = {plane: _sides(extents[plane]) for plane in planes}
        self._left = {plane: np.ones(len(extents[plane]), dtype=np.bool_) for plane in planes}
        self._near: dict[int, list[int]] = {plane: [plane] for plane in planes}
        for low, high in pairwise(planes):
            if high - low <= step:
                self._near[low].append(high)
                self._near[high].append(low)

    def take(self, start: _Node) -> list[_Node]:
        """Return all that is connected with `start` and was not taken before."""
        if not self._left[start[0]][start[1]]:
            return []
        self._left[start[0]][start[1]] = False
        taken = [start]
        for plane, number in taken:  # it grows while it is walked
            for near in self._near[plane]:
                found = _touching(self._sides[plane][number], self._sides[near]) & self._left[near]
                self._left[near][found] = False
                taken.extend((near, int(one)) for one in np.flatnonzero(found))
        return taken


def _touching(box: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of `sides`, (box, 4) float64 x0, y0, x1, y1, the one in `box`, (4,), touches: (box,) bool."""
    across = (box[0] <= sides[:, 2]) & (sides[:, 0] <= box[2])
    return np.asarray(across & (box[1] <= sides[:, 3]) & (sides[:, 1] <= box[3]))


def _sides(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 of `boxes`, (box, 4) float64."""
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64).reshape(-1, 4)
