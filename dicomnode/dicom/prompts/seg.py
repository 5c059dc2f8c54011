"""Read the segments of a segmentation: the extents of their masks on the planes of a stack (PS3.3 A.51)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.islands import islands
from dicomnode.dicom.prompts.region import References, Region, Regions
from dicomnode.dicom.prompts.seg_descriptions import codes_of, colour_of, tracking_uid_of
from dicomnode.dicom.prompts.seg_frames import SegFrame, frames_of, is_label_map, planes_named
from dicomnode.dicom.prompts.seg_planes import SourceIndex, place
from dicomnode.dicom.reading import PARSER_ERRORS, items, numbers, text
from dicomnode.domain import Annotation, Box, Exclusion, JobOptions, Stack, Uid, Vector
from dicomnode.errors import Reason, Refused

#: returns the stored values of a frame, counted from 1: (row, column) integers
StoredFrame = Callable[[int], NDArray[np.integer[Any]]]

_MOST_SAMPLES = 200
_EXAMPLES = 3  # of what was left out, in one sentence


def references_of_seg(ds: Dataset, what: str) -> References:
    """Return which images the segmentation `ds` was made from, its series and frame of reference, and places in it.

    Where no frame names an image, those that the object lists count once each. Refuses with NOT_A_PROMPT the
    segmentation of a whole slide, INVALID_HEADER and LIMIT.
    """
    frames, _ = frames_of(ds, what)
    try:
        return _references(ds, frames, what)
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"{type(error).__name__}: {error}") from error


def _references(ds: Dataset, frames: Sequence[SegFrame], what: str) -> References:
    series = items(ds, "ReferencedSeriesSequence")
    named = Counter(source for frame in frames for source in frame.sources)
    listed = Counter(plane for one in series for plane in planes_named(items(one, "ReferencedInstanceSequence")))
    made_from = Counter(planes_named(items(ds, "SourceImageSequence")))
    frame_of_reference = text(ds, "FrameOfReferenceUID")
    return References(
        planes=dict(named or listed or made_from),
        series=tuple(dict.fromkeys(Uid(uid) for one in series if (uid := text(one, "SeriesInstanceUID")))),
        frames_of_reference=(Uid(frame_of_reference),) if frame_of_reference else (),
        samples=tuple(_samples(ds, frames, what)),
    )


def regions_of_seg(
    ds: Dataset, stored: StoredFrame, annotation: Annotation, stack: Stack, options: JobOptions
) -> Regions:
    """Return the segments of `ds` whose masks lie on `stack`, and what gave none and why; `stored` has its pixels.

    The islands of a mask have extents of their own where components are to be split. Refuses with FOR_MISMATCH, and
    with what `references_of_seg` refuses.
    """
    what = str(annotation.path)
    found = _Reading(ds, stack, what)
    found.read(stored, found.frames, split=options.split_components)
    regions: list[Region] = []
    exclusions = [*found.broken, *found.unreadable()]
    for number in found.segments:
        try:
            regions.append(found.region(number))
            exclusions.extend(found.left_out(number))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    exclusions.extend(found.nameless())
    return Regions(regions=tuple(regions), exclusions=tuple(exclusions))


def region_of_segment(ds: Dataset, stored: StoredFrame, number: int, stack: Stack, what: str) -> Region:
    """Return segment `number` of `ds` on `stack`; frames of it that gave nothing are among its notes.

    Refuses with NO_BOX where there is no such segment or its mask is empty, CONTOUR_OFF_STACK where it lies on no
    plane, and with what `regions_of_seg` refuses.
    """
    found = _Reading(ds, stack, what)
    if number not in found.segments:
        raise Refused(Reason.NO_BOX, what, f"it has no segment {number}")
    found.read(stored, [frame for frame in found.frames if frame.segment in {None, number}], split=False)
    region = found.region(number)
    notes = [one.detail for one in (*found.unreadable(), *found.left_out(number))]
    return replace(region, notes=(*region.notes, *notes))


def _samples(ds: Dataset, frames: Sequence[SegFrame], what: str) -> Iterator[Vector]:
    """Yield the middles of some frames, in patient mm."""
    rows, columns = ((numbers(ds, keyword, 1, what) or (1.0,))[0] for keyword in ("Rows", "Columns"))
    middle = np.array([[(columns - 1) / 2, (rows - 1) / 2]])
    grids = [frame.grid for frame in frames if frame.grid]
    for grid in grids[:: max(1, -(-len(grids) // _MOST_SAMPLES))]:
        x, y, z = (float(value) for value in grid.to_patient(middle)[0])
        yield x, y, z


@dataclass(slots=True)
class _Found:
    """What the frames of one segment gave so far."""

    extents: dict[int, list[Box]] = field(default_factory=lambda: defaultdict(list))
    drawn: int = 0
    oblique: int = 0
    off: list[str] = field(default_factory=list)


class _Reading:
    """Reads the masks of a segmentation on one stack."""

    def __init__(self, ds: Dataset, stack: Stack, what: str) -> None:
        every, self.broken = frames_of(ds, what)
        self.segments = dict(_segments(ds, what))
        self._what = what
        self._stack = stack
        self._index = SourceIndex(stack)
        named = [bool(self._index.planes(frame.sources)) for frame in every]
        self._notes = _check_frame_of_reference(ds, stack, what, names_a_plane=any(named))
        # a frame made from other images, among some made from these, is another stack's
        self.frames = [one for one, here in zip(every, named, strict=True) if here or not (any(named) and one.sources)]
        if len(self.frames) < len(every):
            self._notes.append(f"{len(every) - len(self.frames)} of {len(every)} frames are made from other images")
        self._masks = _masks_by(ds, what)
        self._found: dict[int, _Found] = defaultdict(_Found)
        self._unreadable: list[Refused] = []

    def read(self, stored: StoredFrame, frames: Iterable[SegFrame], *, split: bool) -> None:
        """Place the masks in `frames`, whose pixels `stored` has; with `split` each island by itself."""
        for frame in frames:
            title = f"{self._what}, frame {frame.number}"
            try:
                values = stored(frame.number)
                if values.ndim != 2:  # noqa: PLR2004
                    raise Refused(Reason.INVALID_HEADER, title, "its pixels are colours, not numbers")  # noqa: TRY301
            except Refused as error:
                self._unreadable.append(error)
                continue
            for number, mask in self._masks(frame, values):
                self._place(number, islands(mask) if split else [mask], frame)

    def region(self, number: int) -> Region:
        """Return segment `number`, or refuse it."""
        item, found = self.segments[number], self._found[number]
        title = self._title(number)
        if not found.drawn:
            raise Refused(Reason.NOT_A_PROMPT, title, "its mask is empty")
        if not found.extents:
            raise Refused(Reason.CONTOUR_OFF_STACK, title, self.left_out(number)[0].detail)
        oblique = f"{found.oblique} frames run across the planes: the extent of the voxels that each plane crosses"
        return Region(
            what=title,
            item=str(number),
            name=text(item, "SegmentLabel"),
            extents={index: tuple(boxes) for index, boxes in sorted(found.extents.items())},
            codes=codes_of(item),
            colour=colour_of(item),
            tracking_id=text(item, "TrackingID") or None,
            tracking_uid=tracking_uid_of(item, title),
            notes=(*self._notes, *((oblique,) if found.oblique else ())),
        )

    def left_out(self, number: int) -> tuple[Exclusion, ...]:
        """Return the frames of segment `number` that lie on no plane, as one exclusion or none."""
        found = self._found[number]
        if not found.off:
            return ()
        detail = f"{len(found.off)} of {found.drawn} frames lie on no plane: {'; '.join(found.off[:_EXAMPLES])}"
        return (Exclusion(what=self._title(number), reason=Reason.CONTOUR_OFF_STACK, detail=detail),)

    def unreadable(self) -> Iterator[Exclusion]:
        """Yield one exclusion for each reason why frames could not be read."""
        for reason, count in Counter(error.reason for error in self._unreadable).items():
            first = next(error for error in self._unreadable if error.reason is reason)
            yield Exclusion(what=self._what, reason=reason, detail=f"{count} frames cannot be read: {first.detail}")

    def nameless(self) -> Iterator[Exclusion]:
        """Yield the segments that have frames and no description."""
        detail = "it has frames, and SegmentSequence does not describe it"
        for number in sorted(self._found.keys() - self.segments.keys()):
            yield Exclusion(what=f"{self._what} segment {number}", reason=Reason.INVALID_HEADER, detail=detail)

    def _title(self, number: int) -> str:
        return f"{self._what} segment {number} {text(self.segments[number], 'SegmentLabel')!r}"

    def _place(self, number: int, masks: Iterable[NDArray[np.bool_]], frame: SegFrame) -> None:
        found = self._found[number]
        found.drawn += 1
        named = self._index.planes(frame.sources)
        placed = [place(mask, frame, self._stack, named) for mask in masks]
        found.oblique += placed[0].oblique
        for index, box in (pair for one in placed for pair in one.extents.items()):
            found.extents[index].append(box)
        if placed[0].trouble:
            found.off.append(f"frame {frame.number}: {placed[0].trouble}")


def _segments(ds: Dataset, what: str) -> Iterator[tuple[int, Dataset]]:
    """Yield the number and description of each segment; in a label map, 0 is the background (PS3.3 C.8.20.4)."""
    try:
        described = items(ds, "SegmentSequence")
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"SegmentSequence: {type(error).__name__}: {error}") from error
    for item in described:
        number = numbers(item, "SegmentNumber", 1, f"{what}, SegmentSequence")
        if number is not None and not (is_label_map(ds) and number[0] == 0):
            yield int(number[0]), item


def _check_frame_of_reference(ds: Dataset, stack: Stack, what: str, *, names_a_plane: bool) -> list[str]:
    """Return the note on another frame of reference than the stack's; refuse it unless a frame names an image of it."""
    stated = text(ds, "FrameOfReferenceUID")
    if stack.frame_of_reference_uid is None or stated == stack.frame_of_reference_uid:
        return []
    detail = f"frame of reference {stated or 'absent'}, the images' is {stack.frame_of_reference_uid}"
    if not names_a_plane:
        raise Refused(Reason.FOR_MISMATCH, what, f"{detail}, and no frame names an image of the stack")
    return [f"FOR_OVERRIDDEN: {detail}; its frames name the images"]


_Masks = Iterator[tuple[int, NDArray[np.bool_]]]


def _masks_by(ds: Dataset, what: str) -> Callable[[SegFrame, NDArray[np.integer[Any]]], _Masks]:
    """Return what cuts the stored values of a frame into segment numbers and masks, (row, column) bool, none empty."""
    background = (numbers(ds, "PixelPaddingValue", 1, what) or (0.0,))[0] if is_label_map(ds) else 0.0
    fractional = text(ds, "SegmentationType") == "FRACTIONAL"
    whole = (numbers(ds, "MaximumFractionalValue", 1, what) or (255.0,))[0] if fractional else 1.0
    half = max(whole / 2, 1.0) if fractional else 1.0

    def masks(frame: SegFrame, values: NDArray[np.integer[Any]]) -> _Masks:
        if frame.segment is not None:
            mask = values >= half
            if mask.any():
                yield frame.segment, mask
            return
        for number in np.unique(values[values > 0]):
            if number != background:
                yield int(number), values == number

    return masks
