"""Split planes that lie at the same places into stacks, by the tags that make positions unique."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.distinguishing import ASIDE, Label, Labels, labels_of, sortable
from dicomnode.dicom.ordering import ranks
from dicomnode.dicom.tags import SPLITTERS, TIMES
from dicomnode.domain import Fact, PlaneSource, normal_of
from dicomnode.geometry import SAME_POSITION_MM, facts_of

_MOST_TAGS = 3  # that together make positions unique
_MOST_COMBINED = 20  # tags that are tried together: more are a header gone wrong
_PARTS_A_PLANE = 2  # parts at the most for each plane at the fullest place: more are no stacks
_ROUNDING_MM = 0.1
_SHARE_OF_A_GAP = 0.1
_MOST_APART = 4  # scans that lie between each other's planes
_FEW = 3  # planes that say something of their distance

Part = tuple[tuple[tuple[str, str], ...], list[PlaneSource]]


def split(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> list[Part] | None:
    """Return the parts of `planes`, in whose each no two lie at the same height, and the tags and values they go by.

    `heights` are the planes' positions along the normal, (plane,) in mm. What says what an image shows is tried first
    (echo, b-value, phase, ...), in the fewest parts; then times; None where nothing makes positions unique. Planes that
    lie almost at the same height, as phases of a scan do, and scans that lie between each other's planes are split
    where a tag does it.
    """
    places = _places_within_rounding(heights)
    if len(set(places)) == len(planes):
        return _apart(planes, heights) or [((), list(planes))]
    if parts := _by_tags(planes, places):
        return parts
    distinct = len(set(_places(heights, SAME_POSITION_MM))) == len(planes)
    return [((), list(planes))] if distinct else None


def _by_tags(planes: Sequence[PlaneSource], places: Sequence[int]) -> list[Part] | None:
    labels = labels_of(planes)
    telling = {name: values for name, values in labels.items() if name not in TIMES}
    if names := _fewest(telling, places):
        return _parts(planes, telling, names)
    times = {name: values for name, values in labels.items() if name in TIMES}
    if name := next(
        (name for name, values in times.items() if _makes_unique([*zip(values, strict=True)], places)), None
    ):
        return _parts(planes, times, (name,))
    return _by_order(planes, places, telling, times)


def _fewest(labels: Labels, places: Sequence[int]) -> tuple[str, ...] | None:
    """Return the names of the least number of tags that make positions unique, in the fewest parts."""
    tried = [*labels][:_MOST_COMBINED]
    for size in range(1, _MOST_TAGS + 1):
        found = {}
        for names in combinations([*labels] if size == 1 else tried, size):
            values = list(zip(*(labels[name] for name in names), strict=True))
            if _makes_unique(values, places):
                found[names] = len(set(values))
        if found:
            return min(found, key=lambda names: found[names])
    return None


def _by_order(
    planes: Sequence[PlaneSource], places: Sequence[int], telling: Labels, times: Labels
) -> list[Part] | None:
    """Split by every tag that differs at a place, and then by the order in time of those that are alike in them."""
    most = _most_parts(places)
    names = tuple(
        name
        for name, values in telling.items()
        if len(set(values)) <= most and len(set(zip(values, places, strict=True))) > len(set(places))
    )
    alike: dict[tuple[Label, ...], list[int]] = defaultdict(list)
    for index in range(len(planes)):
        alike[tuple(telling[name][index] for name in names)].append(index)
    for name, values in times.items():
        ordered: list[Part] = []
        for label in sorted(alike, key=lambda label: [sortable(value) for value in label]):
            members = alike[label]
            found = ranks(name, [values[index] for index in members], [places[index] for index in members])
            if found is None:
                break
            words = _words(names, label)
            ordered.extend(
                (
                    (*words, (f"order of {name}", str(rank))),
                    [planes[i] for i, own in zip(members, found, strict=True) if own == rank],
                )
                for rank in sorted(set(found))
            )
        else:
            return ordered
    return None


def _apart(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> list[Part] | None:
    """Split scans that lie between each other's planes: all are uneven, those of each value of a tag are even."""
    if len(planes) < _FEW or _is_even(planes, heights):
        return None
    labels = labels_of(planes)
    for name in (*SPLITTERS, ASIDE):
        if name not in labels or name in TIMES:
            continue
        indices: dict[Label, list[int]] = defaultdict(list)
        for index, value in enumerate(labels[name]):
            indices[value].append(index)
        parts = [heights[members] for members in indices.values()]
        if len(parts) <= _MOST_APART and _interleave(parts):
            sets = [[planes[index] for index in members] for members in indices.values()]
            if all(len(one) >= _FEW and _is_even(one, at) for one, at in zip(sets, parts, strict=True)):
                return _parts(planes, labels, (name,))
    return None


def _is_even(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> bool:
    """Return whether the planes, two at least, are evenly spaced along one line."""
    places = [place for index in np.argsort(heights) if (place := planes[int(index)].frame.place)]
    positions = np.array([place.position for place in places])
    facts = facts_of(positions, normal_of(places[0].orientation), np.full(len(places), np.nan))
    return Fact.IRREGULAR not in facts


def _interleave(parts: Sequence[NDArray[np.float64]]) -> bool:
    """Return whether each part begins before another ends."""
    spans = sorted((float(part.min()), float(part.max())) for part in parts)
    return len(spans) > 1 and all(upper[0] < lower[1] for lower, upper in pairwise(spans))


def _places_within_rounding(heights: NDArray[np.float64]) -> list[int]:
    """Return the number of each plane's place, where planes of several scans may differ by a rounding.

    Where near planes make a chain that is longer than a rounding, the scan is a fine one, and each has its own place.
    """
    near = _almost_the_same(heights)
    places = _places(heights, near)
    ends: dict[int, list[float]] = defaultdict(list)
    for place, height in zip(places, heights, strict=True):
        ends[place].append(float(height))
    longest = max(max(found) - min(found) for found in ends.values())
    return places if longest < near else _places(heights, SAME_POSITION_MM)


def _almost_the_same(heights: NDArray[np.float64]) -> float:
    """Return how near in mm planes lie that are meant to be at one place: within rounding, but no true gap."""
    widest = float(np.max(np.diff(np.sort(heights)), initial=0.0))
    return max(SAME_POSITION_MM, min(_ROUNDING_MM, _SHARE_OF_A_GAP * widest))


def _places(heights: NDArray[np.float64], near: float) -> list[int]:
    """Return the number of each plane's place: planes less than `near` mm apart share one."""
    order = np.argsort(heights, kind="stable")
    steps = np.concatenate([[0], np.diff(heights[order]) >= near]).cumsum()
    places = np.empty(len(heights), dtype=np.int64)
    places[order] = steps
    return [int(place) for place in places]


def _makes_unique(values: Sequence[tuple[Label, ...]], places: Sequence[int]) -> bool:
    """Return whether no part has two planes at a place, and the parts are few enough to be stacks."""
    return len(set(values)) <= _most_parts(places) and len(set(zip(values, places, strict=True))) == len(places)


def _most_parts(places: Sequence[int]) -> int:
    """Return how many stacks there may be: for each plane at the fullest place, or each time that scans overlap."""
    counts = Counter(places).values()
    few = _PARTS_A_PLANE * max(counts)
    shared = sum(count > 1 for count in counts)
    return max(few, shared + 1) if shared < len(counts) / 2 else few


def _parts(planes: Sequence[PlaneSource], labels: Labels, names: Sequence[str]) -> list[Part]:
    parts: dict[tuple[Label, ...], list[PlaneSource]] = defaultdict(list)
    for plane, label in zip(planes, zip(*(labels[name] for name in names), strict=True), strict=True):
        parts[label].append(plane)
    ordered = sorted(parts, key=lambda label: [sortable(value) for value in label])
    return [(_words(names, label), parts[label]) for label in ordered]


def _words(names: Sequence[str], label: Sequence[Label]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(value)) for name, value in zip(names, label, strict=True))


def _text(value: Label) -> str:
    if value is None:
        return "absent"
    return value if isinstance(value, str) else f"{value:g}"
