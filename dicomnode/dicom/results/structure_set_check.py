"""Prove that a written structure set encloses, plane by plane, just the pixels of the masks."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, items, noted
from dicomnode.domain import Mask, Plane, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused

_SAME_MM = 1e-4
_LABEL_LENGTH = 56  # characters of a label that its name begins with; a repeated one bears a number behind them
_Lines = NDArray[np.float64]  # (line, 4): x, y where a line begins and where it ends


def check_structure_set(content: bytes, masks: Sequence[Mask], stack: Stack, what: str) -> None:
    """Re-read the structure set in `content`, a Part 10 file; refuse with FAILED_CHECK where it differs from `masks`.

    It is a plain reading of the object and shares no code with the writer: contours lie where their points do, on the
    plane that they name, and what is inside is told by the even-odd rule at the centre of each pixel.
    """
    try:
        with noted([]):
            ds = dcmread(BytesIO(content))
            _check_references(ds, stack, what)
            regions = _regions(ds, what)
            for number, (mask, drawn) in enumerate(zip_longest(masks, regions), start=1):
                title = f"{what}, ROI {number}"
                if mask is None or drawn is None:
                    raise Refused(Reason.FAILED_CHECK, title, f"{len(regions)} regions, and {len(masks)} masks")
                _check_name(drawn[0], mask, title)
                _compare(_lines_on_planes(drawn[1], stack, title), mask, stack, title)
    except (InvalidDicomError, *PARSER_ERRORS) as error:
        raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error


def _check_references(ds: Dataset, stack: Stack, what: str) -> None:
    """Refuse another frame of reference than the stack's, and a list of images that are not its images."""
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    stated = {ds.FrameOfReferenceUID, frame.FrameOfReferenceUID}
    stated |= {item.ReferencedFrameOfReferenceUID for item in ds.StructureSetROISequence}
    if stated != {stack.frame_of_reference_uid}:
        detail = f"its frames of reference are {sorted(stated)}, the stack's {stack.frame_of_reference_uid}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    listed = {image.ReferencedSOPInstanceUID for image in series.ContourImageSequence}
    images = {plane.key.sop_instance_uid for plane in stack.planes}
    if listed != images or series.SeriesInstanceUID != stack.series_uid:
        detail = f"it lists {len(listed)} images of series {series.SeriesInstanceUID}, the stack has {len(images)}"
        raise Refused(Reason.FAILED_CHECK, what, f"{detail} of {stack.series_uid}, or others")


def _regions(ds: Dataset, what: str) -> list[tuple[str, Sequence[Dataset]]]:
    """Return the name and the contours of each region, in the order of their numbers, which count from 1."""
    named = {int(item.ROINumber): str(item.ROIName) for item in ds.StructureSetROISequence}
    drawn = {int(item.ReferencedROINumber): items(item, "ContourSequence") for item in ds.ROIContourSequence}
    observed = {int(item.ReferencedROINumber) for item in ds.RTROIObservationsSequence}
    counts = {len(ds.StructureSetROISequence), len(ds.ROIContourSequence), len(ds.RTROIObservationsSequence)}
    numbers = set(range(1, len(named) + 1))
    if counts != {len(named)} or not named.keys() == drawn.keys() == observed == numbers:
        detail = f"regions {sorted(named)} are drawn as {sorted(drawn)} and observed as {sorted(observed)}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    if len({name.casefold() for name in named.values()}) < len(named):
        raise Refused(Reason.FAILED_CHECK, what, f"two regions have one name: {sorted(named.values())}")
    return [(named[number], drawn[number]) for number in sorted(numbers)]


def _check_name(name: str, mask: Mask, what: str) -> None:
    if not name.startswith(mask.prompt.label[:_LABEL_LENGTH]):
        raise Refused(Reason.FAILED_CHECK, what, f"it is called {name!r}, its mask {mask.prompt.label!r}")


def _lines_on_planes(contours: Sequence[Dataset], stack: Stack, what: str) -> dict[int, list[_Lines]]:
    """Return the lines of `contours` by the index of their plane, in pixel-centre coordinates."""
    heights, numbers = stack.heights(), {plane.key: index for index, plane in enumerate(stack.planes)}
    found: dict[int, list[_Lines]] = {}
    for count, contour in enumerate(contours, start=1):
        title = f"{what}, contour {count}"
        points = _points(contour, title)
        index = int(np.argmin(np.abs(heights - float(points[0] @ stack.normal))))
        key = _image(contour)
        if numbers.get(key) != index:
            detail = f"it names {key}, plane {numbers.get(key)}, and lies nearest to plane {index}"
            raise Refused(Reason.FAILED_CHECK, title, detail)
        placed = _placed(points, stack.planes[index], title)
        found.setdefault(index, []).append(np.hstack([placed, np.roll(placed, -1, axis=0)]))
    return found


def _points(contour: Dataset, what: str) -> NDArray[np.float64]:
    """Return the points of `contour`, (point, 3) float64 in mm; its numbers are taken raw, as there are many."""
    raw = contour.get_item("ContourData").value
    values = np.array(raw.strip().split(b"\\"), dtype=np.float64)
    stated = int(contour.NumberOfContourPoints)
    if contour.ContourGeometricType != "CLOSED_PLANAR" or len(values) != 3 * stated:
        detail = f"{contour.ContourGeometricType} with {len(values)} numbers for {stated} points"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    return values.reshape(-1, 3)


def _image(contour: Dataset) -> PlaneKey:
    """Return the plane that `contour` names."""
    (image,) = contour.ContourImageSequence
    number = image.get("ReferencedFrameNumber")
    return PlaneKey(Uid(str(image.ReferencedSOPInstanceUID)), None if number is None else int(number))


def _placed(points: NDArray[np.float64], plane: Plane, what: str) -> NDArray[np.float64]:
    """Return `points`, (point, 3) in mm, as (point, 2) float64 x, y in pixel-centre coordinates of `plane`.

    They solve the equation that maps pixels to the patient (PS3.3 C.7.6.2.1.1); a point off the plane is refused.
    """
    across, down = np.array(plane.orientation, dtype=np.float64).reshape(2, 3)
    steps = np.column_stack([across * plane.spacing[1], down * plane.spacing[0]])
    offsets = points - np.array(plane.position)
    placed = np.linalg.lstsq(steps, offsets.T, rcond=None)[0].T
    distance = float(np.max(np.linalg.norm(offsets - placed @ steps.T, axis=1)))
    if distance > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"it lies {distance:.4f} mm from the plane it names, {plane.key}")
    return np.asarray(placed, dtype=np.float64)


def _compare(drawn: Mapping[int, Sequence[_Lines]], mask: Mask, stack: Stack, what: str) -> None:
    _, rows, columns = stack.shape
    nothing = np.zeros((rows, columns), dtype=bool)
    for index in sorted({*drawn, *mask.planes}):
        inside = _filled(np.concatenate(drawn[index]), rows, columns) if index in drawn else nothing
        differing = np.count_nonzero(inside != mask.planes.get(index, nothing))
        if differing:
            detail = f"on plane {index} {differing} pixels differ from the mask"
            raise Refused(Reason.FAILED_CHECK, what, detail)


def _filled(lines: _Lines, rows: int, columns: int) -> NDArray[np.bool_]:
    """Return (row, column) bool: the pixels to whose left an odd number of `lines` crosses the middle of their row."""
    x0, y0, x1, y1 = lines.T
    first, last = (np.ceil(end(y0, y1)).clip(0, rows).astype(np.int64) for end in (np.minimum, np.maximum))
    line = np.repeat(np.arange(len(lines)), last - first)
    row = np.arange(len(line)) - np.repeat(np.cumsum(last - first) - last, last - first)
    x = x0[line] + (row - y0[line]) * (x1 - x0)[line] / (y1 - y0)[line]
    column = np.ceil(x).clip(0, columns).astype(np.int64)
    inside = np.zeros((rows, columns), dtype=bool)
    top, bottom, right = int(first.min()), int(last.max()), int(np.ceil(np.max(lines[:, ::2])).clip(0, columns)) + 1
    crossings = np.bincount((row - top) * right + column, minlength=(bottom - top) * right)
    inside[top:bottom, : right - 1] = (np.cumsum(crossings.reshape(-1, right), axis=1) % 2 == 1)[:, :-1]
    return inside
