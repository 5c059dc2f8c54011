"""Prove that written SEGs say, frame by frame, what the masks say."""

from collections.abc import Mapping, Sequence

import numpy as np

from dicomnode.dicom.results.seg_reading import Frame, read_frames
from dicomnode.domain import Mask, Stack, WrittenObject
from dicomnode.errors import Reason, Refused


def check_segs(segs: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of `segs`, all of one type, and compare them with `masks`.

    An object may hold some of the masks, on some of the planes: all together they must hold each of them once.
    """
    by_uid = {str(mask.prompt.tracking_uid): mask for mask in masks}
    found: list[tuple[str, int]] = []
    for written in segs:
        what = f"{written.kind} {written.sop_instance_uid}"
        for frame in read_frames(written.content, stack, what):
            _compare(frame, by_uid, f"{what}, segment {frame.segment} on plane {frame.plane}")
            found.append((frame.tracking_uid, frame.plane))
    wanted = [
        (str(mask.prompt.tracking_uid), index)
        for mask in masks
        for index, inside in mask.planes.items()
        if inside.any()
    ]
    if sorted(found) != sorted(wanted):
        odd = sorted(set(found) ^ set(wanted))[:3]
        detail = f"{len(found)} frames, the masks have {len(wanted)}; (tracking UID, plane) that differ: {odd}"
        raise Refused(Reason.FAILED_CHECK, f"{len(segs)} objects on stack {stack.key}", detail)


def _compare(frame: Frame, by_uid: Mapping[str, Mask], what: str) -> None:
    mask = by_uid.get(frame.tracking_uid)
    if mask is None or mask.prompt.label != frame.label:
        known = "no mask" if mask is None else f"the mask of {mask.prompt.label!r}"
        raise Refused(Reason.FAILED_CHECK, what, f"it is of {frame.label!r}, its tracking UID that of {known}")
    inside = mask.planes.get(frame.plane)
    if inside is None:
        raise Refused(Reason.FAILED_CHECK, what, "the mask has nothing there")
    differing = np.count_nonzero(frame.inside != inside)
    if differing:
        raise Refused(Reason.FAILED_CHECK, what, f"{differing} pixels differ from the mask")
    if frame.probabilities is None:
        return
    wanted = mask.probabilities.get(frame.plane)
    if wanted is None or not np.array_equal(frame.probabilities, wanted):
        raise Refused(Reason.FAILED_CHECK, what, "its probabilities differ from those of the mask")
