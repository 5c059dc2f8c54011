"""Turn an annotation object into prompts: boxes on the planes of a stack."""

from dicomnode.dicom.prompts.rtstruct import boxes_of_contours
from dicomnode.dicom.reading import read_dataset
from dicomnode.domain import Annotation, AnnotationKind, JobOptions, Prompts, Stack


def read_prompts(annotation: Annotation, stack: Stack, options: JobOptions) -> Prompts:
    """Return the boxes drawn in `annotation` as boxes on the planes of `stack`, and what of it gave none and why."""
    ds, _ = read_dataset(annotation.path, str(annotation.path), pixels=False)
    match annotation.kind:
        case AnnotationKind.RTSTRUCT:
            return boxes_of_contours(ds, annotation, stack, options)
