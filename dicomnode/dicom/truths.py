"""Read the masks in a segmentation or structure set, for whom they are the truth."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.dicom.prompts.rtstruct import masks_of_rtstruct
from dicomnode.dicom.prompts.seg import masks_of_seg
from dicomnode.dicom.reading import noted, read_dataset, text
from dicomnode.domain import Annotation, AnnotationKind, Exclusion, JobOptions, Pair, Stack

KINDS = (AnnotationKind.SEG, AnnotationKind.RTSTRUCT)  # that have masks


class Truth(NamedTuple):
    """Names and masks, plane index -> (row, column) bool, of an annotation on a stack, and what gave none and why."""

    masks: list[tuple[str, dict[int, NDArray[np.bool_]]]]
    exclusions: tuple[Exclusion, ...]


def truth_of(pair: Pair, stack: Stack, decoders: Decoders) -> Truth:
    """Return the masks of the annotation of `pair`, of one of KINDS, on its stack, which is read."""
    annotation, what = pair.annotation, str(pair.annotation.path)
    ds, _ = read_dataset(annotation.path, what, pixels=False)
    with noted([]):  # elements are decoded when they are asked for, and odd ones warn then
        if annotation.kind is AnnotationKind.RTSTRUCT:
            return Truth(*masks_of_rtstruct(ds, annotation, stack, JobOptions(), pair.elsewhere))
        stored = open_pixels(annotation.path, decoders).stored
        return Truth(*masks_of_seg(ds, stored, stack, pair.elsewhere, what))


def patient_of(annotation: Annotation) -> str:
    """Return the Patient ID that stands in the file of `annotation`, '' where none does."""
    ds, _ = read_dataset(annotation.path, str(annotation.path), pixels=False)
    with noted([]):
        return text(ds, "PatientID")
