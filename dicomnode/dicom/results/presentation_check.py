"""Prove that a written presentation state draws just the masks and boxes, each on the plane it belongs to."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, items, noted
from dicomnode.domain import Box, Mask, PlaneKey, Stack, Uid, WrittenObject
from dicomnode.errors import Reason, Refused

_BOXES = "BOXES"  # the layer of boxes; all other graphics are outlines
_SAME = 1e-3  # pixels: GraphicData are of single precision

Lines = list[NDArray[np.float64]]


def check_presentation_states(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every presentation state; refuse with FAILED_CHECK where they do not draw `masks`.

    Filled again, the lines of a mask on a plane must be just its pixels there; its box must be that of its prompt. All
    planes of the stack that anything is drawn on must be referred to, and no others.
    """
    if not objects:
        return
    outlines: dict[tuple[str, int], Lines] = defaultdict(list)
    boxes: dict[tuple[str, int], Lines] = defaultdict(list)
    for written in objects:
        what = f"{written.kind} {written.sop_instance_uid}"
        try:
            with noted([]):
                state = dcmread(BytesIO(written.content))
                drawn = {*_graphics(state, stack, what, outlines, boxes)}
                referred = {*_planes(state.ReferencedSeriesSequence[0], stack, what)}
        except (InvalidDicomError, *PARSER_ERRORS) as error:
            raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error
        if drawn != referred:
            odd = sorted(drawn ^ referred)[:3]
            raise Refused(Reason.FAILED_CHECK, what, f"planes that it only draws on, or only refers to: {odd}")
    what = f"the presentation states of stack {stack.key}"
    _check_outlines(outlines, masks, stack.shape[1:], what)
    _check_boxes(boxes, masks, stack, what)


def _graphics(
    state: Dataset,
    stack: Stack,
    what: str,
    outlines: Mapping[tuple[str, int], Lines],
    boxes: Mapping[tuple[str, int], Lines],
) -> Iterator[int]:
    """Add the lines in `state` to those of the same tracking UID and plane; yield all planes that it draws on."""
    layers = {str(layer.GraphicLayer) for layer in state.GraphicLayerSequence}
    for annotation in state.GraphicAnnotationSequence:
        planes = [*_planes(annotation, stack, what)]
        yield from planes
        if annotation.GraphicLayer not in layers:
            raise Refused(Reason.FAILED_CHECK, what, f"it has no layer {annotation.GraphicLayer}")
        kind = boxes if annotation.GraphicLayer == _BOXES else outlines
        for graphic in items(annotation, "GraphicObjectSequence"):
            form = (graphic.GraphicType, graphic.GraphicAnnotationUnits, graphic.GraphicFilled)
            if form != ("POLYLINE", "PIXEL", "N"):
                raise Refused(Reason.FAILED_CHECK, what, f"a graphic is {form}, and no line in pixels")
            points = np.array(graphic.GraphicData, dtype=np.float64).reshape(graphic.NumberOfGraphicPoints, 2)
            for plane in planes:
                kind[str(graphic.TrackingUID), plane].append(points)


def _planes(holder: Dataset, stack: Stack, what: str) -> Iterator[int]:
    """Yield the planes that the references in `holder` mean: of an image without frame numbers all its planes."""
    for image in holder.ReferencedImageSequence:
        uid, frames = Uid(str(image.ReferencedSOPInstanceUID)), image.get("ReferencedFrameNumber")
        numbers = [int(one) for one in (frames if isinstance(frames, Sequence) else [frames])] if frames else None
        found = [
            index
            for index, plane in enumerate(stack.planes)
            if plane.key.sop_instance_uid == uid and (numbers is None or plane.key.frame in numbers)
        ]
        if len(found) < len(numbers or [1]):
            missing = PlaneKey(uid, numbers[0] if numbers else None)
            raise Refused(Reason.FAILED_CHECK, what, f"it refers to {missing}, which is no plane of the stack")
        yield from found


def _check_outlines(
    outlines: Mapping[tuple[str, int], Lines], masks: Sequence[Mask], shape: Sequence[int], what: str
) -> None:
    wanted = {
        (str(mask.prompt.tracking_uid), index): inside
        for mask in masks
        for index, inside in mask.planes.items()
        if inside.any()
    }
    _compare_keys(outlines, wanted, f"{what}, outlines")
    for (uid, index), lines in outlines.items():
        differing = np.count_nonzero(_filled(lines, shape) != wanted[uid, index])
        if differing:
            detail = f"{differing} pixels differ from the mask {uid}"
            raise Refused(Reason.FAILED_CHECK, f"{what}, outlines on plane {index}", detail)


def _check_boxes(boxes: Mapping[tuple[str, int], Lines], masks: Sequence[Mask], stack: Stack, what: str) -> None:
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


def _filled(lines: Lines, shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return (row, column) bool: the pixels from which a line to the left crosses `lines` an odd number of times."""
    crossed = np.zeros((shape[0], shape[1] + 1), dtype=bool)
    for points in lines:
        corners = np.rint(points).astype(int)
        if np.max(np.abs(points - corners)) > _SAME:  # a corner of a pixel is a whole number from the image's corner
            return np.zeros(tuple(shape), dtype=bool)
        for (x0, y0), (x1, y1) in zip(corners[:-1].tolist(), corners[1:].tolist(), strict=True):
            if x0 == x1:
                crossed[min(y0, y1) : max(y0, y1), x0] ^= True
            elif y0 != y1:
                return np.zeros(tuple(shape), dtype=bool)  # pixels have no slanting sides
    return np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
