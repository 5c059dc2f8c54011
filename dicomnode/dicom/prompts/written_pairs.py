"""Pair the boxes that a user writes with the stacks they mean, as annotations that lie in files of their own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dicomnode.dicom.prompts.written import WrittenBox, resolve
from dicomnode.dicom.prompts.written_files import document_of
from dicomnode.dicom.uids import uid_of
from dicomnode.digests import new_digest
from dicomnode.domain import Annotation, AnnotationKind, Exclusion, Pair, PairingRule, StackImages, Uid

_EVIDENCE = "its target names the stack"


def pair_written(
    boxes: Iterable[WrittenBox], stacks: Sequence[StackImages], folder: Path
) -> tuple[tuple[Pair, ...], tuple[Exclusion, ...]]:
    """Return an annotation of all boxes of a stack paired with it, and the boxes that mean no stack and why.

    The annotations are kept as files in `folder`, to be there as long as they are read.
    """
    numbered = [replace(one, item=str(number)) for number, one in enumerate(boxes, start=1)]
    found = resolve(numbered, stacks)
    pairs = tuple(_pair(found.boxes[stack.key], stack, folder) for stack in stacks if stack.key in found.boxes)
    return pairs, found.exclusions


def _pair(boxes: Sequence[WrittenBox], stack: StackImages, folder: Path) -> Pair:
    content = document_of(replace(one, what="") for one in boxes)  # the same boxes of another file are the same
    uid = uid_of("boxes", content, stack.key)
    path = folder / f"{uid}.json"
    path.write_text(document_of(boxes), encoding="utf-8")
    annotation = Annotation(
        sop_instance_uid=uid,
        sop_class_uid=Uid(""),
        series_uid=stack.series_uid,
        study_uid=stack.study_uid,
        digest=new_digest(content.encode()).hexdigest(),
        path=path,
        kind=AnnotationKind.BOXES,
        references=(),
        referenced_series=(stack.series_uid,),
        frames_of_reference=(),
    )
    return Pair(annotation=annotation, images=stack, rule=PairingRule.IMAGES, evidence=_EVIDENCE)
