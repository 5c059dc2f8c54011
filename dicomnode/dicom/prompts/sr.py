"""Read what a structured report shows on a stack: regions drawn on images or in the patient, or kept in a SEG."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.boxes import extent, square_on
from dicomnode.dicom.prompts.region import Codes, Drawn, Point, Region, Regions
from dicomnode.dicom.prompts.sr_groups import Group
from dicomnode.dicom.prompts.sr_placing import Ground, Placed
from dicomnode.dicom.prompts.sr_references import parsing, shown_groups, title_of
from dicomnode.domain import Annotation, Box, Exclusion, JobOptions, Stack, Uid
from dicomnode.errors import Reason, Refused

#: returns a segment of a SEG, by its number, as a region on the stack in question
ReadSegment = Callable[[int], Region]

_Drawing = TypeVar("_Drawing")
_BOTH = 2  # lines: the long and the short axis


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How a report is read: the options, what reads a segment of each SEG that is here, by its SOP Instance UID.

    `elsewhere` are the items of the regions that are another stack's.
    """

    options: JobOptions
    segments: Mapping[Uid, ReadSegment] = field(default_factory=dict)
    elsewhere: Collection[str] = ()


def regions_of_sr(ds: Dataset, annotation: Annotation, stack: Stack, way: Way) -> Regions:
    """Return the regions that the report `ds` describes on `stack`, and what of it gave none and why."""
    what = str(annotation.path)
    with parsing(what):
        ground = Ground(stack, what, swap_spacing=way.options.swap_spacing)
        groups = [group for group in shown_groups(ds, what) if group.item not in way.elsewhere]
        found = [(group, ground.place(group)) for group in groups]
    regions: list[Region] = []
    exclusions: list[Exclusion] = []
    for group, placed in found:
        maker = _Maker(group, placed, ground, way.options)
        try:
            made = maker.drawn() or maker.segmented(way.segments)
            if not made and not placed.exclusions:
                detail = f"none of the images that it is drawn on is a plane of stack {stack.key}"
                raise Refused(Reason.NO_IMAGES, title_of(group, what), detail)  # noqa: TRY301
            regions.extend(made)
        except Refused as error:
            placed.exclusions.append(Exclusion.of(error))
        exclusions.extend(placed.exclusions)
    return Regions(regions=tuple(regions), exclusions=tuple(exclusions))


class _Maker:
    """Makes the region of one group of what of it was placed."""

    def __init__(self, group: Group, placed: Placed, ground: Ground, options: JobOptions) -> None:
        self._group = group
        self._placed = placed
        self._ground = ground
        self._options = options
        self._what = title_of(group, ground.what)

    def drawn(self) -> list[Region]:
        """Return the region that coordinates draw, none where there are none on the stack; refuse what is no region."""
        placed = self._placed
        if self._group.measures_angle and (placed.lines or placed.extents):
            raise Refused(Reason.NOT_A_PROMPT, self._what, "an angle is no region")
        extents, outlines, how = dict(placed.extents), dict(placed.outlines), Drawn.OUTLINE
        if placed.lines and extents:
            placed.notes.append("measurement lines beside an outline are not used")
        elif placed.lines:
            extents, how = self._of_lines()
            outlines = {index: placed.lines[index] for index in extents}
        points = dict(placed.points) if extents else _joined(placed.points, placed.centres)
        if not extents and not points:
            return []
        return [self._region(extents, points, outlines, how)]

    def segmented(self, segments: Mapping[Uid, ReadSegment]) -> list[Region]:
        """Return the region that the group's segments make; those that give none are left out and told."""
        parts: list[Region] = []
        for segment in self._group.segments:
            what = f"{self._what}, segment {segment.number} of {segment.sop_instance_uid}"
            try:
                if segment.sop_instance_uid not in segments:
                    raise Refused(Reason.NO_IMAGES, what, "that segmentation is not here")  # noqa: TRY301
                part = segments[segment.sop_instance_uid](segment.number)
                parts.append(self._on_sources(part) if segment.on_sources else part)
            except Refused as error:
                self._placed.exclusions.append(Exclusion(what=what, reason=error.reason, detail=error.detail))
        return [self._joined(parts)] if parts else []

    def _region(
        self,
        extents: Mapping[int, list[Box]],
        points: Mapping[int, list[Point]],
        outlines: Mapping[int, list[NDArray[np.float64]]],
        how: Drawn,
    ) -> Region:
        group = self._group
        return Region(
            what=self._what,
            item=group.item,
            name=group.name,
            extents={index: tuple(boxes) for index, boxes in sorted(extents.items())},
            points={index: tuple(found) for index, found in sorted(points.items())},
            outlines={index: tuple(drawn) for index, drawn in sorted(outlines.items())},
            drawn=how,
            codes=group.codes,
            tracking_id=group.tracking_id,
            tracking_uid=group.tracking_uid,
            is_target=group.is_target,
            notes=tuple(dict.fromkeys(self._placed.notes)),
        )

    def _of_lines(self) -> tuple[dict[int, list[Box]], Drawn]:
        """Return the extents that measurement lines make: of both axes, or of a length where that is asked for."""
        lines = self._placed.lines
        both = {index: [extent(np.concatenate(found))] for index, found in lines.items() if len(found) >= _BOTH}
        if both:
            return both, Drawn.LINE
        if self._options.length_as_box:
            planes = self._ground.stack.planes
            self._placed.notes.append("a square round the middle of a length, its side as long")
            return {
                index: [extent(square_on(found[0], planes[index]))] for index, found in lines.items()
            }, Drawn.OUTLINE
        if not self._placed.points:
            detail = "a length says nothing of the other direction; length_as_box makes a square of it"
            raise Refused(Reason.NOT_A_PROMPT, self._what, detail)
        return {}, Drawn.OUTLINE

    def _on_sources(self, part: Region) -> Region:
        """Return `part` on the planes that the group names; whole where it names none of the stack."""
        named = set(self._ground.planes_named(self._group.sources, self._what))
        here = {index: boxes for index, boxes in part.extents.items() if index in named}
        return replace(part, extents=here) if here else part

    def _joined(self, parts: list[Region]) -> Region:
        """Return the regions of the segments as one, with their names and codes where the report has none of its own.

        The segment's own name and codes say what it is; the report's tracking identifiers stay linked to the numbers.
        """
        first, group = parts[0], self._group
        extents = _joined(*(part.extents for part in parts))
        stated = first.codes if first.codes.type else group.codes
        merged = Codes(
            category=stated.category,
            type=stated.type,
            modifiers=stated.modifiers or group.codes.modifiers,
            sites=stated.sites or group.codes.sites,
        )
        self._placed.notes.extend(note for part in parts for note in part.notes)
        outlines = _joined(*(part.outlines for part in parts))
        region = self._region(extents, {}, outlines, Drawn.OUTLINE)
        return replace(
            region,
            name=first.name or group.name,
            codes=merged,
            colour=first.colour,
            tracking_id=region.tracking_id or first.tracking_id,
            tracking_uid=region.tracking_uid or first.tracking_uid,
        )


def _joined(*parts: Mapping[int, Iterable[_Drawing]]) -> dict[int, list[_Drawing]]:
    joined: dict[int, list[_Drawing]] = defaultdict(list)
    for part in parts:
        for index, found in part.items():
            joined[index].extend(found)
    return joined
