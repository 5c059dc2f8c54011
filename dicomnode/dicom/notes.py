"""Gather what was odd or was adjusted on the way, and did not stop a job."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dicomnode.domain import Fact, Job, Mask, Stack, StackImages
from dicomnode.geometry import multiples


def notes_of(job: Job, stack: Stack, masks: Sequence[Mask]) -> tuple[str, ...]:
    """Return in words what a user should know of the images, the annotation, the stack and the `masks` of `job`."""
    return (
        *notes_on(job.images, stack),
        *(f"annotation: {note}" for note in job.annotation.notes),
        *(f"{mask.prompt.label}: {note}" for mask in masks for note in (*mask.prompt.notes, *mask.notes)),
    )


def notes_on(found: StackImages, stack: Stack) -> tuple[str, ...]:
    """Return in words what a user should know of the images and the planes of a stack."""
    return (*_of_images(found), *_of_stack(stack))


def _of_images(found: StackImages) -> Iterator[str]:
    images = found.images
    for note, count in Counter(note for image in images for note in image.notes).items():
        yield f"{count} of {len(images)} images: {note}"


def _of_stack(stack: Stack) -> Iterator[str]:
    if Fact.MISSING_SLICES in stack.facts:
        missing = int((multiples(stack.gaps(), stack.thicknesses()) - 1).sum())
        yield f"{Fact.MISSING_SLICES} {missing}: planes are missing between others; volumes count those that are there"
    if Fact.IRREGULAR in stack.facts:
        yield f"{Fact.IRREGULAR}: the distances between planes are {stack.gaps().min():g} to {stack.gaps().max():g} mm"
    if Fact.SHEARED in stack.facts:
        yield f"{Fact.SHEARED}: the planes are not stacked along their normal (gantry tilt)"
