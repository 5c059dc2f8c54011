"""Drive a model over a stack: what is asked of an image at one time is decoded together, and each is encoded once."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from dicomnode.domain import Exclusion, JobOptions, Mask, Prompt, Segment, SegType, Stack
from dicomnode.errors import Reason
from dicomnode.geometry import multiples, volume_of
from dicomnode.inference.boxes import Shape, as_array
from dicomnode.inference.encoding import Encoder
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.fitting import decoded
from dicomnode.inference.runtime import Runtime
from dicomnode.inference.sections import Images, Section
from dicomnode.inference.strategies import Means, course_of, wanted_window
from dicomnode.inference.tracks import Answer, Ask, Track, track_of
from dicomnode.inference.visits import Visit, visits_of

Progress = Callable[[int, int], None]
_Find = Callable[[Sequence[Ask]], list[tuple[Ask, Answer]]]

# Boxes that are decoded together at the most, of each of which LiteMedSAM's decoder holds 33 MiB; and the pixels of
# their logits, 256 MiB.
MOST_BOXES, MOST_PIXELS = 16, 1 << 26


def segment(
    stack: Stack,
    prompts: Sequence[Prompt],
    runtime: Runtime,
    options: JobOptions,
    *,
    cache: FeatureCache,
    progress: Progress,
) -> tuple[Mask, ...]:
    """Return a mask for each of `prompts`, all of which have boxes, as `options` ask.

    Features that are in `cache` are not made again, and those that are made go there; `progress` is told how many
    images were looked at (done, total).
    """
    if not prompts:
        return ()
    means = Means(stack, options, runtime.least_side, runtime.box_strategy)
    courses = [course_of(prompt, means) for prompt in prompts]
    probable = SegType.FRACTIONAL in options.seg_types
    tracks = [track_of(number, course, stack, probable=probable) for number, course in enumerate(courses)]
    look = runtime.look(stack, wanted_window(stack, options), reference=options.reference)
    done = 0
    while visits := visits_of(courses):
        images = Images(stack, look, (visit.section for visit in visits))
        with Encoder(runtime, cache, images, visits) as encoder:
            done = _drive(visits, tracks, stack, _Model(runtime, encoder), _Counter(progress, done))
        courses = [track.further(runtime.least_side) for track in tracks]
    missing = _missing_after(stack)
    parameters = (*look.parameters, *((("reference", "true"),) if options.reference else ()))
    return tuple(track.mask(missing, parameters) for track in tracks)


def boxes_at_once(shape: Shape) -> int:
    """Return how many boxes are decoded together at the most on an image of `shape` (rows, columns)."""
    rows, columns = shape
    return max(1, min(MOST_BOXES, MOST_PIXELS // (rows * columns)))


class _Model(NamedTuple):
    """A model with what it has encoded."""

    runtime: Runtime
    encoder: Encoder

    def answers(self, features: object, asks: Sequence[Ask]) -> list[tuple[Ask, Answer]]:
        """Return what the model finds in each box on the image that has `features`."""
        boxes = as_array([ask.box for ask in asks])
        answers = decoded(self.runtime, features, boxes, [ask.drawn for ask in asks])
        found = [Answer(*one) for one in zip(answers.logits, answers.quality.tolist(), strict=True)]
        return list(zip(asks, found, strict=True))


class _Counter(NamedTuple):
    """Who is told of the images that were looked at, and how many were before."""

    progress: Progress
    before: int


def _drive(visits: Sequence[Visit], tracks: Sequence[Track], stack: Stack, model: _Model, counter: _Counter) -> int:
    """Make all `visits`; of those that may not be needed, the others are skipped and not counted.

    Return how many images have been looked at until then.
    """
    done = counter.before
    total = done + sum(visit.certain for visit in visits)
    for number, visit in enumerate(visits):
        asks = _asks(visit, tracks)
        if asks:
            most = boxes_at_once(visit.section.shape_in(stack.shape))
            _answer(asks, visit.section, tracks, partial(model.answers, model.encoder.features(number)), most)
        if asks or visit.certain:
            done, total = done + 1, total + (not visit.certain)
            counter.progress(done, total)
    return done


def _asks(visit: Visit, tracks: Sequence[Track]) -> list[Ask]:
    """Return the boxes on the image of `visit`, in the order of the prompts."""
    known = [Ask(number, box, drawn=tracks[number].course.drawn) for number, box in visit.known]
    given = [tracks[number].next_ask(visit.section.number, visit.step) for number in visit.following]
    return sorted([*known, *(ask for ask in given if ask)], key=lambda ask: ask.course)


def _answer(asks: Sequence[Ask], section: Section, tracks: Sequence[Track], find: _Find, most: int) -> None:
    """Decode what is asked of `section` together, and then together the boxes to try where that was not the object.

    Of more than `most` boxes, the first `most` are decoded together, then the next.
    """
    while asks:
        parts = [asks[start : start + most] for start in range(0, len(asks), most)]
        again = [tracks[ask.course].take(section, one, ask) for part in parts for ask, one in find(part)]
        asks = [ask for ask in again if ask]


def _missing_after(stack: Stack) -> dict[int, int]:
    """Return how many planes are missing after each plane with a gap, by its index."""
    if stack.frame_of_reference_uid is None or len(stack.planes) == 1:
        return {}
    steps = multiples(stack.gaps(), stack.thicknesses())
    return {index: int(count) - 1 for index, count in enumerate(steps) if count > 1}


def with_boxes(prompts: Sequence[Prompt]) -> tuple[tuple[Prompt, ...], tuple[Exclusion, ...]]:
    """Return those of `prompts` that have boxes, and the others, which the models here cannot answer."""
    points = [prompt for prompt in prompts if not prompt.boxes]
    left_out = tuple(
        Exclusion(what=_name(prompt), reason=Reason.NO_BOX, detail="it has points only, and models here take boxes")
        for prompt in points
    )
    return tuple(prompt for prompt in prompts if prompt.boxes), left_out


def summarise(masks: Sequence[Mask], stack: Stack) -> tuple[Segment, ...]:
    """Return the figures of each mask; the volume is voxels x pixel area x slab depth where planes have a place."""
    segments = []
    for number, mask in enumerate(masks, start=1):
        filled = sum(bool(inside.any()) for inside in mask.planes.values())
        segments.append(
            Segment(
                number=number,
                label=mask.prompt.label,
                voxels=mask.voxels,
                volume_ml=volume_of(mask, stack),
                planes=filled,
                quality=_quality(mask),
                parameters=mask.parameters,
            )
        )
    return tuple(segments)


def _quality(mask: Mask) -> float | None:
    """Return the mean of the predicted qualities of the planes that have something inside."""
    known = [quality for index, quality in mask.quality.items() if mask.planes[index].any()]
    return math.fsum(known) / len(known) if known else None


def nothing_found(masks: Sequence[Mask]) -> tuple[Exclusion, ...]:
    """Return which of `masks` have no voxel."""
    return tuple(
        Exclusion(
            what=_name(mask.prompt),
            reason=Reason.EMPTY_RESULT,
            detail=f"the model found nothing in its boxes on {len(mask.prompt.boxes)} planes",
        )
        for mask in masks
        if not mask.voxels
    )


def _name(prompt: Prompt) -> str:
    return f"{prompt.source_uid} item {prompt.source_item} {prompt.label!r}"
