"""Measure a model on sets: Dice of each object with boxes from the truth, and of the filled ellipse in the same boxes.

An object is one label of one case; its planes are those where it has at least LEAST_PIXELS, and each has a tight box.
Its Dice is that of all its planes together, as voxels; a set's is the mean over its objects. With one 3-D box, the
object's is that of the whole volume.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dicomnode.domain import Box, JobOptions, Stack, Strategy
from dicomnode.inference.boxes import as_array, image_of, within
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.fitting import decoded
from dicomnode.inference.runtime import Runtime
from dicomnode.inference.segmenter import boxes_at_once, segment
from tests.accuracy.bars import BARS
from tests.accuracy.sets import Case, cases_of
from tests.accuracy.shapes import Counts, Extent, Mask, Variant, compare, extent_of, filled, varied
from tests.values import prompt, stack_at

LEAST_PIXELS = 8
SOLID_VARIANTS = (Variant.EXACT, Variant.LOOSE_10)


class Score(NamedTuple):
    """The voxels that the model has in common with the truth, and the filled shape; the mean predicted overlap."""

    model: Counts
    shape: Counts
    quality: float = float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was measured on one object: `planes` is how many it has, `solid` tells that it was one 3-D box.

    `by_plane` has each plane's score in its exact box, where each has one.
    """

    set: str
    case: str
    label: int
    planes: int
    solid: bool
    scores: Mapping[Variant, Score]
    by_plane: tuple[Score, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What was measured on one set: its cases, and its objects plane by plane and, where asked for, in 3-D boxes."""

    set: str
    cases: tuple[str, ...]
    objects: tuple[Found, ...]
    solids: tuple[Found, ...] = ()


class Ask(NamedTuple):
    """One box on one plane of a case."""

    plane: int
    label: int
    variant: Variant
    extent: Extent


def measure(
    runtime: Runtime,
    sets: Iterable[str],
    data: Path,
    *,
    without: frozenset[tuple[str, str]] = frozenset(),
    solid: Strategy | None = Strategy.AUTO,
    variants: Sequence[Variant] = tuple(Variant),
) -> list[Result]:
    """Return what `runtime` finds on `sets` of the folder `data`, but the cases `without` (set, case).

    One 3-D box is measured with the strategy `solid` on the sets that have a bar for it, or not at all.
    """
    results = []
    for name in sets:
        cases = [case for case in cases_of(name, data) if (name, case.name) not in without]
        asks_solid = solid is not None and BARS[name].solid is not None
        results.append(
            Result(
                set=name,
                cases=tuple(case.name for case in cases),
                objects=tuple(one for case in cases for one in by_planes(runtime, case, variants)),
                solids=tuple(one for case in cases for one in in_solids(runtime, case, solid)) if asks_solid else (),
            )
        )
    return results


def by_planes(runtime: Runtime, case: Case, variants: Sequence[Variant] = tuple(Variant)) -> list[Found]:
    """Return what `runtime` scores on each object of `case` with a box on each of its planes."""
    scores: dict[tuple[int, Variant], list[Score]] = defaultdict(list)
    for ask, mask, quality in masks_of(runtime, case, asks_of(case, variants)):
        true = case.labels[ask.plane] == ask.label
        shape = compare(filled(ask.extent, true.shape), true)
        scores[ask.label, ask.variant].append(Score(compare(mask, true), shape, quality))
    labels = sorted({label for label, _ in scores})
    return [
        Found(
            set=case.set,
            case=case.name,
            label=label,
            planes=len(scores[label, variants[0]]),
            solid=False,
            scores={variant: _together(scores[label, variant]) for variant in variants},
            by_plane=tuple(scores[label, Variant.EXACT]),
        )
        for label in labels
    ]


def asks_of(case: Case, variants: Sequence[Variant]) -> list[Ask]:
    """Return a box of each variant about each object on each plane that has LEAST_PIXELS of it, plane by plane."""
    asks = []
    for plane, labels in enumerate(case.labels):
        sizes = np.bincount(labels.ravel())
        for label in np.flatnonzero(sizes >= LEAST_PIXELS).tolist():
            if label:
                extent = extent_of(labels == label)
                number = plane + label
                asks += [Ask(plane, label, one, varied(extent, one, labels.shape, number)) for one in variants]
    return asks


def masks_of(runtime: Runtime, case: Case, asks: Sequence[Ask]) -> Iterator[tuple[Ask, Mask, float]]:
    """Yield each of `asks` with what `runtime` finds in its box, (row, column) bool, and the predicted overlap."""
    stack = stack_of(case)
    look = runtime.look(stack, "auto", reference=False)
    shape = stack.shape[1:]
    most = boxes_at_once(shape)
    on_planes: dict[int, list[Ask]] = defaultdict(list)
    for ask in asks:
        on_planes[ask.plane].append(ask)
    for plane, there in sorted(on_planes.items()):
        (features,) = runtime.encode([look.image(stack.planes[plane])], stack.planes[plane].spacing)
        for start in range(0, len(there), most):
            part = there[start : start + most]
            boxes = as_array([_least(ask.extent, shape, runtime.least_side) for ask in part])
            answers = decoded(runtime, features, boxes, [True] * len(part))
            for ask, logits, quality in zip(part, answers.logits, answers.quality, strict=True):
                yield ask, logits > 0, float(quality)


def in_solids(runtime: Runtime, case: Case, strategy: Strategy | None) -> list[Found]:
    """Return what `runtime` scores on each object of `case` with one 3-D box, as a job with `strategy` asks it."""
    found = []
    for label in case.objects:
        true = case.labels == label
        planes = int(np.count_nonzero(true.any(axis=(1, 2))))
        scores = {}
        for variant in SOLID_VARIANTS:
            extent = varied(extent_of(true), variant, true.shape)
            mask, quality = solid_mask(runtime, case, extent, strategy or Strategy.AUTO)
            scores[variant] = Score(compare(mask, true), compare(filled(extent, true.shape), true), quality)
        found.append(Found(set=case.set, case=case.name, label=label, planes=planes, solid=True, scores=scores))
    return found


def solid_mask(runtime: Runtime, case: Case, extent: Extent, strategy: Strategy) -> tuple[Mask, float]:
    """Return what is found in one 3-D box, (plane, row, column) bool, and the mean of the predicted overlaps."""
    stack = stack_of(case)
    first, last = int(np.ceil(extent[0, 0])), int(np.floor(extent[1, 0]))
    box = _least(extent[:, 1:], stack.shape[1:], runtime.least_side)
    asked = replace(prompt({plane.key: box for plane in stack.planes[first : last + 1]}), solid=True)
    (mask,) = segment(
        stack, [asked], runtime, JobOptions(strategy=strategy), cache=FeatureCache(), progress=lambda *_: None
    )
    inside = np.zeros(stack.shape, np.bool_)
    for plane, pixels in mask.planes.items():
        inside[plane] = pixels
    quality = list(mask.quality.values())
    return inside, sum(quality) / len(quality) if quality else float("nan")


def stack_of(case: Case) -> Stack:
    """Return `case` as a stack in memory; values that are no integers are stored to 24 bits of their range."""
    step, down, across = case.spacing
    low, high = float(case.image.min()), float(case.image.max())
    whole = bool((case.image == np.rint(case.image)).all())
    slope = 1.0 if whole else (high - low) / 2**24
    stored = np.rint((case.image.astype(np.float64) - (0 if whole else low)) / slope).astype(np.int32)
    heights = [step * number for number in range(len(stored))]
    stack = stack_at(*heights, spacing=(down, across), thickness=step, slope=slope, intercept=0.0 if whole else low)
    planes = tuple(replace(plane, stored=pixels) for plane, pixels in zip(stack.planes, stored, strict=True))
    return replace(stack, modality=case.modality, planes=planes)


def _least(extent: Extent, shape: tuple[int, int], least_side: float) -> Box:
    """Return the box of `extent`, (2, row and column), of at least `least_side`, as prompts are made ready."""
    (y0, x0), (y1, x1) = extent.tolist()
    box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
    return within(box, image_of(shape), shape, least_side) or box


def _together(scores: Sequence[Score]) -> Score:
    model, shape = Counts(), Counts()
    for score in scores:
        model, shape = model.plus(score.model), shape.plus(score.shape)
    return Score(model, shape, float(np.mean([score.quality for score in scores])))
