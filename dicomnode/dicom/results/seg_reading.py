"""Read a BINARY segmentation back, each frame matched with a plane of a stack by place and by reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, items, noted
from dicomnode.domain import Plane, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused

_SAME_MM = 1e-4
_SAME_COSINE = 1e-3  # one orientation stands for all planes of a stack, which drift by at most this


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """One frame of a segmentation: its segment, the index of the plane it lies on, and its (row, column) bool.

    `segment` counts in its own object; `tracking_uid` says whose mask it is, in whatever object.
    """

    segment: int
    label: str
    tracking_uid: str
    plane: int
    inside: NDArray[np.bool_]


def read_frames(content: bytes, stack: Stack, what: str) -> tuple[Frame, ...]:
    """Return the frames of the SEG in `content`, a Part 10 file, on the planes of `stack`.

    It is a plain reading of the object and shares no code with the writer. Refuses with FAILED_CHECK a frame that
    names no plane of the stack as its source, lies elsewhere than that plane, or has another grid. Where the stack has
    no frame of reference nothing may say that a frame lies somewhere.
    """
    try:
        with noted([]):
            seg = dcmread(BytesIO(content))
            return _frames(seg, stack, what)
    except (InvalidDicomError, *PARSER_ERRORS) as error:
        raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error


def _frames(seg: Dataset, stack: Stack, what: str) -> tuple[Frame, ...]:
    if seg.get("FrameOfReferenceUID") != stack.frame_of_reference_uid:
        stated = seg.get("FrameOfReferenceUID")
        detail = f"its frame of reference is {stated}, the stack's {stack.frame_of_reference_uid}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    segments = {int(item.SegmentNumber): item for item in seg.SegmentSequence}
    groups = seg.PerFrameFunctionalGroupsSequence
    shared = seg.SharedFunctionalGroupsSequence[0]
    pixels = _pixels(seg)
    if (len(groups), *pixels.shape[1:]) != (len(pixels), *stack.shape[1:]):
        detail = f"{pixels.shape} frames, rows and columns, {len(groups)} functional groups, a stack of {stack.shape}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    numbers = {plane.key: index for index, plane in enumerate(stack.planes)}
    frames = []
    for number, (group, inside) in enumerate(zip(groups, pixels, strict=True), start=1):
        source, title = _source(group), f"{what}, frame {number}"
        if source not in numbers:
            raise Refused(Reason.FAILED_CHECK, title, f"its source is {source}, which is no plane of the stack")
        _check_plane(group, shared, stack, numbers[source], title)
        segment = _segment(group, shared)
        described = segments[segment]
        frames.append(
            Frame(
                segment=segment,
                label=str(described.SegmentLabel),
                tracking_uid=str(described.TrackingUID),
                plane=numbers[source],
                inside=inside,
            )
        )
    return tuple(frames)


def _pixels(seg: Dataset) -> NDArray[np.bool_]:
    """Return (frame, row, column) bool from one bit a pixel, the least significant first (PS3.5 8.1.1)."""
    shape = (int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns))
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    return bits[: int(np.prod(shape))].reshape(shape).astype(bool)


def _segment(group: Dataset, shared: Dataset) -> int:
    return int(_either(group, shared, "SegmentIdentificationSequence")[0].ReferencedSegmentNumber)


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


def _source(group: Dataset) -> PlaneKey:
    """Return the plane that a frame names as its source (PS3.3 10.3)."""
    (image,) = group.DerivationImageSequence[0].SourceImageSequence
    number = image.get("ReferencedFrameNumber")
    return PlaneKey(Uid(str(image.ReferencedSOPInstanceUID)), None if number is None else int(number))


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
