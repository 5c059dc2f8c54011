"""Decide which stacks an annotation means: headers in, pairs out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dicomnode.dicom.coverage import coinciding, covered
from dicomnode.domain import (
    Annotation,
    AnnotationKind,
    Exclusion,
    Instance,
    OtherInstance,
    Pair,
    PairingRule,
    PlaneKey,
    StackImages,
    Uid,
)
from dicomnode.errors import Reason

# whose items are drawn on images one by one: each image that they name is meant
_DRAWN_ON_IMAGES = frozenset({AnnotationKind.SR, AnnotationKind.SEG, AnnotationKind.PR, AnnotationKind.BOXES})
_MOST = 0.9  # of the samples have to lie on the planes of a stack that is not the only one


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """Stack key -> the rule and evidence by which an annotation means it, and what leaves open which one it means."""

    means: dict[str, tuple[PairingRule, str]] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def __or__(self, other: "_Found") -> "_Found":
        """Return both; what was found first stands."""
        return _Found(means=self.means | other.means | self.means, doubts=(*self.doubts, *other.doubts))


def pair(
    annotations: Iterable[Annotation], stacks: Sequence[StackImages], unused: Sequence[Instance] = ()
) -> tuple[tuple[Pair, ...], tuple[Exclusion, ...]]:
    """Return the stacks each annotation means and the proof, and what of the annotations means none or several alike.

    The strongest evidence decides: the images it names, else the series, else each frame of reference within the
    study; where several stacks have it, what is drawn must lie on the planes of one. An annotation of another one, as
    the measurements of a SEG are, means what that one means. Instances that are here and not looked at are `unused`:
    an annotation that means them is told so.
    """
    known = {one.sop_instance_uid: one for one in annotations}
    pairs: list[Pair] = []
    unpaired: list[Exclusion] = []
    for annotation in known.values():
        found = _with_companions(annotation, stacks, known)
        pairs.extend(_pairs_of(annotation, stacks, known, found))
        what = str(annotation.path)
        unpaired.extend(Exclusion(what=what, reason=Reason.AMBIGUOUS_SERIES, detail=doubt) for doubt in found.doubts)
        if not found.means and not found.doubts:
            unpaired.append(_missing(annotation, stacks, unused))
    return tuple(pairs), tuple(unpaired)


def _pairs_of(
    annotation: Annotation, stacks: Sequence[StackImages], known: Mapping[Uid, Annotation], found: _Found
) -> tuple[Pair, ...]:
    by_key = {stack.key: stack for stack in stacks}
    companions = _companions(annotation, known)
    return tuple(
        Pair(annotation=annotation, images=by_key[key], rule=rule, evidence=evidence, companions=companions)
        for key, (rule, evidence) in found.means.items()
    )


def _companions(annotation: Annotation, known: Mapping[Uid, Annotation]) -> tuple[Annotation, ...]:
    return tuple(known[uid] for uid in annotation.objects if uid in known)


def _with_companions(annotation: Annotation, stacks: Sequence[StackImages], known: Mapping[Uid, Annotation]) -> _Found:
    """Return what `annotation` and its companions mean; a doubtful companion takes nothing from what is clear."""
    found = _found(annotation, stacks)
    others = _Found()
    for companion in _companions(annotation, known):
        one = _found(companion, stacks)
        others |= _Found(means=one.means, doubts=tuple(f"{companion.path}: {doubt}" for doubt in one.doubts))
    if found.means or others.means:
        others = _Found(means=others.means)
    return found | others


def _found(annotation: Annotation, stacks: Sequence[StackImages]) -> _Found:
    """Return which of `stacks` `annotation` itself means."""
    found = _by_names(annotation, stacks)
    if found.doubts or (found.means and annotation.kind is not AnnotationKind.SR):
        return found
    reached = {stack.frame_of_reference_uid for stack in stacks if stack.key in found.means}
    for frame in annotation.frames_of_reference:
        near = [
            stack
            for stack in stacks
            if stack.study_uid == annotation.study_uid and stack.frame_of_reference_uid == frame
        ]
        if near and frame not in reached:
            evidence = f"it has its frame of reference{_absent(annotation, stacks)}"
            found |= _only(annotation, near, PairingRule.FRAME_OF_REFERENCE, evidence)
    return found


def _by_names(annotation: Annotation, stacks: Sequence[StackImages]) -> _Found:
    """Return which of `stacks` `annotation` means by the images that it names, else by the series."""
    named = {stack.key: count for stack in stacks if (count := _named(annotation, stack))}
    if named:
        return _by_images(annotation, [stack for stack in stacks if stack.key in named], named)
    listed = [stack for stack in stacks if stack.series_uid in annotation.referenced_series]
    if listed:
        evidence = f"it names the series{_absent(annotation, stacks)}"
        return _only(annotation, listed, PairingRule.SERIES, evidence)
    return _Found()


def _by_images(annotation: Annotation, stacks: list[StackImages], named: Mapping[str, int]) -> _Found:
    total = sum(count for _, count in annotation.references)
    evidence = {key: f"{count} of its {total} image references" for key, count in named.items()}
    if annotation.kind in _DRAWN_ON_IMAGES and _has_frames(annotation, stacks):
        return _Found(means={key: (PairingRule.IMAGES, words) for key, words in evidence.items()})
    most = max(named.values())
    best = [stack for stack in stacks if named[stack.key] == most]
    return _only(annotation, best, PairingRule.IMAGES, evidence[best[0].key])


def _has_frames(annotation: Annotation, stacks: Sequence[StackImages]) -> bool:
    """Return whether no reference leaves open which of several stacks of one multi-frame image it means."""
    whole = {plane.sop_instance_uid for plane, _ in annotation.references if plane.frame is None}
    holders = [whole & {plane.image.sop_instance_uid for plane in stack.planes} for stack in stacks]
    return sum(map(len, holders)) == len(set().union(*holders))


def _named(annotation: Annotation, stack: StackImages) -> int:
    """Count the references of `annotation` to planes of `stack`; one to an image means all its frames."""
    planes = {plane.key for plane in stack.planes}
    planes |= {PlaneKey(key.sop_instance_uid) for key in planes}
    planes |= {PlaneKey(key.sop_instance_uid, 1) for key in planes if key.frame is None}
    return sum(count for plane, count in annotation.references if plane in planes)


def _absent(annotation: Annotation, stacks: Sequence[StackImages]) -> str:
    """Return in words what `annotation` names and is in none of `stacks`, '' where all of it is."""
    images = {plane.sop_instance_uid for plane, _ in annotation.references}
    images -= {plane.image.sop_instance_uid for stack in stacks for plane in stack.planes}
    if images:
        return f"; the {len(images)} images it names are not here"
    series = set(annotation.referenced_series) - {stack.series_uid for stack in stacks}
    return f"; the {len(series)} series it names are not here" if series else ""


def _only(annotation: Annotation, stacks: list[StackImages], rule: PairingRule, evidence: str) -> _Found:
    """Return the only one of `stacks`, or the one on whose planes clearly more lies of what is drawn."""
    if len(stacks) == 1:
        return _Found(means={stacks[0].key: (rule, evidence)})
    drawn = len(annotation.samples)
    on_planes = {stack.key: coinciding(annotation.samples, stack) for stack in stacks}
    near = {stack.key: covered(annotation.samples, stack) for stack in stacks}
    if best := _all_of(on_planes, drawn) or _clearly(on_planes, drawn):
        words = f"{evidence}, and {on_planes[best]} of {drawn} sampled points lie on its planes"
        return _Found(means={best: (PairingRule.GEOMETRY, words)})
    best = _clearly(near, drawn)
    if best and on_planes[best] == max(on_planes.values()):
        words = f"{evidence}, and {near[best]} of {drawn} sampled points lie in its slices"
        return _Found(means={best: (PairingRule.GEOMETRY, words)})
    keys = ", ".join(stack.key for stack in stacks)
    return _Found(doubts=(f"{len(stacks)} stacks fit it alike by {rule}: {keys}",))


def _all_of(counts: Mapping[str, int], drawn: int) -> str | None:
    """Return the only stack that has all that is drawn, None where none or several have."""
    full = [key for key, count in counts.items() if count == drawn > 0]
    return full[0] if len(full) == 1 else None


def _clearly(counts: Mapping[str, int], drawn: int) -> str | None:
    """Return the stack that has nearly all that is drawn, while no other has half as much; None where none is so."""
    best, second = sorted(counts, key=lambda key: -counts[key])[:2]
    most = counts[best]
    return best if most and most >= _MOST * drawn and 2 * counts[second] < most else None


def _missing(annotation: Annotation, stacks: Sequence[StackImages], unused: Sequence[Instance]) -> Exclusion:
    """Return why `annotation` means nothing that is here."""
    what = str(annotation.path)
    own = {one.sop_instance_uid for one in unused if isinstance(one, Annotation) and one.own}
    if own & set(annotation.objects):
        detail = "dicomnode made the segmentation that it measures, which is set aside"
        return Exclusion(what=what, reason=Reason.OWN_RESULT, detail=detail)
    named = {plane.sop_instance_uid for plane, _ in annotation.references}
    series = f"series {', '.join(annotation.referenced_series)}" if annotation.referenced_series else "no series"
    others = f", {len(annotation.objects)} other annotations" if annotation.objects else ""
    refers = f"it refers to {len(named)} images, {series}{others}"
    images = [one for one in unused if not isinstance(one, Annotation)]
    aside = [one for one in images if one.sop_instance_uid in named or one.series_uid in annotation.referenced_series]
    if not aside:
        detail = f"{refers}: none of them is in the {len(stacks)} stacks here"
        return Exclusion(what=what, reason=Reason.NO_IMAGES, detail=detail)
    reasons = ", ".join(sorted({one.exclusion.reason.value for one in aside if isinstance(one, OtherInstance)}))
    detail = f"{refers}: {len(aside)} of them are here, but make no stack ({reasons or 'see above'})"
    return Exclusion(what=what, reason=Reason.NO_IMAGES, detail=detail)
