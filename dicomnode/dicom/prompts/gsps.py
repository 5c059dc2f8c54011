"""Read the graphics of a presentation state: what is drawn on the images that it names (PS3.3 C.10.5)."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.boxes import square_on
from dicomnode.dicom.prompts.graphics import OUTER_CORNER, Shape, extent_of, points_in
from dicomnode.dicom.prompts.region import References, Region, Regions
from dicomnode.dicom.prompts.seg_frames import planes_named
from dicomnode.dicom.prompts.seg_planes import SourceIndex
from dicomnode.dicom.reading import PARSER_ERRORS, items, numbers, text
from dicomnode.domain import Annotation, Exclusion, JobOptions, Plane, PlaneKey, Reference, RegionFacts, Stack, Uid
from dicomnode.errors import Reason, Refused

_MOST_DRAWN = 100_000  # graphics, each counted on every image that it is drawn on
_ENCLOSING = 3  # points: a curve of fewer encloses nothing
_CURVES = frozenset({"POLYLINE", "INTERPOLATED"})
# compound graphics between two corners: the simple graphic, and how far its points lie on the way to the other corner
_CORNERS = {
    "RECTANGLE": ("POLYLINE", ((0, 0), (1, 0), (1, 1), (0, 1))),
    "ELLIPSE": ("ELLIPSE", ((0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1))),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Graphic:
    """One graphic: its item, its type, its text, and the images, or frames of them, that it is drawn on."""

    what: str
    item: str
    ds: Dataset
    type: str
    units: str
    label: str
    planes: tuple[PlaneKey, ...]
    is_compound: bool


def references_of_gsps(ds: Dataset, what: str) -> References:
    """Return which images the graphics of the presentation state `ds` are drawn on, and the series it lists.

    Refuses with NOT_A_PROMPT one without graphics, with LIMIT more graphics than anybody draws.
    """
    graphics = _graphics(ds, what)
    if not graphics:
        raise Refused(Reason.NOT_A_PROMPT, what, "a presentation state without graphics")
    stated = (text(one, "SeriesInstanceUID") for one in items(ds, "ReferencedSeriesSequence"))
    series = tuple(dict.fromkeys(Uid(uid) for uid in stated if uid))
    return References(
        planes=dict(Counter(plane for graphic in graphics for plane in graphic.planes)),
        series=series,
        regions=tuple(
            RegionFacts(
                item=graphic.item,
                what=graphic.what.removeprefix(f"{what} "),
                references=tuple(Reference(*one) for one in Counter(graphic.planes).items()),
                series=series,
            )
            for graphic in graphics
        ),
    )


def regions_of_gsps(
    ds: Dataset, annotation: Annotation, stack: Stack, options: JobOptions, elsewhere: Collection[str] = ()
) -> Regions:
    """Return the graphics of `ds` that are drawn on planes of `stack`, and those that show no region and why.

    Those whose items are `elsewhere` are another stack's. Refuses what `references_of_gsps` refuses.
    """
    index = SourceIndex(stack)
    regions: list[Region] = []
    exclusions: list[Exclusion] = []
    for graphic in (one for one in _graphics(ds, str(annotation.path)) if one.item not in elsewhere):
        planes = index.planes(graphic.planes)
        if not planes:
            detail = f"none of the images that it is drawn on is a plane of stack {stack.key}"
            exclusions.append(Exclusion(what=graphic.what, reason=Reason.NO_IMAGES, detail=detail))
            continue
        try:
            regions.append(_region(graphic, planes, ds, (stack, options)))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return Regions(regions=tuple(regions), exclusions=tuple(exclusions))


def _graphics(ds: Dataset, what: str) -> list[_Graphic]:
    """Return all graphics; what only renders a compound graphic in simple ones is none of its own."""
    found: list[_Graphic] = []
    try:
        series = items(ds, "ReferencedSeriesSequence")
        every = tuple(plane for one in series for plane in planes_named(items(one, "ReferencedImageSequence")))
        for number, annotation in enumerate(items(ds, "GraphicAnnotationSequence"), start=1):
            planes = tuple(planes_named(items(annotation, "ReferencedImageSequence"))) or every
            found.extend(_graphics_in(annotation, f"{number}", planes, what))
    except PARSER_ERRORS as error:
        raise Refused(Reason.UNREADABLE, what, f"{type(error).__name__}: {error}") from error
    drawn = sum(len(graphic.planes) for graphic in found)
    if max(drawn, len(found)) > _MOST_DRAWN:
        detail = f"{len(found)} graphics on {drawn} images together: at most {_MOST_DRAWN} are read"
        raise Refused(Reason.LIMIT, what, detail)
    return found


def _graphics_in(annotation: Dataset, item: str, planes: tuple[PlaneKey, ...], what: str) -> Iterator[_Graphic]:
    compounds = items(annotation, "CompoundGraphicSequence")
    rendered = {text(one, "CompoundGraphicInstanceID") for one in compounds} - {""}
    simple = [one for one in items(annotation, "GraphicObjectSequence") if _instance(one) not in rendered]
    texts = items(annotation, "TextObjectSequence")
    every = [*((one, False) for one in simple), *((one, True) for one in compounds)]
    for number, (graphic, is_compound) in enumerate(every, start=1):
        kind = text(graphic, "CompoundGraphicType" if is_compound else "GraphicType")
        yield _Graphic(
            what=f"{what} graphic {item}.{number} {kind}",
            item=f"{item}.{number}",
            ds=graphic,
            type=kind,
            units=text(graphic, "CompoundGraphicUnits" if is_compound else "GraphicAnnotationUnits"),
            label=_label(graphic, texts),
            planes=planes,
            is_compound=is_compound,
        )


def _instance(graphic: Dataset) -> str:
    return text(graphic, "CompoundGraphicInstanceID")


def _label(graphic: Dataset, texts: Sequence[Dataset]) -> str:
    """Return the texts that belong to `graphic` by their group, else all of its annotation, in one line."""
    group = text(graphic, "GraphicGroupID")
    grouped = [one for one in texts if group and text(one, "GraphicGroupID") == group]
    return " ".join(word for one in grouped or texts for word in text(one, "UnformattedTextValue").split())


def _region(graphic: _Graphic, planes: Sequence[int], ds: Dataset, around: tuple[Stack, JobOptions]) -> Region:
    """Return what `graphic` draws on `planes` of a stack, which are of one size, so that it is the same on each."""
    stack, options = around
    try:
        _check_units(graphic, ds, [stack.planes[index] for index in planes])
        shape = _shape(graphic, stack.planes[planes[0]], options)
    except PARSER_ERRORS as error:
        raise Refused(Reason.BAD_CONTOUR, graphic.what, str(error)) from error
    return Region(
        what=graphic.what,
        item=graphic.item,
        name=graphic.label,
        extents=dict.fromkeys(planes, (shape.extent,)) if shape.extent else {},
        points=dict.fromkeys(planes, shape.points) if shape.points else {},
        outlines=dict.fromkeys(planes, (shape.outline,)) if shape.extent else {},
        notes=("a square round the middle of a line, its side as long",) if _is_line(graphic) else (),
    )


def _shape(graphic: _Graphic, plane: Plane, options: JobOptions) -> Shape:
    """Return what `graphic` draws on `plane`; raise ValueError where that is nothing."""
    points = _in_pixels(points_in(graphic.ds, 2), graphic, plane)
    if graphic.is_compound:
        return _compound(points, graphic, plane)
    if _is_line(graphic):
        if not options.length_as_box:
            raise Refused(Reason.NOT_A_PROMPT, graphic.what, "a line of two points encloses nothing")
        return extent_of("POLYLINE", square_on(points, plane))
    return extent_of(graphic.type, points)


def _is_line(graphic: _Graphic) -> bool:
    return not graphic.is_compound and graphic.type in _CURVES and len(points_in(graphic.ds, 2)) < _ENCLOSING


def _compound(points: NDArray[np.float64], graphic: _Graphic, plane: Plane) -> Shape:
    """Return the rectangle or ellipse between two corners, turned about a point (PS3.3 C.10.5.1.3)."""
    if graphic.type not in _CORNERS:
        raise Refused(Reason.NOT_A_PROMPT, graphic.what, "a compound graphic that encloses nothing")
    if len(points) != 2:  # noqa: PLR2004
        raise ValueError(f"{graphic.type} of {len(points)} points: 2 wanted")
    kind, steps = _CORNERS[graphic.type]
    drawn = points[0] + np.array(steps) * (points[1] - points[0])
    angle = numbers(graphic.ds, "RotationAngle", 1, graphic.what)
    about = numbers(graphic.ds, "RotationPoint", 2, graphic.what)
    if angle and angle[0] and about:
        (centre,) = _in_pixels(np.array([about]), graphic, plane)
        cos, sin = np.cos(np.radians(angle[0])), np.sin(np.radians(angle[0]))
        drawn = centre + (drawn - centre) @ np.array([[cos, -sin], [sin, cos]])  # anticlockwise, y pointing down
    return extent_of(kind, drawn)


def _in_pixels(points: NDArray[np.float64], graphic: _Graphic, plane: Plane) -> NDArray[np.float64]:
    """Return `points`, (point, 2) float64 in the units of `graphic`, in pixel-centre coordinates of `plane`."""
    rows, columns = plane.stored.shape[:2]
    scale = (columns, rows) if graphic.units == "DISPLAY" else (1, 1)
    return np.asarray(points * np.array(scale) - OUTER_CORNER, dtype=np.float64)


def _check_units(graphic: _Graphic, ds: Dataset, planes: Sequence[Plane]) -> None:
    """Refuse graphics in parts of a displayed area that is not the image as it is (PS3.3 C.10.4, C.10.6)."""
    if graphic.units == "PIXEL":
        return
    if graphic.units != "DISPLAY":
        raise Refused(Reason.NOT_A_PROMPT, graphic.what, f"its units are {graphic.units!r}: PIXEL and DISPLAY are read")
    turned = (numbers(ds, "ImageRotation", 1, graphic.what) or (0.0,))[0]
    if turned or text(ds, "ImageHorizontalFlip") == "Y" or not all(_is_shown_whole(ds, plane) for plane in planes):
        detail = "its units are DISPLAY, and what is displayed is not the whole image as it is"
        raise Refused(Reason.NO_GEOMETRY, graphic.what, detail)


def _is_shown_whole(ds: Dataset, plane: Plane) -> bool:
    """Return whether the displayed area of `plane` is exactly its pixels."""
    rows, columns = plane.stored.shape[:2]
    areas = [one for one in items(ds, "DisplayedAreaSelectionSequence") if _applies(one, plane.key)]
    corners = [(text(one, f"DisplayedArea{name}HandCorner") for name in ("TopLeft", "BottomRight")) for one in areas]
    return [tuple(one) for one in corners] == [("1\\1", f"{columns}\\{rows}")]


def _applies(area: Dataset, key: PlaneKey) -> bool:
    """Return whether the displayed area is that of the plane `key`; one that names no images is that of all."""
    named = set(planes_named(items(area, "ReferencedImageSequence")))
    uid, frame = key
    return not named or bool(named & {PlaneKey(uid), PlaneKey(uid, frame or 1)})
