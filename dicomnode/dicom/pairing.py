"""Decide which stack an annotation means: headers in, pairs out."""

from collections.abc import Iterable, Sequence

from dicomnode.domain import Annotation, Exclusion, Instance, OtherInstance, Pair, PairingRule, StackImages
from dicomnode.errors import Reason, Refused


def pair(
    annotations: Iterable[Annotation], stacks: Sequence[StackImages], unused: Sequence[Instance] = ()
) -> tuple[tuple[Pair, ...], tuple[Exclusion, ...]]:
    """Return the stack each annotation means and the proof, and the annotations that mean none or several alike.

    The strongest evidence decides: the images it names, else the series, else the frame of reference. Images that
    are here and in no stack are `unused`: an annotation that means them is told so.
    """
    pairs: list[Pair] = []
    unpaired: list[Exclusion] = []
    for annotation in annotations:
        try:
            pairs.append(_pair_of(annotation, stacks, unused))
        except Refused as error:
            unpaired.append(Exclusion.of(error))
    return tuple(pairs), tuple(unpaired)


def _pair_of(annotation: Annotation, stacks: Sequence[StackImages], unused: Sequence[Instance]) -> Pair:
    named = {stack.key: _named(annotation, stack) for stack in stacks}
    most = max(named.values(), default=0)
    if most:
        best = [stack for stack in stacks if named[stack.key] == most]
        evidence = f"{most} of its {sum(annotation.referenced_images.values())} image references"
        return _only(annotation, best, PairingRule.IMAGES, evidence)
    listed = [stack for stack in stacks if stack.series_uid in annotation.referenced_series]
    if listed:
        return _only(annotation, listed, PairingRule.SERIES, "it names the series")
    near = [
        stack
        for stack in stacks
        if stack.study_uid == annotation.study_uid and stack.frame_of_reference_uid in annotation.frames_of_reference
    ]
    if near:
        return _only(annotation, near, PairingRule.FRAME_OF_REFERENCE, "the only stack with its frame of reference")
    raise Refused(Reason.NO_IMAGES, str(annotation.path), _missing(annotation, stacks, unused))


def _named(annotation: Annotation, stack: StackImages) -> int:
    """Count the references of `annotation` to images of `stack`."""
    return sum(annotation.referenced_images.get(image.sop_instance_uid, 0) for image in stack.images)


def _only(annotation: Annotation, stacks: list[StackImages], rule: PairingRule, evidence: str) -> Pair:
    if len(stacks) > 1:
        detail = f"{len(stacks)} stacks fit it alike by {rule}: {', '.join(stack.key for stack in stacks)}"
        raise Refused(Reason.AMBIGUOUS_SERIES, str(annotation.path), detail)
    return Pair(annotation=annotation, images=stacks[0], rule=rule, evidence=evidence)


def _missing(annotation: Annotation, stacks: Sequence[StackImages], unused: Sequence[Instance]) -> str:
    series = f"series {', '.join(annotation.referenced_series)}" if annotation.referenced_series else "no series"
    refers = f"it refers to {len(annotation.referenced_images)} images, {series}"
    aside = [
        one
        for one in unused
        if one.sop_instance_uid in annotation.referenced_images or one.series_uid in annotation.referenced_series
    ]
    if not aside:
        return f"{refers}: none of them is in the {len(stacks)} stacks here"
    reasons = {one.exclusion.reason.value for one in aside if isinstance(one, OtherInstance)}
    return f"{refers}: {len(aside)} of them are here, but make no stack ({', '.join(sorted(reasons)) or 'see above'})"
