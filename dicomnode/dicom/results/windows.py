"""Choose which values of a plane pictures show black and which white: as its source says, or from the values."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.reading import PARSER_ERRORS, numbers, text
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.shades import window_of
from dicomnode.domain import Plane
from dicomnode.errors import Refused

# elsewhere headers seldom state one that shows an object: that of a PET is often all values that can be stored
_STATING = frozenset({"CT", "MR"})
_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_ENOUGH = 1_000_000  # values that stand for a stack


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Which values of the modality are shown from black to white, by a VOI LUT function (PS3.3 C.11.2.1)."""

    centre: float
    width: float
    function: str = "LINEAR"

    @classmethod
    def between(cls, low: float, high: float) -> "Window":
        """Return the window in which `low` is the last value that is black and `high` the first that is white."""
        return cls(centre=(low + high + 1) / 2, width=high - low + 1)

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the last value that is black and the first that is white."""
        if self.function == "LINEAR":  # PS3.3 C.11.2.1.2.1
            return self.centre - 0.5 - (self.width - 1) / 2, self.centre - 0.5 + (self.width - 1) / 2
        return self.centre - self.width / 2, self.centre + self.width / 2


def windows_of(findings: Findings, indices: Iterable[int]) -> Mapping[int, Window]:
    """Return the window of each plane of `indices`: its header's in CT and MR, else one for the whole stack."""
    stack, found = findings.stack, dict[int, Window]()
    without = []
    for index in indices:
        stated = _stated(findings.headers[index].ds) if stack.modality in _STATING else None
        if stated:
            found[index] = stated
        else:
            without.append(index)
    return {**found, **dict.fromkeys(without, _of_values(findings))} if without else found


def shown_bounds(window: Window, plane: Plane) -> tuple[float, float]:
    """Return which of the values that `Plane.shown` returns are black and white."""
    low, high = window.bounds
    return (-high, -low) if plane.inverted else (low, high)


def _stated(ds: Dataset) -> Window | None:
    """Return the first window that `ds` states, if any that shows more than black and white."""
    centre, width = _first(ds, "WindowCenter"), _first(ds, "WindowWidth")
    function = text(ds, "VOILUTFunction") or "LINEAR"
    if centre is None or width is None or function not in _FUNCTIONS or width <= (function == "LINEAR"):
        return None
    return Window(centre=centre, width=width, function=function)


def _first(ds: Dataset, keyword: str) -> float | None:
    try:
        stated = numbers(ds, keyword, ds[keyword].VM, "a window") if keyword in ds else None
    except (Refused, *PARSER_ERRORS):
        return None
    return stated[0] if stated else None


def _of_values(findings: Findings) -> Window:
    """Return the window from the 1 % to the 99 % quantile of the values in the stack, of which some stand for all.

    It is wider where it would show much of the masks all black or all white, such as a small lesion in a PET.
    """
    stack = findings.stack
    step = len(stack.planes) * stack.planes[0].stored.size // _ENOUGH | 1  # odd: it goes through all columns
    low, high = window_of(plane.shown().reshape(-1)[::step].copy() for plane in stack.planes)
    if not findings.is_empty:
        lowest, highest = window_of(stack.planes[index].shown()[inside] for index, inside in _insides(findings))
        low, high = min(low, lowest), max(high, highest)
    if stack.planes[0].inverted:
        low, high = -high, -low
    return Window.between(low, max(high, np.nextafter(low, np.inf)))


def _insides(findings: Findings) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield each plane's index with what is in any mask there, (row, column) bool."""
    for index in sorted({index for mask in findings.masks for index in mask.planes}):
        yield index, np.logical_or.reduce([mask.planes[index] for mask in findings.masks if index in mask.planes])
