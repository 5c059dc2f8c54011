"""What a job found, and the headers that its results copy: every object is made of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pydicom import Dataset

from dicomnode.dicom.reading import noted, read_dataset
from dicomnode.dicom.results.colours import coloured
from dicomnode.dicom.results.sources import SourceHeader, newest_time, source_headers
from dicomnode.domain import Annotation, AnnotationKind, Mask, ModelIdentity, Stack


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """The masks of one annotation on one stack, what made them, and the headers of what they were made of.

    Each mask has a colour. `headers` are those of the planes in their order, the first whole; `drawn` is that of the
    annotation, empty for boxes that a user wrote. `device_serial_number` is that of this node, as the site has it.
    """

    masks: tuple[Mask, ...]
    stack: Stack
    annotation: Annotation
    model: ModelIdentity
    device_serial_number: str
    headers: tuple[SourceHeader, ...] = field(repr=False)
    drawn: Dataset = field(repr=False)

    @property
    def source(self) -> Dataset:
        """Return the header of the first plane, healed and whole: what is the same in all objects comes from there."""
        return self.headers[0].ds

    @property
    def newest(self) -> tuple[str, str]:
        """Return the newest (date, time) of the images and the annotation."""
        return newest_time((*(one.ds for one in self.headers), self.drawn))

    @property
    def is_empty(self) -> bool:
        """Return whether no mask has a voxel."""
        return not any(mask.voxels for mask in self.masks)


def findings_of(
    masks: Sequence[Mask], stack: Stack, annotation: Annotation, model: ModelIdentity, device_serial_number: str
) -> Findings:
    """Return what was found, with the headers of all that it was made of."""
    with noted([]):
        headers = source_headers(stack)
    return Findings(
        masks=coloured(masks),
        stack=stack,
        annotation=annotation,
        model=model,
        device_serial_number=device_serial_number,
        headers=headers,
        drawn=_header(annotation),
    )


def parts_of(findings: Findings) -> Iterator[Findings]:
    """Yield what lies in one space: all of it, or without a frame of reference each plane alone.

    Planes without frame of reference lie nowhere, not even beside each other. A part without a voxel is left out; a
    mask without one is in the first part that is not, or else nothing would list it.
    """
    if findings.stack.frame_of_reference_uid:
        if not findings.is_empty:
            yield findings
        return
    listed = False
    for index, plane in enumerate(findings.stack.planes):
        there = [mask for mask in findings.masks if index in mask.planes or not (listed or mask.voxels)]
        here = [_on_plane(mask, index) for mask in there]
        if any(mask.voxels for mask in here):
            listed = True
            alone = replace(findings.stack, planes=(plane,))
            yield findings_of(here, alone, findings.annotation, findings.model, findings.device_serial_number)


def _on_plane(mask: Mask, index: int) -> Mask:
    """Return what `mask` has on plane `index`, as that of a stack of this plane alone."""
    planes = {0: mask.planes[index]} if index in mask.planes else {}
    probabilities = {0: mask.probabilities[index]} if index in mask.probabilities else {}
    return replace(mask, planes=planes, probabilities=probabilities, quality={})


def _header(annotation: Annotation) -> Dataset:
    if annotation.kind is AnnotationKind.BOXES:
        return Dataset()
    ds, _ = read_dataset(annotation.path, str(annotation.path), pixels=False)
    return ds
