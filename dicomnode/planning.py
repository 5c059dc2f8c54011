"""Turn what arrived into jobs: group the images into stacks, pair the annotations with them."""

import hashlib
import json
from collections.abc import Iterable, Iterator
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
from dicomnode.errors import Reason


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
    used = {plane.image.sop_instance_uid for stack in stacks for plane in stack.planes}
    unused = [one for one in singles if not isinstance(one, Annotation) and one.sop_instance_uid not in used]
    pairs, unpaired = pair(annotations, stacks, unused)
    aside = tuple(one.exclusion for one in singles if isinstance(one, OtherInstance))
    exclusions = (*aside, *repeated, *left_out, *_cines(stacks, pairs), *unpaired)
    return Plan(stacks=stacks, annotations=annotations, pairs=pairs, exclusions=exclusions)


def _cines(stacks: Iterable[StackImages], pairs: Iterable[Pair]) -> Iterator[Exclusion]:
    """Set aside the frames without a place that no annotation means: nobody would segment them all."""
    meant = {pair.images.key for pair in pairs}
    for stack in stacks:
        if stack.is_cine and stack.key not in meant:
            detail = f"{len(stack.planes)} frames without a place, and no annotation names one of them"
            yield Exclusion(what=str(stack.planes[0].image.path), reason=Reason.UNSUPPORTED_CINE, detail=detail)


def job_of(found: Pair, options: JobOptions, model: ModelIdentity) -> Job:
    """Return the job of `found`, with its key."""
    key = job_key(found.images, found.annotation, options, model)
    return Job(key=key, images=found.images, annotation=found.annotation, options=options)


def job_key(images: StackImages, annotation: Annotation, options: JobOptions, model: ModelIdentity) -> str:
    """Return the sha256 over everything that changes a byte of the result (architecture: job_key)."""
    inputs = {
        "planes": sorted((*plane.key, plane.image.sha256) for plane in images.planes),
        "annotation": (annotation.sop_instance_uid, annotation.sha256),
        "model": asdict(model),
        "options": asdict(options),
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
