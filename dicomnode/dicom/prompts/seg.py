"""Read the segments of a segmentation: the extents of their masks on the planes of a stack (PS3.3 A.51)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.islands import islands
from dicomnode.dicom.prompts.region import Region, Regions
from dicomnode.dicom.prompts.seg_descriptions import codes_of, colour_of, segments_of, tracking_uid_of
from dicomnode.dicom.prompts.seg_frames import SegFrame, frames_of, is_label_map
from dicomnode.dicom.prompts.seg_masks import on_plane
from dicomnode.dicom.prompts.seg_planes import Ground, Placed, SourceIndex
from dicomnode.dicom.reading import numbers, text
from dicomnode.domain import Annotation, Box, Exclusion, JobOptions, Stack
from dicomnode.errors import Reason, Refused

#: returns the stored values of a frame, counted from 1: (row, column) integers
StoredFrame = Callable[[int], NDArray[np.integer[Any]]]

Keep = Callable[[int, NDArray[np.bool_], SegFrame, Placed], None]

_EXAMPLES = 3  # of what was left out, in one sentence


def regions_of_seg(
    ds: Dataset,
    stored: StoredFrame,
    annotation: Annotation,
    stack: Stack,
    options: JobOptions,
    elsewhere: Collection[str] = (),
) -> Regions:
    """Return the segments of `ds` whose masks lie on `stack`, and what gave none and why; `stored` has its pixels.

    Those whose numbers are `elsewhere` are another stack's. The islands of a mask have extents of their own where
    components are to be split. Refuses with FOR_MISMATCH, and with what `references_of_seg` refuses.
    """
    what = str(annotation.path)
    found = _Reading(ds, stack, what)
    wanted = [number for number in found.segments if str(number) not in elsewhere]
    frames = [one for one in found.frames if one.segment is None or str(one.segment) not in elsewhere]
    found.read(stored, frames, split=options.split_components)
    regions: list[Region] = []
    exclusions = [*found.broken, *found.unreadable()]
    for number in wanted:
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


#: the masks of one region: plane index -> (row, column) bool
PlaneMasks = dict[int, NDArray[np.bool_]]


def masks_of_seg(
    ds: Dataset, stored: StoredFrame, stack: Stack, elsewhere: Collection[str], what: str
) -> tuple[list[tuple[str, PlaneMasks]], tuple[Exclusion, ...]]:
    """Return each segment's name and its pixels on the planes of `stack`, and what gave none and why.

    A frame with other pixels than the plane's gives the nearest of its own; one that runs across the planes gives none
    (NOT_REGULAR). Segments whose numbers are `elsewhere` are left out. Refuses with what `regions_of_seg` refuses.
    """
    found = _Reading(ds, stack, what)
    wanted = [number for number in found.segments if str(number) not in elsewhere]
    kept: dict[int, PlaneMasks] = defaultdict(dict)

    def keep(number: int, mask: NDArray[np.bool_], frame: SegFrame, placed: Placed) -> None:
        grid = None if placed.pixelwise else frame.grid
        for index in () if placed.oblique else placed.extents:
            here = on_plane(mask, grid, stack.planes[index])
            kept[number][index] = here | kept[number].get(index, np.False_)

    found.read(stored, [one for one in found.frames if one.segment in {None, *wanted}], split=False, keep=keep)
    masks: list[tuple[str, PlaneMasks]] = []
    exclusions = [*found.broken, *found.unreadable()]
    for number in wanted:
        try:
            region = found.region(number)
            exclusions.extend(found.left_out(number))
            if not kept[number]:
                detail = "its frames run across the planes"
                raise Refused(Reason.NOT_REGULAR, region.what, detail)  # noqa: TRY301
            masks.append((region.name or f"segment {number}", kept[number]))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return masks, (*exclusions, *found.nameless())


@dataclass(slots=True)
class _Found:
    """What the frames of one segment gave so far."""

    extents: dict[int, list[Box]] = field(default_factory=lambda: defaultdict(list))
    drawn: int = 0
    oblique: int = 0
    contrary: int = 0
    off: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """Yield what is to be said of how the frames were placed."""
        if self.oblique:
            yield f"{self.oblique} frames run across the planes: the extent of the voxels that each plane crosses"
        if self.contrary:
            yield f"{self.contrary} frames name other images than those that they lie on: their place counts"


class _Reading:
    """Reads the masks of a segmentation on one stack."""

    def __init__(self, ds: Dataset, stack: Stack, what: str) -> None:
        every, self.broken = frames_of(ds, what)
        self.segments = dict(segments_of(ds, what))
        self._what = what
        self._stack = stack
        self._index = SourceIndex(stack)
        named = [bool(self._index.planes(frame.sources)) for frame in every]
        self._notes = _check_frame_of_reference(ds, stack, what, names_a_plane=any(named))
        self._ground = Ground(stack, every, is_foreign=bool(self._notes))
        # a frame made from other images, among some made from these, is another stack's
        self.frames = [one for one, here in zip(every, named, strict=True) if here or not (any(named) and one.sources)]
        if len(self.frames) < len(every):
            self._notes.append(f"{len(every) - len(self.frames)} of {len(every)} frames are made from other images")
        self._elsewhere = Counter(one.segment for one in every) - Counter(one.segment for one in self.frames)
        self._masks = _masks_by(ds, what)
        self._found: dict[int, _Found] = defaultdict(_Found)
        self._unreadable: list[Refused] = []

    def read(self, stored: StoredFrame, frames: Iterable[SegFrame], *, split: bool, keep: Keep | None = None) -> None:
        """Place the masks in `frames`, whose pixels `stored` has; with `split` each island by itself.

        `keep` is told of each (its segment, the mask, its frame, where it lies).
        """
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
                parts = islands(mask) if split else [mask]
                for part, placed in zip(parts, self._place(number, parts, frame), strict=True):
                    if keep:
                        keep(number, part, frame, placed)

    def region(self, number: int) -> Region:
        """Return segment `number`, or refuse it."""
        item, found = self.segments[number], self._found[number]
        title = self._title(number)
        if not found.drawn and self._elsewhere[number]:
            detail = (
                f"its {self._elsewhere[number]} frames are made from images that are not of stack {self._stack.key}"
            )
            raise Refused(Reason.NO_IMAGES, title, detail)
        if not found.drawn:
            raise Refused(Reason.NOT_A_PROMPT, title, "its mask is empty")
        if not found.extents:
            raise Refused(Reason.CONTOUR_OFF_STACK, title, self.left_out(number)[0].detail)
        return Region(
            what=title,
            item=str(number),
            name=text(item, "SegmentLabel"),
            extents={index: tuple(boxes) for index, boxes in sorted(found.extents.items())},
            codes=codes_of(item),
            colour=colour_of(item),
            tracking_id=text(item, "TrackingID") or None,
            tracking_uid=tracking_uid_of(item, title),
            notes=(*self._notes, *found.notes()),
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

    def _place(self, number: int, masks: Iterable[NDArray[np.bool_]], frame: SegFrame) -> list[Placed]:
        found = self._found[number]
        found.drawn += 1
        named = self._index.planes(frame.sources)
        placed = [self._ground.place(mask, frame, named) for mask in masks]
        found.oblique += placed[0].oblique
        found.contrary += bool(named and placed[0].extents) and placed[0].extents.keys().isdisjoint(named)
        for index, box in (pair for one in placed for pair in one.extents.items()):
            found.extents[index].append(box)
        if placed[0].trouble:
            found.off.append(f"frame {frame.number}: {placed[0].trouble}")
        return placed


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
