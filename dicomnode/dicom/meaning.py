"""Decide which stacks one region of an annotation means, and by what evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dicomnode.dicom.coverage import coinciding, covered
from dicomnode.domain import (
    Annotation,
    AnnotationKind,
    PairingRule,
    PlaneKey,
    RegionFacts,
    StackImages,
    Uid,
    Vector,
)

# whose items are drawn on images one by one: each image that they name is meant
_DRAWN_ON_IMAGES = frozenset({AnnotationKind.SR, AnnotationKind.SEG, AnnotationKind.PR, AnnotationKind.BOXES})
_MOST = 0.9  # of the samples have to lie on the planes of a stack that is not the only one


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A stack that is meant, by its key; `words` say why, with `count` and `total` where they have room for them."""

    key: str
    rule: PairingRule
    words: str
    count: int = 0
    total: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """The stacks that a region means, or the `candidates` of which it leaves open which one it means."""

    choices: tuple[Choice, ...] = ()
    candidates: tuple[StackImages, ...] = ()
    doubt: str = ""


def meaning_of(region: RegionFacts, annotation: Annotation, stacks: Sequence[StackImages]) -> Meaning:
    """Return which of `stacks` the `region` of `annotation` means.

    The images that it is drawn on decide. Images and series that are only listed nominate stacks, else the frame of
    reference does within the study; where it nominates several, what is drawn must lie on the planes of one.
    A series that is listed, and holds none of the images drawn on, is another one than that which is meant.
    """
    named = {stack.key: count for stack in stacks if (count := named_in(region.references, stack))}
    if named:
        return _by_images(region, annotation, [stack for stack in stacks if stack.key in named], named)
    if needs_images(region, annotation):
        return Meaning()
    listed = _listed(region, annotation, stacks)
    inside = [stack for stack in listed if region.frame_of_reference in {None, stack.frame_of_reference_uid}]
    near = _near(region, annotation, stacks)
    if inside or not near:  # another frame of reference is refused where it is read, with what was found
        return _listing(region, annotation, inside or listed, stacks)
    evidence = f"it has its frame of reference{_absent(region, annotation, stacks)}"
    return only(region.samples, near, PairingRule.FRAME_OF_REFERENCE, evidence)


def needs_images(region: RegionFacts, annotation: Annotation) -> bool:
    """Return whether `region` is nothing without the images it names: it has no place in the patient and no mask."""
    by_itself = region.samples or region.frame_of_reference or region.objects
    return annotation.kind in {AnnotationKind.SR, AnnotationKind.PR} and bool(region.references) and not by_itself


def named_in(references: Iterable[tuple[PlaneKey, int]], stack: StackImages) -> int:
    """Count the `references` to planes of `stack`; one to an image means all its frames."""
    planes = names_of(stack)
    return sum(count for plane, count in references if plane in planes)


def names_of(stack: StackImages) -> set[PlaneKey]:
    """Return what may name a plane of `stack`: image and frame, a whole image, frame 1 of one without frames."""
    planes = {plane.key for plane in stack.planes}
    planes |= {PlaneKey(key.sop_instance_uid) for key in planes}
    return planes | {PlaneKey(key.sop_instance_uid, 1) for key in planes if key.frame is None}


def only(samples: Sequence[Vector], stacks: Sequence[StackImages], rule: PairingRule, evidence: str) -> Meaning:
    """Return the only one of `stacks`, or the one on whose planes clearly more lies of `samples`, in patient mm."""
    if len(stacks) == 1:
        return Meaning(choices=(Choice(key=stacks[0].key, rule=rule, words=evidence),))
    drawn = len(samples)
    on_planes = {stack.key: coinciding(samples, stack) for stack in stacks}
    near = {stack.key: covered(samples, stack) for stack in stacks}
    if best := _all_of(on_planes, drawn) or _clearly(on_planes, drawn):
        words = f"{evidence}, and {{count}} of {{total}} sampled points lie on its planes"
        return _by_geometry(best, words, on_planes[best], drawn)
    best = _clearly(near, drawn)
    if best and on_planes[best] == max(on_planes.values()):
        words = f"{evidence}, and {{count}} of {{total}} sampled points lie in its slices"
        return _by_geometry(best, words, near[best], drawn)
    keys = ", ".join(stack.key for stack in stacks)
    return Meaning(candidates=tuple(stacks), doubt=f"{len(stacks)} stacks fit it alike by {rule}: {keys}")


def _by_geometry(key: str, words: str, count: int, total: int) -> Meaning:
    return Meaning(choices=(Choice(key=key, rule=PairingRule.GEOMETRY, words=words, count=count, total=total),))


def _by_images(
    region: RegionFacts, annotation: Annotation, stacks: Sequence[StackImages], named: Mapping[str, int]
) -> Meaning:
    total = sum(count for _, count in annotation.references)
    words = "{count} of its {total} image references"
    if annotation.kind in _DRAWN_ON_IMAGES and _has_frames(region, stacks):
        rule = PairingRule.IMAGES
        return Meaning(
            choices=tuple(Choice(key=key, rule=rule, words=words, count=n, total=total) for key, n in named.items())
        )
    most = max(named.values())
    best = [stack for stack in stacks if named[stack.key] == most]
    if len(best) == 1:
        return Meaning(
            choices=(Choice(key=best[0].key, rule=PairingRule.IMAGES, words=words, count=most, total=total),)
        )
    return only(region.samples, best, PairingRule.IMAGES, f"{most} of its {total} image references")


def _has_frames(region: RegionFacts, stacks: Sequence[StackImages]) -> bool:
    """Return whether no reference leaves open which of several stacks of one multi-frame image it means."""
    whole = {plane.sop_instance_uid for plane, _ in region.references if plane.frame is None}
    holders = [whole & {plane.image.sop_instance_uid for plane in stack.planes} for stack in stacks]
    return sum(map(len, holders)) == len(set().union(*holders))


def _listed(region: RegionFacts, annotation: Annotation, stacks: Sequence[StackImages]) -> list[StackImages]:
    """Return the stacks that have images which `annotation` lists, else those of the series that it lists."""
    holding = [stack for stack in stacks if _listed_in(region, annotation, stack)]
    return holding or [stack for stack in stacks if stack.series_uid in region.series]


def _listed_in(region: RegionFacts, annotation: Annotation, stack: StackImages) -> int:
    """Count the images of `stack` that `annotation` lists; it does where nothing that is drawn names an image."""
    drawn = bool(region.references) or any(one.references for one in annotation.regions)
    return 0 if drawn else named_in(annotation.references, stack)


def _listing(
    region: RegionFacts, annotation: Annotation, listed: Sequence[StackImages], stacks: Sequence[StackImages]
) -> Meaning:
    """Return which of the stacks that are `listed` is meant; to be listed does not prove it, where several are."""
    if not listed:
        return Meaning()
    counts = [_listed_in(region, annotation, stack) for stack in listed]
    if not any(counts):
        words = f"it names the series{_absent(region, annotation, stacks)}"
        return only(region.samples, listed, PairingRule.SERIES, words)
    if len(listed) > 1:
        return only(region.samples, listed, PairingRule.IMAGES, f"it lists images of {len(listed)} stacks")
    total = sum(count for _, count in annotation.references)
    words = "it lists {count} images of the stack, of {total}"
    return Meaning(
        choices=(Choice(key=listed[0].key, rule=PairingRule.IMAGES, words=words, count=counts[0], total=total),)
    )


def _near(region: RegionFacts, annotation: Annotation, stacks: Sequence[StackImages]) -> list[StackImages]:
    """Return the stacks of the study in the region's frame of reference, but those of series listed beside its own."""
    others = set(annotation.referenced_series) - set(region.series)
    return [
        stack
        for stack in stacks
        if stack.study_uid == annotation.study_uid
        and stack.frame_of_reference_uid == region.frame_of_reference is not None
        and stack.series_uid not in others
    ]


def _absent(region: RegionFacts, annotation: Annotation, stacks: Sequence[StackImages]) -> str:
    """Return in words what `region` names and is in none of `stacks`, '' where all of it is."""
    images = {plane.sop_instance_uid for plane, _ in region.references or annotation.references}
    images -= {plane.image.sop_instance_uid for stack in stacks for plane in stack.planes}
    if images:
        return f"; the {len(images)} images it names are not here"
    series: set[Uid] = set(annotation.referenced_series) - {stack.series_uid for stack in stacks}
    return f"; the {len(series)} series it names are not here" if series else ""


def _all_of(counts: Mapping[str, int], drawn: int) -> str | None:
    """Return the only stack that has all that is drawn, None where none or several have."""
    full = [key for key, count in counts.items() if count == drawn > 0]
    return full[0] if len(full) == 1 else None


def _clearly(counts: Mapping[str, int], drawn: int) -> str | None:
    """Return the stack that has nearly all that is drawn, while no other has half as much; None where none is so."""
    best, second = sorted(counts, key=lambda key: -counts[key])[:2]
    most = counts[best]
    return best if most and most >= _MOST * drawn and 2 * counts[second] < most else None
