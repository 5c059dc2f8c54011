"""Write what was found as a softcopy presentation state (PS3.3 A.33): outlines that a viewer draws over the source."""

import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.results.colours import BOX_COLOUR, Colour
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.finishing import (
    LONG_STRING,
    complete,
    content_label,
    draft,
    finish,
    made_of,
    own_equipment,
)
from dicomnode.dicom.results.laterality import set_laterality
from dicomnode.dicom.results.marks import NOTICE, Mark, marks_of
from dicomnode.dicom.results.outlines import outlines_of
from dicomnode.dicom.results.presentation_greys import greys
from dicomnode.dicom.results.sources import references_to
from dicomnode.domain import Box, ObjectKind, WrittenObject

BOXES, NOTES = "BOXES", "NOTES"  # layers beside those of the masks, which are MASK 1, MASK 2 ...

_OUTER_CORNER = 0.5  # pixels: GraphicData count from the first pixel's corner (PS3.3 C.10.5.1.2), we from its centre
_MOST_POINTS = 8000  # of a graphic: the length of an FL element has 16 bits, 65534 bytes (PS3.5 7.1.2)
_LINE_OF_TEXT = 1 / 24  # of the image's height
_WHITE, _BRIGHTEST = (255, 255, 255), 0xFFFF  # and likewise on displays without colours
_SRGB = "_icc_profiles/sRGB_v4_ICC_preference.icc"  # what colours without a profile are

Marks = Mapping[int, Sequence[Mark]]


def write_presentation_states(findings: Findings) -> tuple[WrittenObject, ...]:
    """Return the presentation state that draws `findings` over the planes with a box or mask; none without any mask.

    It is one even where the planes have no frame of reference: outlines lie on pixels, not in space.
    """
    if findings.is_empty:
        return ()
    with made_of(findings, ObjectKind.PR):
        marks = marks_of(findings)
        state = _state(findings, marks)
        _complete(state, findings, marks)
        return (finish(state, ObjectKind.PR, findings),)


def _state(findings: Findings, marks: Marks) -> Dataset:
    colour = findings.stack.planes[0].is_colour
    images = _stand_ins(findings, marks, samples=3 if colour else 1)
    layers = _layers(marks)
    common: dict[str, Any] = {
        **draft(findings, ObjectKind.PR),
        "referenced_images": [*images.values()],
        "content_label": content_label(findings, ObjectKind.PR),
        "content_description": f"{findings.model.name}. {NOTICE}"[:LONG_STRING],
        "content_creator_name": MANUFACTURER.upper(),
        "graphic_annotations": [*_annotations(findings, marks, images, layers)],
        "graphic_layers": [*layers.values()],
        "contributing_equipment": [own_equipment()],
    }
    if colour:
        profile = findings.source.get("ICCProfile") or pkgutil.get_data("highdicom", _SRGB)
        return ColorSoftcopyPresentationState(**common, icc_profile=profile)
    return GrayscaleSoftcopyPresentationState(**common, **greys(findings, images))


def _stand_ins(findings: Findings, marks: Marks, samples: int) -> dict[int, Dataset]:
    """Return an image for each plane of `marks`, the first with the whole header, to make a state of."""
    images: dict[int, Dataset] = {}
    for index in marks:
        image = Dataset() if images else findings.source[:]
        image.update(findings.headers[index].ds)
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "SamplesPerPixel"):
            if keyword in image:
                del image[keyword]
        image.SamplesPerPixel = samples
        images[index] = image
    return images


def _layers(marks: Marks) -> dict[str, GraphicLayer]:
    """Return the layers by name: the boxes, below each mask's in its colour, below the notes."""
    masks = {mark.number: mark for here in marks.values() for mark in here}
    wanted: list[tuple[str, str, Colour]] = [
        (BOXES, "boxes that were drawn", BOX_COLOUR),
        *((f"MASK {number}", masks[number].prompt.label, masks[number].colour) for number in sorted(masks)),
        (NOTES, NOTICE, _WHITE),
    ]
    layers = {
        name: GraphicLayer(name, order, description[:LONG_STRING], CIELabColor.from_rgb(*colour))
        for order, (name, description, colour) in enumerate(wanted, start=1)
    }
    for layer in layers.values():
        layer.GraphicLayerRecommendedDisplayGrayscaleValue = _BRIGHTEST
    return layers


def _annotations(
    findings: Findings, marks: Marks, images: Mapping[int, Dataset], layers: Mapping[str, GraphicLayer]
) -> Iterator[GraphicAnnotation]:
    shape = findings.stack.shape[1:]
    for index, here in marks.items():
        if boxes := [_box(mark, mark.box, shape) for mark in here if mark.box]:
            yield GraphicAnnotation([images[index]], layers[BOXES], graphic_objects=boxes)
        for mark in here:
            if mark.inside is not None:
                yield GraphicAnnotation(
                    [images[index]],
                    layers[f"MASK {mark.number}"],
                    graphic_objects=[*_outlines(mark, mark.inside)],
                    text_objects=[_label(mark.prompt.label, mark.inside)],
                )
    note = f"{findings.model.name} {findings.model.version}. {NOTICE}"
    height = max(1.0, shape[0] * _LINE_OF_TEXT)
    place = (0.0, shape[0] - height, float(shape[1]), float(shape[0]))
    yield GraphicAnnotation([*images.values()][:1], layers[NOTES], text_objects=[_text(note, place)])


def _outlines(mark: Mark, inside: NDArray[np.bool_]) -> Iterator[GraphicObject]:
    """Yield the closed lines round `inside` and its holes, the very long ones in parts."""
    for outline in outlines_of(inside):
        for loop in (outline.edge, *outline.holes):
            closed = np.vstack([loop, loop[:1]])
            cuts = [*range(0, len(closed) - 1, _MOST_POINTS - 1), len(closed) - 1]
            for first, last in pairwise(cuts):
                yield _polyline(mark, closed[first : last + 1])


def _box(mark: Mark, box: Box, shape: Sequence[int]) -> GraphicObject:
    corners = np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1), (box.x0, box.y0)])
    return _polyline(mark, np.clip(corners, -_OUTER_CORNER, np.array(shape[::-1]) - _OUTER_CORNER))


def _polyline(mark: Mark, points: NDArray[np.float64]) -> GraphicObject:
    """Return the line through `points`, (point, 2) float64 x, y in pixel-centre coordinates."""
    return GraphicObject(
        "POLYLINE",
        points + _OUTER_CORNER,
        "PIXEL",
        tracking_id=mark.prompt.tracking_id,
        tracking_uid=mark.prompt.tracking_uid,
    )


def _label(label: str, inside: NDArray[np.bool_]) -> TextObject:
    """Return `label` above what is inside, or below where there is no room above."""
    rows, columns = inside.shape
    height = max(1.0, rows * _LINE_OF_TEXT)
    ys, xs = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    left = min(float(xs[0]), columns * 0.75)
    top = float(ys[0]) - height
    if top < 0:
        top = min(float(ys[-1]) + 1, rows - height)
    return _text(label, (left, top, float(columns), top + height))


def _text(words: str, place: tuple[float, float, float, float]) -> TextObject:
    return TextObject(words, "PIXEL", bounding_box=place, text_justification="LEFT")


def _complete(state: Dataset, findings: Findings, marks: Marks) -> None:
    """Add what highdicom does not copy, replace what it takes from the clock, and name the images themselves."""
    complete(state, findings)
    date, time = findings.newest
    state.PresentationCreationDate, state.PresentationCreationTime = DA(date), TM(time)
    set_laterality(state, findings.source)
    if "ModalityLUTSequence" in findings.source and not findings.stack.planes[0].is_colour:
        state.ModalityLUTSequence = deepcopy(findings.source.ModalityLUTSequence)
    (area,) = state.DisplayedAreaSelectionSequence
    _set_proportions(area, findings.source)
    note = state.GraphicAnnotationSequence[-1]
    del note.ReferencedImageSequence  # highdicom wants one; without it is of all images (PS3.3 C.10.5)
    by_uid = {findings.headers[index].ds.SOPInstanceUID: findings.headers[index] for index in marks}
    for holder in (
        *state.ReferencedSeriesSequence,
        *state.GraphicAnnotationSequence,
        *state.get("SoftcopyVOILUTSequence", ()),
    ):
        if "ReferencedImageSequence" in holder:
            stand_ins = [item.ReferencedSOPInstanceUID for item in holder.ReferencedImageSequence]
            holder.ReferencedImageSequence = references_to([by_uid[uid] for uid in stand_ins])


def _set_proportions(area: Dataset, source: Dataset) -> None:
    """Let pixels be shown as wide and high as they are in `source` (PS3.3 C.10.4)."""
    if "PixelSpacing" in source:
        area.PresentationPixelSpacing = source.PixelSpacing
        del area.PresentationPixelAspectRatio
    elif source.get("PixelAspectRatio"):
        area.PresentationPixelAspectRatio = source.PixelAspectRatio
