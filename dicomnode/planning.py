"""Turn what arrived into jobs: group the images into stacks, pair the annotations with them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from dicomnode import __version__
from dicomnode.dicom.grouping import group, without_repeats
from dicomnode.dicom.pairing import pair
from dicomnode.domain import Annotation, Exclusion, ImageInstance, Job, ModelIdentity, Pair, PromptOptions, StackImages


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What can be done with the instances at hand, and what cannot."""

    stacks: tuple[StackImages, ...]
    pairs: tuple[Pair, ...]
    exclusions: tuple[Exclusion, ...]


def plan(images: Iterable[ImageInstance], annotations: Iterable[Annotation]) -> Plan:
    """Return which annotation means which stack, from headers alone."""
    single_images, repeated_images = without_repeats(images)
    single_annotations, repeated_annotations = without_repeats(annotations)
    stacks, left_out = group(single_images)
    pairs, unpaired = pair(single_annotations, stacks)
    exclusions = (*repeated_images, *repeated_annotations, *left_out, *unpaired)
    return Plan(stacks=stacks, pairs=pairs, exclusions=exclusions)


def job_of(found: Pair, options: PromptOptions, model: ModelIdentity) -> Job:
    """Return the job of `found`, with its key."""
    key = job_key(found.images, found.annotation, options, model)
    return Job(key=key, images=found.images, annotation=found.annotation, options=options)


def job_key(images: StackImages, annotation: Annotation, options: PromptOptions, model: ModelIdentity) -> str:
    """Return the sha256 over everything that changes a byte of the result (architecture: job_key)."""
    inputs = {
        "images": sorted((image.sop_instance_uid, image.sha256) for image in images.images),
        "annotation": (annotation.sop_instance_uid, annotation.sha256),
        "model": asdict(model),
        "options": asdict(options),
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
