"""Prove that written objects say what was found."""

from collections.abc import Sequence

from dicomnode.dicom.results.seg_check import check_segs
from dicomnode.domain import Mask, ObjectKind, Stack, WrittenObject


def check(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every object and compare them with `masks`; refuse with FAILED_CHECK where they differ.

    The SEGs of each type must hold all of the masks.
    """
    segs = [written for written in objects if written.kind is ObjectKind.SEG]
    types = {written.alternative for written in segs}
    if not objects:
        types.add(None)  # there may be none only where nothing was found
    for seg_type in types:
        check_segs([seg for seg in segs if seg.alternative is seg_type], masks, stack)
