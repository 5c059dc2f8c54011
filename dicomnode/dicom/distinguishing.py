"""Say in which elements of their headers the planes of a series differ."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.tags import SPLITTERS, TIMES
from dicomnode.domain import Place, PlaneSource

ASIDE = "ImagePositionPatient"  # the name under which planes differ that lie beside each other
_ASIDE_MM = 1.0  # how far planes of one stack may lie beside each other

Label = float | str | None
Labels = Mapping[str, Sequence[Label]]


def labels_of(planes: Sequence[PlaneSource]) -> dict[str, list[Label]]:
    """Return each plane's value of every tag that has more than one, in the order in which they are tried.

    Tags that divide the planes alike count once.
    """
    tags = [{**plane.image.tags, **plane.frame.tags, **_own(plane)} for plane in planes]
    others = sorted({name for one in tags for name in one} - set(SPLITTERS))
    found = {name: [one.get(name) for one in tags] for name in (*SPLITTERS[:-1], *others)}
    found |= {ASIDE: _aside(planes), SPLITTERS[-1]: [one.get(SPLITTERS[-1]) for one in tags]}
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
        across = _across(place)
        near = next((one for one in fields if np.max(np.abs(one - across)) < _ASIDE_MM), None)
        if near is None:
            fields.append(across)
        x, y = across if near is None else near
        found.append(f"{x:.0f}\\{y:.0f} mm in the plane")
    return found


def _across(place: Place) -> NDArray[np.float64]:
    """Return where a plane lies along its own rows and columns, (2,) in mm."""
    return np.asarray(np.array(place.orientation).reshape(2, 3) @ np.array(place.position))


def _own(plane: PlaneSource) -> Mapping[str, str]:
    """Several multi-frame instances may be one stack each; a single-frame one's UID says nothing."""
    return {} if plane.frame.number is None else {"SOPInstanceUID": plane.image.sop_instance_uid}


def _division(values: Sequence[Label]) -> tuple[int, ...]:
    first: dict[Label, int] = {}
    return tuple(first.setdefault(value, len(first)) for value in values)


def sortable(value: Label) -> tuple[int, float, str]:
    """Numbers come before texts, what is absent last."""
    if value is None:
        return 2, 0.0, ""
    return (1, 0.0, value) if isinstance(value, str) else (0, value, "")
