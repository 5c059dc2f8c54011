"""Read a segmentation back, each frame matched with a plane of a stack by place and by reference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, items, noted
from dicomnode.dicom.results.seg_values import Values, values_of
from dicomnode.domain import Plane, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused

_SAME_MM = 1e-4
_SAME_COSINE = 1e-3  # one orientation stands for all planes of a stack, which drift by at most this


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """What a segmentation shows of one segment on the plane with index `plane`, (row, column) bool.

    `segment` counts in its own object; `tracking_uid` says whose mask it is, in whatever object. `probabilities` are
    those of a fractional one, (row, column) uint8.
    """

    segment: int
    label: str
    tracking_uid: str
    plane: int
    inside: NDArray[np.bool_]
    probabilities: NDArray[np.unsignedinteger[Any]] | None


class _Place(NamedTuple):
    """The index of the plane that a frame lies on, and the frame's segment; a frame of a label map has none."""

    plane: int
    segment: int | None


class _Segment(NamedTuple):
    """How a segment is described."""

    label: str
    tracking_uid: str


def read_frames(content: bytes, stack: Stack, what: str) -> Iterator[Frame]:
    """Return the frames of the SEG in `content`, a Part 10 file, on the planes of `stack`.

    A frame of a label map is one for each segment that it shows. It is a plain reading of the object and shares no
    code with the writer. Refuses with FAILED_CHECK a frame that names no plane of the stack as its source, lies
    elsewhere than that plane, or has another grid. Where the stack has no frame of reference nothing may say that a
    frame lies somewhere.
    """
    try:
        with noted([]):
            seg = dcmread(BytesIO(content))
            places = _places(seg, stack, what)
            described = {
                int(item.SegmentNumber): _Segment(str(item.SegmentLabel), str(item.get("TrackingUID", "")))
                for item in seg.SegmentSequence
            }
            values = values_of(seg, what)
    except (InvalidDicomError, *PARSER_ERRORS) as error:
        raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error
    if values.shape != (len(places), *stack.shape[1:]):
        detail = f"{values.shape} frames, rows and columns, {len(places)} functional groups, a stack of {stack.shape}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    return _frames(places, values, described, what)


def _frames(places: Sequence[_Place], values: Values, described: Mapping[int, _Segment], what: str) -> Iterator[Frame]:
    """Yield the frames one by one: their pixels are many times what the object has."""
    for number, place in enumerate(places):
        for shown in values.segments(number, place.segment):
            if shown.segment not in described:
                detail = f"it shows segment {shown.segment}; described are {sorted(described)}"
                raise Refused(Reason.FAILED_CHECK, f"{what}, frame {number + 1}", detail)
            yield Frame(**described[shown.segment]._asdict(), plane=place.plane, **shown._asdict())


def _places(seg: Dataset, stack: Stack, what: str) -> tuple[_Place, ...]:
    """Return where the frames lie, as their functional groups say it."""
    if seg.get("FrameOfReferenceUID") != stack.frame_of_reference_uid:
        stated = seg.get("FrameOfReferenceUID")
        detail = f"its frame of reference is {stated}, the stack's {stack.frame_of_reference_uid}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    shared = seg.SharedFunctionalGroupsSequence[0]
    numbers = {plane.key: index for index, plane in enumerate(stack.planes)}
    places = []
    for number, group in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1):
        source, title = _source(group), f"{what}, frame {number}"
        if source not in numbers:
            raise Refused(Reason.FAILED_CHECK, title, f"its source is {source}, which is no plane of the stack")
        _check_plane(group, shared, stack, numbers[source], title)
        named = _either(group, shared, "SegmentIdentificationSequence")
        places.append(_Place(numbers[source], int(named[0].ReferencedSegmentNumber) if named else None))
    return tuple(places)


def _source(group: Dataset) -> PlaneKey:
    """Return the plane that a frame names as its source (PS3.3 10.3)."""
    (image,) = group.DerivationImageSequence[0].SourceImageSequence
    number = image.get("ReferencedFrameNumber")
    return PlaneKey(Uid(str(image.ReferencedSOPInstanceUID)), None if number is None else int(number))


def _either(group: Dataset, shared: Dataset, macro: str) -> Sequence[Dataset]:
    """Return the items of `macro` that are a frame's own, else those that all frames share (PS3.3 C.7.6.16)."""
    return items(group, macro) or items(shared, macro)


def _check_plane(group: Dataset, shared: Dataset, stack: Stack, index: int, what: str) -> None:
    plane = stack.planes[index]
    if stack.frame_of_reference_uid:
        _check_place(group, shared, plane, what)
    else:
        _check_nowhere(group, shared, what)
    measures = _either(group, shared, "PixelMeasuresSequence")
    if stack.frame_of_reference_uid or measures:
        _check_spacing(measures[0], plane, what)


def _check_place(group: Dataset, shared: Dataset, plane: Plane, what: str) -> None:
    position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    distance = float(np.linalg.norm(position - plane.position))
    if distance > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"it lies {distance:.4f} mm from the plane it names, {plane.key}")
    if np.max(np.abs(orientation - plane.orientation)) > _SAME_COSINE:
        raise Refused(Reason.FAILED_CHECK, what, f"its orientation is {orientation}, the plane's {plane.orientation}")


def _check_nowhere(group: Dataset, shared: Dataset, what: str) -> None:
    if "PlanePositionSequence" in group or "PlaneOrientationSequence" in shared:
        raise Refused(Reason.FAILED_CHECK, what, "it says that it lies somewhere, and its source lies nowhere")


def _check_spacing(measures: Dataset, plane: Plane, what: str) -> None:
    spacing = np.array(measures.PixelSpacing, dtype=np.float64)
    if np.max(np.abs(spacing - plane.spacing)) > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"its spacing is {spacing} mm, the plane's {plane.spacing}")
