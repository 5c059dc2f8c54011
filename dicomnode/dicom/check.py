"""Prove that a written SEG says, frame by frame in patient space, what the masks say."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.reading import PARSER_ERRORS, noted
from dicomnode.domain import Mask, Plane, Stack, WrittenObject
from dicomnode.errors import Reason, Refused

_SAME_MM = 1e-4
_SAME_COSINE = 1e-3  # one orientation stands for all planes of a stack, which drift by at most this


def check(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read every object and compare it with `masks`; refuse with FAILED_CHECK what lies elsewhere or differs.

    It reads the bytes with a plain parser and shares no code with the writer.
    """
    for written in objects:
        what = f"{written.kind} {written.sop_instance_uid}"
        try:
            with noted([]):
                seg = dcmread(BytesIO(written.content))
                _check_frames(seg, masks, stack, what)
        except PARSER_ERRORS as error:
            raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error


def _check_frames(seg: Dataset, masks: Sequence[Mask], stack: Stack, what: str) -> None:
    frames = _frames(seg)
    groups = seg.PerFrameFunctionalGroupsSequence
    wanted = {
        (segment, index)
        for segment, mask in enumerate(masks, start=1)
        for index, inside in mask.planes.items()
        if inside.any()
    }
    shared = seg.SharedFunctionalGroupsSequence[0]
    if len(groups) != len(frames) or len(groups) != len(wanted):
        raise Refused(Reason.FAILED_CHECK, what, f"{len(groups)} frames: the masks have {len(wanted)} planes")
    for number, group in enumerate(groups, start=1):
        segment = int(
            (group if "SegmentIdentificationSequence" in group else shared)
            .SegmentIdentificationSequence[0]
            .ReferencedSegmentNumber
        )
        index = _plane_at(group, shared, stack, f"{what}, frame {number}")
        if (segment, index) not in wanted:
            raise Refused(Reason.FAILED_CHECK, what, f"frame {number} shows segment {segment} on plane {index} (again)")
        wanted.discard((segment, index))
        differing = np.count_nonzero(frames[number - 1] != masks[segment - 1].planes[index])
        if differing:
            raise Refused(Reason.FAILED_CHECK, what, f"frame {number}: {differing} pixels differ from the mask")


def _frames(seg: Dataset) -> NDArray[np.bool_]:
    """Return the frames of a BINARY segmentation, (frame, row, column) bool: a bit a pixel (PS3.5 8.1.1)."""
    shape = (int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns))
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    return bits[: int(np.prod(shape))].reshape(shape).astype(bool)


def _plane_at(group: Dataset, shared: Dataset, stack: Stack, what: str) -> int:
    """Return the index of the plane that lies where the frame says it lies, and which the frame names as its source."""
    position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    distances = np.linalg.norm(np.array([plane.position for plane in stack.planes]) - position, axis=1)
    index = int(np.argmin(distances))
    if distances[index] > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"it lies {distances[index]:.4f} mm from the nearest plane")
    plane = stack.planes[index]
    _check_grid(shared, plane, what)
    source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    if source != plane.key.sop_instance_uid:
        raise Refused(
            Reason.FAILED_CHECK, what, f"it names {source} as its source, {plane.key.sop_instance_uid} lies there"
        )
    return index


def _check_grid(shared: Dataset, plane: Plane, what: str) -> None:
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=np.float64)
    if np.max(np.abs(orientation - plane.orientation)) > _SAME_COSINE:
        raise Refused(Reason.FAILED_CHECK, what, f"its orientation is {orientation}, the plane's {plane.orientation}")
    if np.max(np.abs(spacing - plane.spacing)) > _SAME_MM:
        raise Refused(Reason.FAILED_CHECK, what, f"its spacing is {spacing} mm, the plane's {plane.spacing}")
