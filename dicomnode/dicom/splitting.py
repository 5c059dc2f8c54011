"""Split planes that lie at the same places into stacks, by the tags that make positions unique."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.tags import SPLITTERS, TIMES
from dicomnode.domain import Fact, PlaneSource, normal_of
from dicomnode.geometry import SAME_POSITION_MM, facts_of

_MOST_TAGS = 3  # that together make positions unique
_MOST_COMBINED = 20  # tags that are tried together: more are a header gone wrong
_PARTS_A_PLANE = 2  # parts at the most for each plane at the fullest place: more are no stacks
_ROUNDING_MM = 0.1
_SHARE_OF_A_GAP = 0.1
_ASIDE_MM = 1.0  # how far planes of one stack may lie beside each other
_ASIDE = "ImagePositionPatient"
_MOST_APART = 4  # scans that lie between each other's planes
_FEW = 3  # planes that say something of their distance

Label = float | str | None
Labels = Mapping[str, Sequence[Label]]
Part = tuple[tuple[tuple[str, str], ...], list[PlaneSource]]


def split(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> list[Part] | None:
    """Return the parts of `planes`, in whose each no two lie at the same height, and the tags and values they go by.

    `heights` are the planes' positions along the normal, (plane,) in mm. What says what an image shows is tried first
    (echo, b-value, phase, ...), in the fewest parts; then times; None where nothing makes positions unique. Planes that
    lie almost at the same height, as phases of a scan do, and scans that lie between each other's planes are split
    where a tag does it.
    """
    places = _places(heights, _almost_the_same(heights))
    if len(set(places)) == len(planes):
        return _apart(planes, heights) or [((), list(planes))]
    if parts := _by_tags(planes, places):
        return parts
    distinct = len(set(_places(heights, SAME_POSITION_MM))) == len(planes)
    return [((), list(planes))] if distinct else None


def _by_tags(planes: Sequence[PlaneSource], places: Sequence[int]) -> list[Part] | None:
    labels = _labels(planes)
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
        for label in sorted(alike, key=lambda label: [_sortable(value) for value in label]):
            members = alike[label]
            ranks = _ranks([values[index] for index in members], [places[index] for index in members])
            if ranks is None:
                break
            words = _words(names, label)
            ordered.extend(
                (
                    (*words, (f"order of {name}", str(rank))),
                    [planes[i] for i, own in zip(members, ranks, strict=True) if own == rank],
                )
                for rank in sorted(set(ranks))
            )
        else:
            return ordered
    return None


def _apart(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> list[Part] | None:
    """Split scans that lie between each other's planes: all are uneven, those of each value of a tag are even."""
    if _is_even(planes, heights):
        return None
    labels = _labels(planes)
    for name in (*SPLITTERS, _ASIDE):
        if name not in labels or name in TIMES:
            continue
        indices: dict[Label, list[int]] = defaultdict(list)
        for index, value in enumerate(labels[name]):
            indices[value].append(index)
        parts = [heights[members] for members in indices.values()]
        if len(parts) <= _MOST_APART and _interleave(parts):
            sets = [[planes[index] for index in members] for members in indices.values()]
            if all(_is_even(*one) for one in zip(sets, parts, strict=True)):
                return _parts(planes, labels, (name,))
    return None


def _is_even(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> bool:
    """Return whether the planes are evenly spaced along one line, or too few to say."""
    if len(planes) < _FEW:
        return len(planes) > 1
    places = [place for index in np.argsort(heights) if (place := planes[int(index)].frame.place)]
    positions = np.array([place.position for place in places])
    facts = facts_of(positions, normal_of(places[0].orientation), np.full(len(places), np.nan))
    return Fact.IRREGULAR not in facts


def _interleave(parts: Sequence[NDArray[np.float64]]) -> bool:
    """Return whether each part begins before another ends."""
    spans = sorted((float(part.min()), float(part.max())) for part in parts)
    return len(spans) > 1 and all(upper[0] < lower[1] for lower, upper in pairwise(spans))


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


def _labels(planes: Sequence[PlaneSource]) -> dict[str, list[Label]]:
    """Return each plane's value of every tag that has more than one, in the order in which they are tried.

    Tags that divide the planes alike count once.
    """
    tags = [{**plane.image.tags, **plane.frame.tags, **_own(plane)} for plane in planes]
    others = sorted({name for one in tags for name in one} - set(SPLITTERS))
    found = {name: [one.get(name) for one in tags] for name in (*SPLITTERS[:-1], *others)}
    found |= {_ASIDE: _aside(planes), SPLITTERS[-1]: [one.get(SPLITTERS[-1]) for one in tags]}
    labels: dict[str, list[Label]] = {}
    known = set()
    for name, values in found.items():
        division = (_division(values), name in TIMES)
        if len(set(values)) > 1 and division not in known:
            known.add(division)
            labels[name] = values
    return labels


def _aside(planes: Sequence[PlaneSource]) -> list[Label]:
    """Return which field of view each plane is of: those of one lie less than a millimetre beside each other."""
    fields: list[NDArray[np.float64]] = []
    found: list[Label] = []
    for plane in planes:
        place = plane.frame.place
        if place is None:
            return [None] * len(planes)
        across = np.array(place.orientation).reshape(2, 3) @ np.array(place.position)
        near = next((one for one in fields if np.max(np.abs(one - across)) < _ASIDE_MM), None)
        if near is None:
            fields.append(across)
        x, y = across if near is None else near
        found.append(f"{x:.0f}\\{y:.0f} mm in the plane")
    return found


def _own(plane: PlaneSource) -> Mapping[str, str]:
    """Several multi-frame instances may be one stack each; a single-frame one's UID says nothing."""
    return {} if plane.frame.number is None else {"SOPInstanceUID": plane.image.sop_instance_uid}


def _division(values: Sequence[Label]) -> tuple[int, ...]:
    first: dict[Label, int] = {}
    return tuple(first.setdefault(value, len(first)) for value in values)


def _ranks(values: Sequence[Label], places: Sequence[int]) -> list[int] | None:
    """Return which at its place each plane is in time, from 1.

    None where a time is missing or stands twice at a place, or places have different numbers of planes: which of them
    belong together cannot be told. Where most places have one, the others have repeats, which come after it.
    """
    counts = Counter(places)
    commonest = Counter(counts.values()).most_common(1)[0][0]
    if None in values or (len(set(counts.values())) > 1 and commonest > 1):
        return None
    at: dict[int, list[Label]] = defaultdict(list)
    for value, place in zip(values, places, strict=True):
        at[place].append(value)
    if any(len(set(found)) < len(found) for found in at.values()):
        return None
    order = {place: sorted(found, key=_sortable) for place, found in at.items()}
    return [order[place].index(value) + 1 for value, place in zip(values, places, strict=True)]


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
    ordered = sorted(parts, key=lambda label: [_sortable(value) for value in label])
    return [(_words(names, label), parts[label]) for label in ordered]


def _words(names: Sequence[str], label: Sequence[Label]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _text(value)) for name, value in zip(names, label, strict=True))


def _text(value: Label) -> str:
    if value is None:
        return "absent"
    return value if isinstance(value, str) else f"{value:g}"


def _sortable(value: Label) -> tuple[int, float, str]:
    """Numbers come before texts, what is absent last."""
    if value is None:
        return 2, 0.0, ""
    return (1, 0.0, value) if isinstance(value, str) else (0, value, "")
