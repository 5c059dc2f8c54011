"""Read a BINARY segmentation back, each frame mapped through patient space onto the planes of a stack."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, noted
from dicomnode.domain import Plane, Stack
from dicomnode.errors import Reason, Refused

_SAME_MM = 1e-4
_SAME_COSINE = 1e-3  # one orientation stands for all planes of a stack, which drift by at most this


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """One frame of a segmentation: its segment, the index of the plane it lies on, and its (row, column) bool."""

    segment: int
    label: str
    plane: int
    inside: NDArray[np.bool_]


def read_frames(content: bytes, stack: Stack, what: str) -> tuple[Frame, ...]:
    """Return the frames of the SEG in `content`, a Part 10 file, on the planes of `stack`.

    It is a plain reading of the object and shares no code with the writer. Refuses with FAILED_CHECK a frame that
    lies on no plane of the stack, has another grid, or names another image as its source than the one that lies there.
    """
    try:
        with noted([]):
            seg = dcmread(BytesIO(content))
            return _frames(seg, stack, what)
    except (InvalidDicomError, *PARSER_ERRORS) as error:
        raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error


def _frames(seg: Dataset, stack: Stack, what: str) -> tuple[Frame, ...]:
    if seg.FrameOfReferenceUID != stack.frame_of_reference_uid:
        detail = f"its frame of reference is {seg.FrameOfReferenceUID}, the stack's {stack.frame_of_reference_uid}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    labels = {int(item.SegmentNumber): str(item.SegmentLabel) for item in seg.SegmentSequence}
    groups = seg.PerFrameFunctionalGroupsSequence
    shared = seg.SharedFunctionalGroupsSequence[0]
    pixels = _pixels(seg)
    if len(groups) != len(pixels):
        raise Refused(Reason.FAILED_CHECK, what, f"{len(pixels)} frames, {len(groups)} functional groups")
    positions = np.array([plane.position for plane in stack.planes])
    frames = []
    for number, (group, inside) in enumerate(zip(groups, pixels, strict=True), start=1):
        index = _plane_at(group, positions, f"{what}, frame {number}")
        _check_plane(group, shared, stack.planes[index], f"{what}, frame {number}")
        segment = _segment(group, shared)
        frames.append(Frame(segment=segment, label=labels[segment], plane=index, inside=inside))
    return tuple(frames)


def _pixels(seg: Dataset) -> NDArray[np.bool_]:
    """Return (frame, row, column) bool from one bit a pixel, the least significant first (PS3.5 8.1.1)."""
    shape = (int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns))
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    return bits[: int(np.prod(shape))].reshape(shape).astype(bool)


def _segment(group: Dataset, shared: Dataset) -> int:
    holder = group if "SegmentIdentificationSequence" in group else shared
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _plane_at(group: Dataset, positions: NDArray[np.float64], what: str) -> int:
    position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    distances = np.linalg.norm(positions - position, axis=1)
    index = int(np.argmin(distances))
    if distances[index] > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"it lies {distances[index]:.4f} mm from the nearest plane")
    return index


def _check_plane(group: Dataset, shared: Dataset, plane: Plane, what: str) -> None:
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=np.float64)
    source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    if np.max(np.abs(orientation - plane.orientation)) > _SAME_COSINE:
        raise Refused(Reason.FAILED_CHECK, what, f"its orientation is {orientation}, the plane's {plane.orientation}")
    if np.max(np.abs(spacing - plane.spacing)) > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"its spacing is {spacing} mm, the plane's {plane.spacing}")
    if source != plane.key.sop_instance_uid:
        raise Refused(Reason.FAILED_CHECK, what, f"its source is {source}, {plane.key.sop_instance_uid} lies there")
