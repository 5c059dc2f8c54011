"""Prove that written objects say what the masks say: SEGs frame by frame."""

from collections.abc import Mapping, Sequence

import numpy as np

from dicomnode.dicom.results.report_check import check_report
from dicomnode.dicom.results.seg_reading import Frame, read_frames
from dicomnode.domain import Mask, ObjectKind, Stack, WrittenObject
from dicomnode.errors import Reason, Refused


def check(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every object and compare them with `masks`; refuse with FAILED_CHECK where they differ.

    A SEG may hold some of the masks, on some of the planes: all together they must hold each of them once.
    """
    segs = [written for written in objects if written.kind is ObjectKind.SEG]
    _check_segs(segs, masks, stack)
    for written in objects:
        if written.kind is ObjectKind.SR:
            check_report(written, [seg for seg in segs if seg.alternative is written.alternative], masks, stack)


def _check_segs(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    by_uid = {str(mask.prompt.tracking_uid): mask for mask in masks}
    found: list[tuple[str, int]] = []
    for written in objects:
        what = f"{written.kind} {written.sop_instance_uid}"
        for number, frame in enumerate(read_frames(written.content, stack, what), start=1):
            _compare(frame, by_uid, f"{what}, frame {number}")
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
        raise Refused(Reason.FAILED_CHECK, f"{len(objects)} objects on stack {stack.key}", detail)


def _compare(frame: Frame, by_uid: Mapping[str, Mask], what: str) -> None:
    mask = by_uid.get(frame.tracking_uid)
    if mask is None or mask.prompt.label != frame.label:
        known = "no mask" if mask is None else f"the mask of {mask.prompt.label!r}"
        raise Refused(Reason.FAILED_CHECK, what, f"it is of {frame.label!r}, its tracking UID that of {known}")
    inside = mask.planes.get(frame.plane)
    if inside is None:
        raise Refused(Reason.FAILED_CHECK, what, f"it lies on plane {frame.plane}, where the mask has nothing")
    differing = np.count_nonzero(frame.inside != inside)
    if differing:
        raise Refused(Reason.FAILED_CHECK, what, f"{differing} pixels differ from the mask")
