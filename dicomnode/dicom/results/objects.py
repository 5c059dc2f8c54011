"""Write the objects that a job asks for."""

from collections.abc import Iterator
from typing import NamedTuple

from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.report import write_report
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.domain import JobOptions, ObjectKind, SegType, WrittenObject


class Written(NamedTuple):
    """The objects that were made, and in words why others were not."""

    objects: tuple[WrittenObject, ...]
    notes: tuple[str, ...] = ()


def write_objects(findings: Findings, options: JobOptions) -> Written:
    """Return the objects that carry `findings`, of the kinds and the types of SEG that `options` ask for."""
    segs = {seg_type: write_segs(findings, seg_type) for seg_type in options.seg_types}
    objects = _objects(findings, segs, options)
    return Written(tuple({made.sop_instance_uid: made for made in objects}.values()))


def _objects(
    findings: Findings, segs: dict[SegType, tuple[WrittenObject, ...]], options: JobOptions
) -> Iterator[WrittenObject]:
    kinds = (ObjectKind.SEG, *options.objects) if ObjectKind.SR in options.objects else options.objects
    for kind in dict.fromkeys(kinds):  # a report refers to the SEGs: it does not come without them
        match kind:
            case ObjectKind.SEG:
                for of_type in segs.values():
                    yield from of_type
            case ObjectKind.SR:
                for seg_type, of_type in segs.items() if findings.masks else ():
                    yield write_report(findings, of_type, seg_type)  # the same for all where there is no SEG
            case ObjectKind.RTSTRUCT | ObjectKind.SC | ObjectKind.PR:
                raise NotImplementedError(kind)
