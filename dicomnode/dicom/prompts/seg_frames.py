"""Read from the header of a segmentation where each frame lies and which images it was made from (PS3.3 C.8.20)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.reading import PARSER_ERRORS, first_item, items, numbers, text
from dicomnode.domain import Exclusion, PlaneKey, Uid
from dicomnode.errors import Reason, Refused

MOST_FRAMES = 100_000
_MOST_PIXELS = 1 << 35  # of all frames together
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """Where the pixels of a frame lie, in the patient's axes (LPS) in mm.

    `position` is the first pixel's centre, `row` and `column` are the unit vectors along rows and columns, (3,)
    float64; `spacing` is (between rows, between columns), `depth` how thick a voxel is, 0 where that is not known.
    """

    position: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing: tuple[float, float]
    depth: float

    @property
    def normal(self) -> NDArray[np.float64]:
        """Return the unit normal, row x column, (3,) float64."""
        return np.cross(self.row, self.column)

    def to_patient(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `points`, (point, 2) float64 x, y in pixel-centre coordinates, as (point, 3) float64 in patient mm."""
        between_rows, between_columns = self.spacing
        along = np.outer(points[:, 0] * between_columns, self.row)
        return np.asarray(self.position + along + np.outer(points[:, 1] * between_rows, self.column))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SegFrame:
    """One frame of a segmentation: its number from 1, its segment (None: pixel values tell it), its grid and sources.

    `grid` is None where the header states no place. `sources` name the images, or frames, that it was made from.
    """

    number: int
    segment: int | None
    grid: Grid | None
    sources: tuple[PlaneKey, ...]


def frames_of(ds: Dataset, what: str) -> tuple[tuple[SegFrame, ...], tuple[Exclusion, ...]]:
    """Return the frames of the segmentation `ds`, and those whose header is broken.

    Refuses with NOT_A_PROMPT tiles of a slide, INVALID_HEADER where frames and functional groups differ in number, and
    LIMIT more frames than any segmentation has.
    """
    try:
        _check_no_slide(ds, what)
        groups = items(ds, "PerFrameFunctionalGroupsSequence")
        shared = first_item(ds, "SharedFunctionalGroupsSequence")
        labels = is_label_map(ds)
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"{type(error).__name__}: {error}") from error
    _check_count(ds, len(groups), what)
    frames: list[SegFrame] = []
    broken: list[Exclusion] = []
    for number, group in enumerate(groups, start=1):
        try:
            frames.append(_frame(number, _Groups(group, shared), labels=labels, what=f"{what}, frame {number}"))
        except Refused as error:
            broken.append(Exclusion.of(error))
    return tuple(frames), tuple(broken)


def is_label_map(ds: Dataset) -> bool:
    """Return whether a pixel's value is the number of its segment (PS3.3 C.8.20.2.3)."""
    return text(ds, "SegmentationType") == "LABELMAP"


def sources_in(holder: Dataset) -> Iterator[PlaneKey]:
    """Yield the images, or frames of them, that an item with DerivationImageSequence names (PS3.3 C.7.6.16.2.6)."""
    for derivation in items(holder, "DerivationImageSequence"):
        yield from planes_named(items(derivation, "SourceImageSequence"))


def planes_named(references: Iterable[Dataset]) -> Iterator[PlaneKey]:
    """Yield the images, or frames of them, that the items `references` name (PS3.3 10.3)."""
    for image in references:
        uid = text(image, "ReferencedSOPInstanceUID")
        if not uid:
            continue
        stated = text(image, "ReferencedFrameNumber")
        yield from (PlaneKey(Uid(uid), int(one) if one.isdecimal() else None) for one in stated.split("\\"))


class _Groups:
    """The functional groups of a frame: its own, else those that all frames share."""

    def __init__(self, group: Dataset, shared: Dataset) -> None:
        self._holders = (group, shared)

    def item(self, keyword: str) -> Dataset:
        """Return the item of the macro `keyword`, an empty one where there is none."""
        return first_item(self.holder(keyword), keyword)

    def holder(self, keyword: str) -> Dataset:
        """Return which of both has the macro `keyword`."""
        return next((one for one in self._holders if items(one, keyword)), Dataset())


def _check_count(ds: Dataset, groups: int, what: str) -> None:
    count, rows, columns = (
        (numbers(ds, keyword, 1, what) or (default,))[0]
        for keyword, default in (("NumberOfFrames", groups), ("Rows", 1), ("Columns", 1))
    )
    if count > MOST_FRAMES or count * rows * columns > _MOST_PIXELS:
        detail = f"{count:.0f} frames of {columns:.0f} x {rows:.0f} pixels"
        raise Refused(Reason.LIMIT, what, f"{detail}: at most {MOST_FRAMES}, of {_MOST_PIXELS} pixels, are read")
    if not groups or groups != count:
        raise Refused(Reason.INVALID_HEADER, what, f"{count:g} frames, {groups} functional groups")


def _check_no_slide(ds: Dataset, what: str) -> None:
    """Refuse a segmentation of a whole slide: its tiles lie on no patient (PS3.3 C.8.12.14)."""
    group = first_item(ds, "PerFrameFunctionalGroupsSequence")
    shared = first_item(ds, "SharedFunctionalGroupsSequence")
    tiled = text(ds, "DimensionOrganizationType").startswith("TILED")
    if tiled or "PlanePositionSlideSequence" in group or "PlanePositionSlideSequence" in shared:
        raise Refused(Reason.NOT_A_PROMPT, what, "a segmentation of a whole slide: its frames are tiles of the slide")


def _frame(number: int, groups: _Groups, *, labels: bool, what: str) -> SegFrame:
    try:
        return SegFrame(
            number=number,
            segment=None if labels else _segment(groups, what),
            grid=_grid(groups, what),
            sources=tuple(sources_in(groups.holder("DerivationImageSequence"))),
        )
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"{type(error).__name__}: {error}") from error


def _segment(groups: _Groups, what: str) -> int:
    number = numbers(groups.item("SegmentIdentificationSequence"), "ReferencedSegmentNumber", 1, what)
    if number is None:
        raise Refused(Reason.INVALID_HEADER, what, "it does not say which segment it is of")
    return int(number[0])


def _grid(groups: _Groups, what: str) -> Grid | None:
    """Return where the frame lies, None where position, orientation or spacing is not stated."""
    measures = groups.item("PixelMeasuresSequence")
    position = numbers(groups.item("PlanePositionSequence"), "ImagePositionPatient", 3, what)
    orientation = numbers(groups.item("PlaneOrientationSequence"), "ImageOrientationPatient", 6, what)
    spacing = numbers(measures, "PixelSpacing", 2, what)
    if position is None or orientation is None or spacing is None:
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    skew = max(abs(float(np.linalg.norm(one)) - 1) for one in (row, column))
    if max(skew, abs(float(row @ column))) > _UNIT_TOLERANCE or min(spacing) <= 0:
        detail = f"ImageOrientationPatient {orientation}, PixelSpacing {spacing}: no two unit vectors and distances"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    depths = (numbers(measures, keyword, 1, what) for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    depth = next((abs(one[0]) for one in depths if one and one[0]), 0.0)
    return Grid(position=np.array(position), row=row, column=column, spacing=(spacing[0], spacing[1]), depth=depth)
