"""Decide which stacks an annotation means, region by region: headers in, pairs out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dicomnode.dicom.meaning import Choice, Meaning, meaning_of, names_of, needs_images, only
from dicomnode.domain import (
    Annotation,
    AnnotationKind,
    Exclusion,
    Instance,
    OtherInstance,
    Pair,
    PairingRule,
    RegionFacts,
    StackImages,
    Uid,
)
from dicomnode.errors import Reason

_DRAWN_AS_ONE = frozenset({AnnotationKind.RTSTRUCT, AnnotationKind.SEG})  # as a rule on one series
_STRENGTH = {rule: number for number, rule in enumerate(PairingRule)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """A region of an annotation and what it means."""

    region: RegionFacts
    meaning: Meaning

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of the stacks that it means."""
        return frozenset(choice.key for choice in self.meaning.choices)


def pair(
    annotations: Iterable[Annotation], stacks: Sequence[StackImages], unused: Sequence[Instance] = ()
) -> tuple[tuple[Pair, ...], tuple[Exclusion, ...]]:
    """Return the stacks each annotation means and the proof, and what of the annotations means none or several alike.

    Each region is decided by itself, by the strongest evidence (`meaning_of`). One of another annotation, as the
    measurements of a SEG are, means what that one means. What of a structure set or segmentation fits several stacks
    alike means the one that the rest of it means. Instances that are here and not looked at are `unused`: an
    annotation that means them is told so.
    """
    known = {one.sop_instance_uid: one for one in annotations}
    pairs: list[Pair] = []
    unpaired: list[Exclusion] = []
    for annotation in known.values():
        read = _read(annotation, stacks, known)
        pairs.extend(_pairs_of(annotation, stacks, known, read))
        unpaired.extend(_unpaired(annotation, stacks, unused, read))
    return tuple(pairs), tuple(unpaired)


def _read(annotation: Annotation, stacks: Sequence[StackImages], known: Mapping[Uid, Annotation]) -> list[_Read]:
    """Return what each region of `annotation` means; what is empty has no say, where something is drawn."""
    drawn = [one for one in annotation.regions if one.references or one.samples or one.objects]
    regions = drawn or annotation.regions or _as_one(annotation)
    read = [_Read(region=one, meaning=_meaning(one, annotation, stacks, known)) for one in regions]
    return _as_the_rest(annotation, read) if annotation.kind in _DRAWN_AS_ONE else read


def _as_one(annotation: Annotation) -> tuple[RegionFacts, ...]:
    """Return `annotation` as one region, and one for each further frame of reference that it is drawn in."""
    first, *others = annotation.frames_of_reference or (None,)
    one = RegionFacts(
        references=annotation.references,
        series=annotation.referenced_series,
        frame_of_reference=first,
        samples=annotation.samples,
        objects=annotation.objects,
    )
    return one, *(replace(one, references=(), objects=(), frame_of_reference=frame) for frame in others)


def _meaning(
    region: RegionFacts, annotation: Annotation, stacks: Sequence[StackImages], known: Mapping[Uid, Annotation]
) -> Meaning:
    """Return what `region` and the annotations that have its mask mean; a doubt takes nothing from what is clear."""
    own = meaning_of(region, annotation, stacks)
    holders = [known[uid] for uid in region.objects if uid in known]
    theirs = [(holder, read.meaning) for holder in holders for read in _read(holder, stacks, {})]
    found = {choice.key: choice for _, meaning in theirs for choice in meaning.choices}
    found |= {choice.key: choice for choice in own.choices if choice.rule is PairingRule.IMAGES or not found}
    if found:
        return Meaning(choices=tuple(found.values()))
    doubts = [own.doubt, *(f"{holder.path}: {meaning.doubt}" for holder, meaning in theirs if meaning.doubt)]
    return replace(own, doubt=next(filter(None, doubts), ""))


def _as_the_rest(annotation: Annotation, read: list[_Read]) -> list[_Read]:
    """Let what fits several stacks alike mean the one whose images the rest names, or on which all of it lies."""
    named = {choice.key for one in read for choice in one.meaning.choices if choice.rule is PairingRule.IMAGES}
    return [_as_rest(one, named, _samples_in(annotation, one.region)) if one.meaning.doubt else one for one in read]


def _as_rest(one: _Read, named: set[str], samples: Sequence[tuple[float, float, float]]) -> _Read:
    candidates = one.meaning.candidates
    if len(found := [stack for stack in candidates if stack.key in named]) == 1:
        words = f"{len(candidates)} stacks fit it alike, and other regions name images of this one"
        choice = Choice(key=found[0].key, rule=PairingRule.SERIES, words=words)
        return replace(one, meaning=Meaning(choices=(choice,)))
    whole = (
        only(samples, candidates, PairingRule.GEOMETRY, f"{len(candidates)} stacks fit it alike")
        if candidates
        else None
    )
    return replace(one, meaning=whole) if whole and whole.choices else one


def _samples_in(annotation: Annotation, region: RegionFacts) -> list[tuple[float, float, float]]:
    """Return the samples of all regions in the frame of reference of `region`."""
    return [
        point
        for one in annotation.regions
        if one.frame_of_reference == region.frame_of_reference
        for point in one.samples
    ]


def _pairs_of(
    annotation: Annotation, stacks: Sequence[StackImages], known: Mapping[Uid, Annotation], read: Sequence[_Read]
) -> tuple[Pair, ...]:
    """Return a pair for each stack that a region means; what is drawn nowhere is told with the first."""
    companions = tuple(known[uid] for uid in annotation.objects if uid in known)
    meant = [stack for stack in stacks if any(stack.key in one.keys for one in read)]
    items = {one.item for one in annotation.regions} - {one.region.item for one in read}
    pairs = []
    for number, stack in enumerate(meant):
        choices = [choice for one in read for choice in one.meaning.choices if choice.key == stack.key]
        elsewhere = {one.region.item for one in read if stack.key not in one.keys} | (items if number else set())
        rule = min((choice.rule for choice in choices), key=lambda one: _STRENGTH[one])
        pairs.append(
            Pair(
                annotation=annotation,
                images=stack,
                rule=rule,
                evidence=_evidence(choices, rule),
                companions=companions,
                elsewhere=tuple(sorted(elsewhere - {""})),
            )
        )
    return tuple(pairs)


def _evidence(choices: Sequence[Choice], rule: PairingRule) -> str:
    """Return in words what proves by `rule`, the strongest, that a stack is meant, and how many have other proof."""
    proofs = [choice for choice in choices if choice.rule is rule]
    words = proofs[0].words
    alike = [choice for choice in proofs if choice.words == words]
    total = sum(one.total for one in alike) if rule is PairingRule.GEOMETRY else alike[0].total
    told = words.format(count=sum(one.count for one in alike), total=total)
    others = len(choices) - len(proofs)
    return f"{told}; {others} more regions by other evidence" if others else told


def _unpaired(
    annotation: Annotation, stacks: Sequence[StackImages], unused: Sequence[Instance], read: Sequence[_Read]
) -> list[Exclusion]:
    """Return what of `annotation` means no stack, or several alike: all of it, else region by region."""
    doubts = {one.meaning.doubt for one in read if not one.keys}
    if not any(one.keys for one in read) and len(doubts) == 1:
        (doubt,) = doubts
        if doubt:
            return [Exclusion(what=str(annotation.path), reason=Reason.AMBIGUOUS_SERIES, detail=doubt)]
        return [_missing(annotation, stacks, unused)]
    return [left for one in read if (left := _left_out(annotation, stacks, one))]


def _left_out(annotation: Annotation, stacks: Sequence[StackImages], one: _Read) -> Exclusion | None:
    """Return why a region means no stack, or several alike, or that some of the images it is drawn on are not here."""
    region, what = one.region, f"{annotation.path} {one.region.what}".rstrip()
    if one.meaning.doubt:
        return Exclusion(what=what, reason=Reason.AMBIGUOUS_SERIES, detail=one.meaning.doubt)
    total = len(region.references)
    if not one.keys:
        found = f"it is drawn on {total} images, and none of them is" if total else "no stack that it may lie in is"
        return Exclusion(what=what, reason=Reason.NO_IMAGES, detail=f"{found} in the {len(stacks)} stacks here")
    if not needs_images(region, annotation):
        return None
    here = set().union(*(names_of(stack) for stack in stacks if stack.key in one.keys))
    if not (gone := [plane for plane, _ in region.references if plane not in here]):
        return None
    detail = f"{len(gone)} of the {total} images that it is drawn on are not here"
    return Exclusion(what=what, reason=Reason.NO_IMAGES, detail=detail)


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
