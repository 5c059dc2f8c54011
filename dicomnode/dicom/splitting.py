"""Split planes that lie at the same places into stacks, by the tag that makes positions unique."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.tags import SPLITTERS, TIMES
from dicomnode.domain import PlaneSource
from dicomnode.geometry import SAME_POSITION_MM

_MOST_TAGS = 3  # that together make positions unique
_ROUNDING_MM = 0.1
_SHARE_OF_A_GAP = 0.1

Label = float | str | None
Part = tuple[tuple[tuple[str, str], ...], list[PlaneSource]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Partition:
    """A way to split planes: the tags it goes by, and each plane's values of them."""

    names: tuple[str, ...]
    labels: tuple[tuple[Label, ...], ...]

    @property
    def parts(self) -> int:
        """Return how many parts it makes."""
        return len(set(self.labels))


def split(planes: Sequence[PlaneSource], heights: NDArray[np.float64]) -> list[Part] | None:
    """Return the parts of `planes`, in whose each no two lie at the same height, and the tags and values they go by.

    `heights` are the planes' positions along the normal, (plane,) in mm. The split in the fewest parts is taken, and
    of several such the one that comes first in `SPLITTERS`; None where none makes positions unique. Planes that lie
    almost at the same height, as phases of a scan do, are split where a tag does it.
    """
    places = _places(heights, _almost_the_same(heights))
    if len(set(places)) == len(planes):
        return [((), list(planes))]
    if parts := _split_by_tags(planes, places):
        return parts
    distinct = len(set(_places(heights, SAME_POSITION_MM))) == len(planes)
    return [((), list(planes))] if distinct else None


def _split_by_tags(planes: Sequence[PlaneSource], places: Sequence[int]) -> list[Part] | None:
    labels = _labels(planes, places)
    for size in range(1, _MOST_TAGS + 1):
        found = [one for one in _partitions(labels, size) if _makes_unique(one, places)]
        if found:
            return _parts(planes, min(found, key=lambda one: one.parts))
    return None


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


def _labels(planes: Sequence[PlaneSource], places: Sequence[int]) -> dict[str, list[Label]]:
    """Return each plane's value of every tag that has more than one, in the order in which they are tried.

    Tags that divide the planes alike count once.
    """
    tags = [{**plane.image.tags, **plane.frame.tags, **_own(plane)} for plane in planes]
    others = sorted({name for one in tags for name in one} - set(SPLITTERS))
    labels: dict[str, list[Label]] = {}
    known = set()
    for name in (*SPLITTERS[:-1], *others, SPLITTERS[-1]):
        values: list[Label] = [one.get(name) for one in tags]
        candidates = {name: values}
        if name in TIMES:
            candidates[f"order of {name}"] = _ranks(values, places)
        for title, candidate in candidates.items():
            division = _division(candidate)
            if len(set(division)) > 1 and division not in known:
                known.add(division)
                labels[title] = candidate
    return labels


def _own(plane: PlaneSource) -> Mapping[str, str]:
    """Several multi-frame instances may be one stack each; a single-frame one's UID says nothing."""
    return {} if plane.frame.number is None else {"SOPInstanceUID": plane.image.sop_instance_uid}


def _division(values: Sequence[Label]) -> tuple[int, ...]:
    first: dict[Label, int] = {}
    return tuple(first.setdefault(value, len(first)) for value in values)


def _ranks(values: Sequence[Label], places: Sequence[int]) -> list[Label]:
    """Return which at its place each plane is in time, from 1; nothing where places have different numbers of them."""
    if None in values or len(set(Counter(places).values())) > 1:
        return [None] * len(values)
    at: dict[int, list[Label]] = defaultdict(list)
    for value, place in zip(values, places, strict=True):
        at[place].append(value)
    if any(len(set(found)) < len(found) for found in at.values()):
        return [None] * len(values)
    order = {place: sorted(found, key=_sortable) for place, found in at.items()}
    return [float(order[place].index(value) + 1) for value, place in zip(values, places, strict=True)]


def _partitions(labels: Mapping[str, Sequence[Label]], size: int) -> Iterator[_Partition]:
    for names in combinations(labels, size):
        yield _Partition(names=names, labels=tuple(zip(*(labels[name] for name in names), strict=True)))


def _makes_unique(partition: _Partition, places: Sequence[int]) -> bool:
    """Return whether no part has two planes at a place, and parts are stacks: not each plane one of its own."""
    pairs = set(zip(partition.labels, places, strict=True))
    alone = partition.parts == len(places) and len(set(places)) > 1
    return len(pairs) == len(places) and not alone


def _parts(planes: Sequence[PlaneSource], partition: _Partition) -> list[Part]:
    parts: dict[tuple[Label, ...], list[PlaneSource]] = defaultdict(list)
    for plane, label in zip(planes, partition.labels, strict=True):
        parts[label].append(plane)
    ordered = sorted(parts, key=lambda label: [_sortable(value) for value in label])
    return [(_words(partition.names, label), parts[label]) for label in ordered]


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
