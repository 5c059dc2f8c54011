"""Write the objects that a job asks for."""

from collections.abc import Iterator
from typing import NamedTuple

from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.pictures import write_pictures
from dicomnode.dicom.results.presentation import write_presentation_states
from dicomnode.dicom.results.report import write_report
from dicomnode.dicom.results.seg_types import possible_types
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.dicom.results.structure_set import write_structure_set
from dicomnode.domain import JobOptions, ObjectKind, SegType, WrittenObject


class Written(NamedTuple):
    """The objects that were made, and in words why others were not."""

    objects: tuple[WrittenObject, ...]
    notes: tuple[str, ...] = ()


def write_objects(findings: Findings, options: JobOptions) -> Written:
    """Return the objects that carry `findings`, of the kinds and the types of SEG that `options` ask for."""
    needs_segs = {ObjectKind.SEG, ObjectKind.SR} & {*options.objects}
    types, notes = possible_types(options.seg_types if needs_segs else (), findings.masks)
    segs = {seg_type: write_segs(findings, seg_type) for seg_type in types}
    made = {one.sop_instance_uid: one for one in _objects(findings, segs, options)}
    return Written(tuple(made.values()), () if findings.is_empty else (*notes, *_missing(findings, options)))


def _objects(
    findings: Findings, segs: dict[SegType, tuple[WrittenObject, ...]], options: JobOptions
) -> Iterator[WrittenObject]:
    for kind in options.objects:
        match kind:
            case ObjectKind.SEG:
                for of_type in segs.values():
                    yield from of_type
            case ObjectKind.SR:
                for seg_type, of_type in segs.items() if findings.masks else ():
                    yield write_report(findings, of_type, seg_type)  # the same for all where there is no SEG
            case ObjectKind.RTSTRUCT:
                yield from write_structure_set(findings)
            case ObjectKind.SC:
                yield from write_pictures(findings)
            case ObjectKind.PR:
                yield from write_presentation_states(findings)


def _missing(findings: Findings, options: JobOptions) -> Iterator[str]:
    """Yield why objects of a kind that is asked for cannot be."""
    if ObjectKind.RTSTRUCT in options.objects and findings.stack.frame_of_reference_uid is None:
        yield "no RTSTRUCT is made: the images do not say where in the patient they lie"
