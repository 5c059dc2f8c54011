"""Turn what arrived into jobs: group the images into stacks, pair the annotations with them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from dicomnode import __version__
from dicomnode.dicom.grouping import group, without_repeats
from dicomnode.dicom.pairing import pair
from dicomnode.domain import (
    Annotation,
    Exclusion,
    ImageInstance,
    Instance,
    Job,
    JobOptions,
    ModelIdentity,
    OtherInstance,
    Pair,
    StackImages,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What can be done with the instances at hand, and what cannot."""

    stacks: tuple[StackImages, ...]
    annotations: tuple[Annotation, ...]
    pairs: tuple[Pair, ...]
    exclusions: tuple[Exclusion, ...]


def plan(instances: Iterable[Instance]) -> Plan:
    """Return which of `instances` make stacks, and which annotation means which stack, from headers alone."""
    singles, repeated = without_repeats(instances)
    images = [one for one in singles if isinstance(one, ImageInstance)]
    annotations = tuple(one for one in singles if isinstance(one, Annotation))
    stacks, left_out = group(images)
    used = {image.sop_instance_uid for stack in stacks for image in stack.images}
    unused = [one for one in singles if not isinstance(one, Annotation) and one.sop_instance_uid not in used]
    pairs, unpaired = pair(annotations, stacks, unused)
    aside = tuple(one.exclusion for one in singles if isinstance(one, OtherInstance))
    exclusions = (*aside, *repeated, *left_out, *unpaired)
    return Plan(stacks=stacks, annotations=annotations, pairs=pairs, exclusions=exclusions)


def job_of(found: Pair, options: JobOptions, model: ModelIdentity) -> Job:
    """Return the job of `found`, with its key."""
    key = job_key(found.images, found.annotation, options, model)
    return Job(key=key, images=found.images, annotation=found.annotation, options=options)


def job_key(images: StackImages, annotation: Annotation, options: JobOptions, model: ModelIdentity) -> str:
    """Return the sha256 over everything that changes a byte of the result (architecture: job_key)."""
    inputs = {
        "images": sorted((image.sop_instance_uid, image.sha256) for image in images.images),
        "annotation": (annotation.sop_instance_uid, annotation.sha256),
        "model": asdict(model),
        "options": asdict(options),
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
