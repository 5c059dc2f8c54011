"""Prove that written objects say what was found."""

from collections.abc import Sequence

from dicomnode.dicom.results.pictures_check import check_pictures
from dicomnode.dicom.results.presentation_check import check_presentation_states
from dicomnode.dicom.results.report_check import check_report
from dicomnode.dicom.results.seg_check import check_segs
from dicomnode.dicom.results.structure_set_check import check_structure_set
from dicomnode.domain import Mask, ObjectKind, Stack, WrittenObject


def check(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every object and compare them with `masks`; refuse with FAILED_CHECK where they differ.

    Those of a kind, and the SEGs of each type, must hold all of the masks.
    """
    of_kind = {kind: [one for one in objects if one.kind is kind] for kind in ObjectKind}
    segs = of_kind[ObjectKind.SEG]
    types = {seg.alternative for seg in segs}
    if not objects:
        types.add(None)  # there may be none only where nothing was found
    for seg_type in types:
        check_segs([seg for seg in segs if seg.alternative is seg_type], masks, stack)
    for report in of_kind[ObjectKind.SR]:
        check_report(report, [seg for seg in segs if seg.alternative is report.alternative], masks, stack)
    for structure_set in of_kind[ObjectKind.RTSTRUCT]:
        what = f"{structure_set.kind} {structure_set.sop_instance_uid}"
        check_structure_set(structure_set.content, masks, stack, what)
    check_pictures(of_kind[ObjectKind.SC], masks, stack)
    check_presentation_states(of_kind[ObjectKind.PR], masks, stack)
