"""Prove that a written SEG says, frame by frame in patient space, what the masks say."""

from collections.abc import Sequence

import numpy as np

from dicomnode.dicom.seg_reading import Frame, read_frames
from dicomnode.domain import Mask, Stack, WrittenObject
from dicomnode.errors import Reason, Refused


def check(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every object and compare them with `masks`; refuse with FAILED_CHECK where they differ."""
    for written in objects:
        what = f"{written.kind} {written.sop_instance_uid}"
        frames = read_frames(written.content, stack, what)
        _check_presence(frames, masks, what)
        for number, frame in enumerate(frames, start=1):
            label = masks[frame.segment - 1].prompt.label
            if frame.label != label:
                raise Refused(Reason.FAILED_CHECK, what, f"frame {number} is of {frame.label!r}, the mask of {label!r}")
            differing = np.count_nonzero(frame.inside != masks[frame.segment - 1].planes[frame.plane])
            if differing:
                raise Refused(Reason.FAILED_CHECK, what, f"frame {number}: {differing} pixels differ from the mask")


def _check_presence(frames: Sequence[Frame], masks: Sequence[Mask], what: str) -> None:
    """Refuse unless each plane on which a mask is not empty has exactly one frame, and no other plane has one."""
    wanted = sorted(
        (segment, index)
        for segment, mask in enumerate(masks, start=1)
        for index, inside in mask.planes.items()
        if inside.any()
    )
    found = sorted((frame.segment, frame.plane) for frame in frames)
    if found != wanted:
        odd = sorted(set(found) ^ set(wanted))[:3]
        detail = f"{len(found)} frames, the masks have {len(wanted)}; (segment, plane) that differ: {odd}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
