"""Prove that written objects say what was found."""

from collections.abc import Collection, Sequence

from dicomnode.dicom.results.pictures_check import check_pictures
from dicomnode.dicom.results.presentation_check import check_presentation_states
from dicomnode.dicom.results.report_check import check_report
from dicomnode.dicom.results.seg_check import check_segs
from dicomnode.dicom.results.structure_set_check import check_structure_set
from dicomnode.domain import Mask, ObjectKind, Stack, WrittenObject
from dicomnode.errors import Reason, Refused


def check(
    objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack, asked: Collection[ObjectKind] = ()
) -> None:
    """Re-read the bytes of every object and compare them with `masks`; refuse with FAILED_CHECK where they differ.

    Those of a kind, and the SEGs of each type, must hold all of the masks; of each kind in `asked` there must be some.
    """
    of_kind = {kind: [one for one in objects if one.kind is kind] for kind in ObjectKind}
    for kind in asked:
        if not of_kind[kind] and _can_be(kind, masks, stack):
            raise Refused(Reason.FAILED_CHECK, f"stack {stack.key}", f"no {kind} was made of {len(masks)} masks")
    segs = of_kind[ObjectKind.SEG]
    for seg_type in {seg.alternative for seg in segs}:
        check_segs([seg for seg in segs if seg.alternative is seg_type], masks, stack)
    for report in of_kind[ObjectKind.SR]:
        check_report(report, [seg for seg in segs if seg.alternative is report.alternative], masks, stack)
    for structure_set in of_kind[ObjectKind.RTSTRUCT]:
        what = f"{structure_set.kind} {structure_set.sop_instance_uid}"
        check_structure_set(structure_set.content, masks, stack, what)
    check_pictures(of_kind[ObjectKind.SC], masks, stack)
    check_presentation_states(of_kind[ObjectKind.PR], masks, stack)


def _can_be(kind: ObjectKind, masks: Sequence[Mask], stack: Stack) -> bool:
    """Return whether there is an object of `kind`: only a report tells of nothing, and contours are places."""
    found = any(mask.voxels for mask in masks)
    match kind:
        case ObjectKind.SR:
            return bool(masks)
        case ObjectKind.RTSTRUCT:
            return found and stack.frame_of_reference_uid is not None
        case ObjectKind.SEG | ObjectKind.SC | ObjectKind.PR:
            return found
