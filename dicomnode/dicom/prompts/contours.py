"""Place the contours of a region of interest on the planes of a stack (PS3.3 C.8.8.6)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.boxes import to_pixels
from dicomnode.dicom.prompts.matching import Match, match_planes
from dicomnode.dicom.prompts.region import Point
from dicomnode.dicom.prompts.seg_planes import SourceIndex
from dicomnode.dicom.reading import items, text
from dicomnode.domain import Exclusion, PlaneKey, Stack, Uid
from dicomnode.errors import Reason

_LEAST_POINTS = 3  # fewer enclose nothing: they are points
_NOTED_DISTANCE_MM = 0.1
_EXAMPLES = 3  # of what was left out, in one sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Contours:
    """Contours by plane index: `outlines` are (point, 2) float64 x, y in pixel-centre coordinates, `points` single.

    `contrary` counts the contours that lie on another plane than those of the stack that they name, `across` those that
    run across planes: there their outline is no more than its extent.
    """

    outlines: Mapping[int, tuple[NDArray[np.float64], ...]]
    points: Mapping[int, tuple[Point, ...]]
    notes: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    contrary: int
    across: int


@dataclass(slots=True)
class _Placing:
    """What has been placed so far."""

    across: int = 0
    outlines: dict[int, list[NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(list))
    points: dict[int, list[Point]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)


def place_contours(contours: Sequence[Dataset], stack: Stack, what: str) -> Contours:
    """Return where `contours` lie on `stack`: by geometry, whatever image they name; a note where both disagree."""
    placing = _Placing()
    named = _Named(stack)
    for number, contour in enumerate(contours, start=1):
        try:
            points = points_of(contour)
        except ValueError as error:
            placing.broken.append(f"contour {number}: {error}")
            continue
        match = match_planes(points, stack)
        _place(placing, (f"contour {number}", points), match, stack)
        named.compare(contour, match, f"contour {number}", placing)
    return Contours(
        outlines={index: tuple(drawn) for index, drawn in placing.outlines.items()},
        points={index: tuple(points) for index, points in placing.points.items()},
        notes=(*placing.notes, *named.notes()),
        exclusions=_left_out(placing, len(contours), what),
        contrary=named.contrary,
        across=placing.across,
    )


def planes_drawn_on(holders: Iterable[Dataset]) -> Iterator[PlaneKey]:
    """Yield the images that `holders` name in a ContourImageSequence; frame None is all of an image."""
    for holder in holders:
        for image in items(holder, "ContourImageSequence"):
            uid = Uid(text(image, "ReferencedSOPInstanceUID"))
            for number in text(image, "ReferencedFrameNumber").split("\\"):
                yield PlaneKey(uid, int(number) if number.isdigit() else None)


def points_of(contour: Dataset) -> NDArray[np.float64]:
    """Return the points of `contour`, (point, 3) float64 in patient mm; raise ValueError where they are none.

    The element is taken raw: a structure set has up to millions of numbers.
    """
    raw = contour.get_item("ContourData") if "ContourData" in contour else None
    value = raw.value if raw is not None else None
    if not value:
        raise ValueError("no ContourData")
    numbers = _split(value) if isinstance(value, bytes) else value
    values = np.array(numbers, dtype=np.float64).reshape(-1)
    if len(values) % 3 or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} numbers: finite triplets are wanted")
    return values.reshape(-1, 3)


def _split(value: bytes) -> list[str]:
    """Return the numbers in `value`; some programs write commas for decimal points, which DS does not allow (6.2)."""
    return value.decode("ascii", "replace").strip("\0 ").replace(",", ".").split("\\")


def _place(placing: _Placing, contour: tuple[str, NDArray[np.float64]], match: Match, stack: Stack) -> None:
    what, points = contour
    if not match.planes:
        placing.off.append(f"{what} is {match.distance:.2f} mm from the nearest")
        return
    if match.oblique:
        placing.across += 1
        placing.notes.append(f"{what} runs across planes: its whole extent is the box on each of {len(match.planes)}")
    elif match.distance > _NOTED_DISTANCE_MM:
        placing.notes.append(f"{what} lies {match.distance:.2f} mm off its plane")
    for index in match.planes:
        placed = to_pixels(points, stack.planes[index])
        if len(points) < _LEAST_POINTS:
            placing.points[index].extend((float(x), float(y)) for x, y in placed)
        else:
            placing.outlines[index].append(placed)


class _Named:
    """Compares the planes that contours name with those that they lie on."""

    def __init__(self, stack: Stack) -> None:
        self._index = SourceIndex(stack)
        self._elsewhere = 0
        self.contrary = 0

    def compare(self, contour: Dataset, match: Match, what: str, placing: _Placing) -> None:
        """Note a contour that names another plane of the stack than it lies on; count those that name none of it."""
        named = list(planes_drawn_on([contour]))
        here = self._index.planes(named)
        if named and not here:
            self._elsewhere += 1
            if not match.planes:
                placing.off[-1] += ", and the image that it names is not here"
        elif here and not match.oblique and set(here).isdisjoint((*match.planes, *match.alike)):
            self.contrary += 1
            if match.planes:
                placing.notes.append(f"{what} names another image than the one it lies on: its place counts")

    def notes(self) -> tuple[str, ...]:
        """Return what is to be said of all contours."""
        return (f"{self._elsewhere} contours name images that are not of the stack",) if self._elsewhere else ()


def _left_out(placing: _Placing, total: int, what: str) -> tuple[Exclusion, ...]:
    told = {
        Reason.BAD_CONTOUR: (placing.broken, "are broken"),
        Reason.CONTOUR_OFF_STACK: (placing.off, "lie on no plane"),
    }
    return tuple(
        Exclusion(
            what=what,
            reason=reason,
            detail=f"{len(found)} of {total} contours {words}: {'; '.join(found[:_EXAMPLES])}",
        )
        for reason, (found, words) in told.items()
        if found
    )
