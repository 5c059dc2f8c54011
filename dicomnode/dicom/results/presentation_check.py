"""Prove that a written presentation state draws just the masks and boxes, each on the plane it belongs to."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, items, noted
from dicomnode.domain import Box, Mask, Stack, WrittenObject
from dicomnode.errors import Reason, Refused

_BOXES = "BOXES"  # the layer of boxes; all other graphics are outlines
_SAME = 1e-3  # pixels: GraphicData are of single precision

Lines = list[NDArray[np.float64]]
_Drawn = dict[tuple[str, int], Lines]  # tracking UID, plane -> what is drawn for it
_Planes = dict[str, dict[int | None, int]]  # SOP Instance UID -> frame number -> index of the plane


def check_presentation_states(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every presentation state; refuse with FAILED_CHECK where they do not draw `masks`.

    Filled again, the lines of a mask on a plane must be just its pixels there; its box must be that of its prompt. All
    planes of the stack that anything is drawn on must be referred to, and no others.
    """
    if not objects:
        return
    outlines: _Drawn = defaultdict(list)
    boxes: _Drawn = defaultdict(list)
    planes: _Planes = defaultdict(dict)
    for index, plane in enumerate(stack.planes):
        planes[plane.key.sop_instance_uid][plane.key.frame] = index
    for written in objects:
        what = f"{written.kind} {written.sop_instance_uid}"
        try:
            with noted([]):
                state = dcmread(BytesIO(written.content))
                drawn = {*_graphics(state, planes, what, (outlines, boxes))}
                referred = {*_planes(state.ReferencedSeriesSequence[0], planes, what)}
        except (InvalidDicomError, *PARSER_ERRORS) as error:
            raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error
        if drawn != referred:
            odd = sorted(drawn ^ referred)[:3]
            raise Refused(Reason.FAILED_CHECK, what, f"planes that it only draws on, or only refers to: {odd}")
    what = f"the presentation states of stack {stack.key}"
    _check_outlines(outlines, masks, what)
    _check_boxes(boxes, masks, stack, what)


def _graphics(state: Dataset, planes: _Planes, what: str, drawn: tuple[_Drawn, _Drawn]) -> Iterator[int]:
    """Add the lines in `state` to those `drawn`, outlines and boxes; yield the planes that it draws them on."""
    layers = {str(layer.GraphicLayer) for layer in state.GraphicLayerSequence}
    for annotation in state.GraphicAnnotationSequence:
        if annotation.GraphicLayer not in layers:
            raise Refused(Reason.FAILED_CHECK, what, f"it has no layer {annotation.GraphicLayer}")
        kind = drawn[annotation.GraphicLayer == _BOXES]
        for graphic in items(annotation, "GraphicObjectSequence"):
            form = (graphic.GraphicType, graphic.GraphicAnnotationUnits, graphic.GraphicFilled)
            if form != ("POLYLINE", "PIXEL", "N"):
                raise Refused(Reason.FAILED_CHECK, what, f"a graphic is {form}, and no line in pixels")
            points = np.array(graphic.GraphicData, dtype=np.float64).reshape(graphic.NumberOfGraphicPoints, 2)
            for plane in _planes(annotation, planes, what):
                kind[str(graphic.TrackingUID), plane].append(points)
                yield plane


def _planes(holder: Dataset, planes: _Planes, what: str) -> Iterator[int]:
    """Yield the planes that the references in `holder` mean: of an image without frame numbers all its planes."""
    for image in holder.ReferencedImageSequence:
        known = planes.get(str(image.ReferencedSOPInstanceUID), {})
        frames = image.get("ReferencedFrameNumber")
        wanted = known.keys() if frames is None else np.atleast_1d(frames).tolist()
        if not wanted or not set(wanted) <= known.keys():
            detail = f"it refers to {image.ReferencedSOPInstanceUID}, frames {frames}: no planes of the stack"
            raise Refused(Reason.FAILED_CHECK, what, detail)
        yield from (known[number] for number in wanted)


def _check_outlines(outlines: _Drawn, masks: Sequence[Mask], what: str) -> None:
    wanted = {
        (str(mask.prompt.tracking_uid), index): inside
        for mask in masks
        for index, inside in mask.planes.items()
        if inside.any()
    }
    _compare_keys(outlines, wanted, f"{what}, outlines")
    for (uid, index), lines in outlines.items():
        if differing := _differing(lines, wanted[uid, index]):
            detail = f"{differing} pixels differ from the mask {uid}"
            raise Refused(Reason.FAILED_CHECK, f"{what}, outlines on plane {index}", detail)


def _check_boxes(boxes: _Drawn, masks: Sequence[Mask], stack: Stack, what: str) -> None:
    wanted = {
        (str(mask.prompt.tracking_uid), index): mask.prompt.boxes[plane.key]
        for mask in masks
        for index, plane in enumerate(stack.planes)
        if plane.key in mask.prompt.boxes
    }
    _compare_keys(boxes, wanted, f"{what}, boxes")
    _, rows, columns = stack.shape
    for (uid, index), lines in boxes.items():
        corners = np.vstack(lines)
        found = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        if np.max(np.abs(found - _on_image(wanted[uid, index], rows, columns))) > _SAME or len(corners) != 5:  # noqa: PLR2004
            detail = f"{found.tolist()} from the image's corner, the prompt's box is {wanted[uid, index]}"
            raise Refused(Reason.FAILED_CHECK, f"{what}, box on plane {index}", detail)


def _on_image(box: Box, rows: int, columns: int) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 of what of `box` lies on the image, counted from its corner."""
    corners = np.array([box.x0, box.y0, box.x1, box.y1]) + 0.5
    return np.clip(corners, 0, [columns, rows, columns, rows])


def _compare_keys(found: Mapping[tuple[str, int], object], wanted: Mapping[tuple[str, int], object], what: str) -> None:
    if odd := sorted(found.keys() ^ wanted.keys())[:3]:
        detail = f"{len(found)} drawn, {len(wanted)} wanted; (tracking UID, plane) that differ: {odd}"
        raise Refused(Reason.FAILED_CHECK, what, detail)


def _differing(lines: Lines, inside: NDArray[np.bool_]) -> int:
    """Return how many pixels are inside either `lines` or `inside`, (row, column) bool, and not both.

    A pixel is inside lines that a way from it to the left crosses an odd number of times.
    """
    every = np.vstack(lines)
    corners = np.rint(every).astype(int)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    if np.max(np.abs(every - corners)) > _SAME or min(left, top) < 0:  # corners of pixels are whole numbers
        return inside.size
    crossed = np.zeros((bottom - top, right - left + 1), dtype=bool)
    for points in lines:
        steps = np.rint(points).astype(int) - (left, top)
        for (x0, y0), (x1, y1) in pairwise(steps.tolist()):
            if x0 != x1 and y0 != y1:  # pixels have no slanting sides
                return inside.size
            if x0 == x1:
                crossed[min(y0, y1) : max(y0, y1), x0] ^= True
    filled = np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
    part = inside[top:bottom, left:right]
    if part.shape != filled.shape:
        return inside.size
    beyond = np.count_nonzero(inside) - np.count_nonzero(part)
    return int(np.count_nonzero(filled != part) + beyond)
