"""Place the graphics of a report on the planes of a stack (PS3.3 C.18.6, C.18.9)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.graphics import OUTER_CORNER, extent_of, points_in
from dicomnode.dicom.prompts.region import Point
from dicomnode.dicom.prompts.solids import Graphic, sections
from dicomnode.dicom.prompts.sr_groups import CENTER, VOLUME_SURFACE, Group
from dicomnode.dicom.prompts.sr_tree import ContentItem
from dicomnode.dicom.reading import text
from dicomnode.domain import Box, Exclusion, Plane, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused

Line = NDArray[np.float64]  # (2, 2) float64: x, y of both ends in pixel-centre coordinates

_BOUNDING = frozenset({"ELLIPSOID", "ELLIPSE", "POLYGON", "CIRCLE"})  # graphics that can bound a volume
_SAME_SPACING = 1e-3  # relative
_WRITES_WRONG_SPACING = "Cornerstone3DTools@"


@dataclass(kw_only=True, slots=True)
class Placed:
    """What of one group lies where, by plane index: boxes, measurement lines, single points, centres of outlines."""

    extents: dict[int, list[Box]] = field(default_factory=lambda: defaultdict(list))
    lines: dict[int, list[Line]] = field(default_factory=lambda: defaultdict(list))
    points: dict[int, list[Point]] = field(default_factory=lambda: defaultdict(list))
    centres: dict[int, list[Point]] = field(default_factory=lambda: defaultdict(list))
    outlines: dict[int, list[NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)


class Ground:
    """A stack to place graphics on, with its planes by the images they come from."""

    def __init__(self, stack: Stack, what: str, *, swap_spacing: bool) -> None:
        self.stack = stack
        self.what = what
        self._swap_spacing = swap_spacing
        self._planes: dict[Uid, dict[int | None, int]] = defaultdict(dict)
        for index, plane in enumerate(stack.planes):
            self._planes[plane.key.sop_instance_uid][plane.key.frame] = index

    def place(self, group: Group) -> Placed:
        """Return where the graphics of `group` lie; one that is broken leaves the others alone."""
        placed = Placed(notes=list(group.notes))
        for item, keys in group.graphics:
            what = f"{self.what} item {item.path}"
            try:
                if item.value_type == "SCOORD":
                    self._place_on_images(item, keys, group, placed)
                else:
                    self._place_in_patient(item, group, placed, what)
            except Refused as error:
                placed.exclusions.append(Exclusion.of(error))
            except ValueError as error:
                placed.exclusions.append(Exclusion(what=what, reason=Reason.BAD_CONTOUR, detail=str(error)))
        return placed

    def planes_named(self, keys: tuple[PlaneKey, ...], what: str) -> Iterator[int]:
        """Yield the indices of the planes that `keys` name; an image without frame number must have one frame."""
        for uid, frame in keys:
            frames = self._planes.get(uid, {})
            if frame in frames:
                yield frames[frame]
            elif frame == 1 and None in frames:  # some number the only frame of an image that has no frames
                yield frames[None]
            elif frame is None and frames:
                if frames.keys() != {1}:
                    detail = f"it names image {uid} without a frame number, and that has several frames"
                    raise Refused(Reason.NO_BOX, what, detail)
                yield frames[1]

    def _place_on_images(self, item: ContentItem, keys: tuple[PlaneKey, ...], group: Group, placed: Placed) -> None:
        what = f"{self.what} item {item.path}"
        if not keys:
            raise Refused(Reason.NO_IMAGES, what, "it names no image that it was drawn on")
        indices = list(self.planes_named(keys, what))
        points = points_in(item.ds, 2) - OUTER_CORNER if indices else np.empty((0, 2))
        for index in indices:
            scale, notes = self._scale(self.stack.planes[index], group)
            placed.notes.extend(note for note in notes if note not in placed.notes)
            _draw(placed, index, (text(item.ds, "GraphicType"), points * scale), item, group)

    def _place_in_patient(self, item: ContentItem, group: Group, placed: Placed, what: str) -> None:
        stated, stack = text(item.ds, "ReferencedFrameOfReferenceUID"), self.stack
        if stack.frame_of_reference_uid is None:
            detail = f"it is a place in the patient in mm, and the images of stack {stack.key} have no place"
            raise Refused(Reason.NO_GEOMETRY, what, detail)
        if stated != stack.frame_of_reference_uid:
            detail = f"frame of reference {stated or 'absent'}, the images' is {stack.frame_of_reference_uid}"
            raise Refused(Reason.FOR_MISMATCH, what, detail)
        graphic_type = text(item.ds, "GraphicType")
        if item.concept == VOLUME_SURFACE and graphic_type not in _BOUNDING:
            raise Refused(
                Reason.NO_BOX, what, f"a Volume Surface of {graphic_type} is not supported: it bounds nothing"
            )
        found = sections(graphic_type, points_in(item.ds, 3), stack, what)
        placed.notes.extend(f"item {item.path}: {note}" for note in found.notes)
        for index, graphics in found.planes.items():
            for graphic in graphics:
                _draw(placed, index, graphic, item, group)

    def _scale(self, plane: Plane, group: Group) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return what coordinates on `plane` are to be multiplied by, (2,) float64, and notes.

        Cornerstone divides the way along a row by the distance of rows, and that down a column by that of columns.
        """
        rows, columns = plane.spacing
        alike = abs(rows - columns) <= _SAME_SPACING * max(rows, columns)
        if alike or not (group.tracking_id or "").startswith(_WRITES_WRONG_SPACING):
            return np.ones(2), ()
        if self._swap_spacing:
            return np.array([rows / columns, columns / rows]), ("coordinates read with the pixel spacings swapped",)
        note = f"pixels of {rows:g} x {columns:g} mm: some versions of this viewer swap the two, see swap_spacing"
        return np.ones(2), (note,)


def _draw(placed: Placed, index: int, graphic: Graphic, item: ContentItem, group: Group) -> None:
    graphic_type, points = graphic
    if group.tool == "ArrowAnnotate":  # its tip is what it shows
        graphic_type, points = "POINT", points[:1]
    distinct = np.unique(points, axis=0)
    if graphic_type == "POLYLINE" and len(distinct) <= 2:  # noqa: PLR2004
        if len(distinct) < 2:  # noqa: PLR2004
            raise ValueError("POLYLINE of one and the same point")
        placed.lines[index].append(distinct)
        return
    shape = extent_of(graphic_type, points)
    if shape.extent:
        placed.extents[index].append(shape.extent)
        placed.outlines[index].append(shape.outline)
    else:
        (placed.centres if item.concept == CENTER else placed.points)[index].extend(shape.points)
