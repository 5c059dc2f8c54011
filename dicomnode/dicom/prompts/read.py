"""Turn an annotation object into prompts: boxes and points on the planes of a stack."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydicom import Dataset

from dicomnode.dicom.naming import Tables
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.dicom.prompts.boxes import LEAST_SIDE
from dicomnode.dicom.prompts.gsps import regions_of_gsps
from dicomnode.dicom.prompts.region import Region, Regions
from dicomnode.dicom.prompts.rtstruct import regions_of_rtstruct
from dicomnode.dicom.prompts.seg import region_of_segment, regions_of_seg
from dicomnode.dicom.prompts.settle import Surroundings, settle
from dicomnode.dicom.prompts.sr import ReadSegment, Way, regions_of_sr
from dicomnode.dicom.prompts.written import regions_of_written
from dicomnode.dicom.prompts.written_files import parse_boxes_file
from dicomnode.dicom.reading import noted, read_dataset
from dicomnode.domain import Annotation, AnnotationKind, JobOptions, Prompts, Stack, Uid


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is asked for: an annotation, the others that it needs (the SEG that an SR measures), and how to read it.

    `elsewhere` are the items of its regions that are not looked for on this stack.
    """

    annotation: Annotation
    companions: tuple[Annotation, ...]
    options: JobOptions
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What reading prompts needs: decoders for masks, the tables of names, and the least side of a box in pixels."""

    decoders: Decoders
    tables: Tables
    least_side: float = LEAST_SIDE


def read_prompts(asked: Asked, stack: Stack, means: Means) -> Prompts:
    """Return what is drawn in the annotation as prompts on `stack`, and what of it gave none and why."""
    with noted([]):  # elements are decoded when they are asked for, and odd ones warn then
        regions = _regions(asked, stack, means.decoders)
    around = Surroundings(
        annotation=asked.annotation,
        stack=stack,
        options=asked.options,
        tables=means.tables,
        least_side=means.least_side,
    )
    return settle(regions, around)


def _regions(asked: Asked, stack: Stack, decoders: Decoders) -> Regions:
    annotation, options, elsewhere = asked.annotation, asked.options, asked.elsewhere
    match annotation.kind:
        case AnnotationKind.RTSTRUCT:
            return regions_of_rtstruct(_header(annotation), annotation, stack, options, elsewhere)
        case AnnotationKind.SEG:
            stored = open_pixels(annotation.path, decoders).stored
            return regions_of_seg(_header(annotation), stored, annotation, stack, options, elsewhere)
        case AnnotationKind.SR:
            segments = _segments(asked.companions, stack, decoders)
            return regions_of_sr(
                _header(annotation), annotation, stack, Way(options=options, segments=segments, elsewhere=elsewhere)
            )
        case AnnotationKind.PR:
            return regions_of_gsps(_header(annotation), annotation, stack, options, elsewhere)
        case AnnotationKind.BOXES:
            return regions_of_written(parse_boxes_file(annotation.path), stack)


def _segments(companions: Sequence[Annotation], stack: Stack, decoders: Decoders) -> dict[Uid, ReadSegment]:
    """Return what reads a segment on `stack` of each SEG among `companions`."""
    return {
        one.sop_instance_uid: partial(_segment, one, stack, decoders)
        for one in companions
        if one.kind is AnnotationKind.SEG
    }


def _segment(annotation: Annotation, stack: Stack, decoders: Decoders, number: int) -> Region:
    stored = open_pixels(annotation.path, decoders).stored
    return region_of_segment(_header(annotation), stored, number, stack, str(annotation.path))


def _header(annotation: Annotation) -> Dataset:
    ds, _ = read_dataset(annotation.path, str(annotation.path), pixels=False)
    return ds
