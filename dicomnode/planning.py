"""Turn what arrived into jobs: group the images into stacks, pair the annotations with them."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

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
    Uid,
)
from dicomnode.errors import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What can be done with the instances at hand; `left_out` cannot."""

    stacks: tuple[StackImages, ...]
    annotations: tuple[Annotation, ...]
    pairs: tuple[Pair, ...]
    left_out: tuple[Exclusion, ...]

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """Return what cannot be done, with the films of which no pair means a frame."""
        return (*self.left_out, *_cines(self.stacks, self.pairs))

    def only_of(self, study_uid: Uid) -> "Plan":
        """Return the plan of the annotations of the study: those of others, which it needs, are planned there."""
        foreign = [str(one.path) for one in self.annotations if one.study_uid != study_uid]
        return replace(
            self,
            annotations=tuple(one for one in self.annotations if one.study_uid == study_uid),
            pairs=tuple(pair for pair in self.pairs if pair.annotation.study_uid == study_uid),
            left_out=tuple(one for one in self.left_out if not any(_is_of(one, path) for path in foreign)),
        )


def plan(instances: Iterable[Instance], *, own_results: bool = False) -> Plan:
    """Return which of `instances` make stacks, and which annotation means which stack, from headers alone.

    What dicomnode made is no prompt, unless `own_results` are asked for.
    """
    singles, repeated = without_repeats(instances)
    images = [one for one in singles if isinstance(one, ImageInstance)]
    annotations = tuple(one for one in singles if isinstance(one, Annotation) and (own_results or not one.own))
    stacks, left_out = group(images)
    used = {plane.image.sop_instance_uid for stack in stacks for plane in stack.planes}
    used |= {one.sop_instance_uid for one in annotations}
    unused = [one for one in singles if one.sop_instance_uid not in used]
    pairs, unpaired = pair(annotations, stacks, unused)
    aside = tuple(one.exclusion for one in singles if isinstance(one, OtherInstance))
    own = () if own_results else tuple(_own(singles))
    return Plan(
        stacks=stacks,
        annotations=annotations,
        pairs=pairs,
        left_out=(*aside, *own, *repeated, *left_out, *unpaired),
    )


def _is_of(left_out: Exclusion, path: str) -> bool:
    """Return whether `left_out` is about the annotation at `path`, or a region of it."""
    return left_out.what == path or left_out.what.startswith(f"{path} ")


def _own(instances: Iterable[Instance]) -> Iterator[Exclusion]:
    for one in instances:
        if isinstance(one, Annotation) and one.own:
            yield Exclusion(what=str(one.path), reason=Reason.OWN_RESULT, detail="dicomnode made it")


def _cines(stacks: Iterable[StackImages], pairs: Iterable[Pair]) -> Iterator[Exclusion]:
    """Set aside the frames without a place that no annotation means: nobody would segment them all."""
    meant = {pair.images.key for pair in pairs}
    for stack in stacks:
        if stack.is_cine and stack.key not in meant:
            detail = f"{len(stack.planes)} frames without a place, and no annotation names one of them"
            yield Exclusion(what=str(stack.planes[0].image.path), reason=Reason.UNSUPPORTED_CINE, detail=detail)


def job_of(found: Pair, options: JobOptions, model: ModelIdentity) -> Job:
    """Return the job of `found`, with its key."""
    key = job_key(found, options, model)
    return Job(
        key=key,
        images=found.images,
        annotation=found.annotation,
        options=options,
        companions=found.companions,
        elsewhere=found.elsewhere,
    )


def job_key(found: Pair, options: JobOptions, model: ModelIdentity) -> str:
    """Return the sha256 over everything that changes a byte of the result (architecture: job_key)."""
    inputs = {
        "planes": sorted((*plane.key, plane.image.digest) for plane in found.images.planes),
        "annotations": [(one.sop_instance_uid, one.digest) for one in (found.annotation, *found.companions)],
        "model": asdict(model),
        "options": asdict(replace(options, labels=())),  # the digest of the names stands for where their files lie
        "version": __version__,
        **({"elsewhere": found.elsewhere} if found.elsewhere else {}),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
