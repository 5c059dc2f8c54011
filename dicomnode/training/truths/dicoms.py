"""Read cases from DICOM: stacks of images, and the segmentations and structure sets on them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.scan import scan
from dicomnode.dicom.stack import read_stack
from dicomnode.dicom.truths import KINDS, patient_of, truth_of
from dicomnode.domain import Exclusion, Pair
from dicomnode.errors import Reason, Refused
from dicomnode.inference.windows import window_of
from dicomnode.planning import plan
from dicomnode.training.truths.case import Case, Masks


def cases_of_dicom(paths: Iterable[Path], window: str) -> Iterator[Case | Exclusion]:
    """Yield a case for each stack in `paths` that a SEG or RTSTRUCT means, and what could not be used and why.

    What dicomnode made is no truth. Cases of one patient are one group.
    """
    instances, left_out = scan(paths)
    found = plan(instances)
    yield from left_out
    yield from found.left_out
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for pair in found.pairs:
        if pair.annotation.kind in KINDS:
            pairs[pair.images.key].append(pair)
        else:
            what, detail = str(pair.annotation.path), f"{pair.annotation.kind} has no masks; {' and '.join(KINDS)} have"
            yield Exclusion(what=what, reason=Reason.NOT_SELECTED, detail=detail)
    with Decoders() as decoders:
        for together in pairs.values():
            try:
                yield from _case(together, window, decoders)
            except Refused as error:
                yield Exclusion.of(error)


def _case(pairs: Sequence[Pair], window: str, decoders: Decoders) -> Iterator[Case | Exclusion]:
    """Yield the case of one stack with all that was drawn on it, and what of that gave no mask."""
    images = pairs[0].images
    stack = read_stack(images, decoders)
    yield from stack.exclusions
    masks: dict[str, Masks] = {}
    for pair in pairs:
        try:
            truth = truth_of(pair, stack, decoders)
        except Refused as error:
            yield Exclusion.of(error)
            continue
        yield from truth.exclusions
        for name, planes in truth.masks:
            masks[_unlike(name, masks)] = planes
    if masks:
        group = patient_of(pairs[0].annotation) or images.study_uid
        yield Case(name=images.key, group=group, stack=stack, window=window_of(stack, window), masks=masks)


def _unlike(name: str, others: Iterable[str]) -> str:
    """Return `name`, with a number where it is among `others`."""
    taken = set(others)
    numbered = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)
