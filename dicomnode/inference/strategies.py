"""Decide how each prompt is answered: by which strategy, on which sections, with which boxes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from dicomnode.domain import FOLLOW, Box, Fact, JobOptions, Prompt, Rule, Stack, Strategy
from dicomnode.inference.boxes import union
from dicomnode.inference.ellipsoids import Ellipsoid
from dicomnode.inference.fusion import Fusion, Sums, Votes
from dicomnode.inference.propagation import AsReference, Beyond, Follow, InBox
from dicomnode.inference.sections import Region, Section, Through, crossing

NOWHERE = range(0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Course:
    """How one prompt is answered.

    `boxes` are those that are known from the start; `up` and `down` the planes, outwards, where those of their
    neighbours give them, which `follow` says how, and `open_ended` that nobody knows how far. `drawn`
    tells that each box was drawn about the object on its plane. `fusion` begins to put together what is found on
    sections of three directions.
    """

    prompt: Prompt
    strategy: Strategy
    boxes: Mapping[Section, Box]
    up: range = NOWHERE
    down: range = NOWHERE
    follow: Follow | None = None
    open_ended: bool = False
    drawn: bool = False
    fusion: Callable[[], Fusion] | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


class Means(NamedTuple):
    """What a course depends on beside its prompt."""

    stack: Stack
    options: JobOptions
    least_side: float
    box_strategy: Strategy


def course_of(prompt: Prompt, means: Means) -> Course:
    """Return how `prompt` is answered, as its options and their rules ask."""
    asked = [rule for rule in means.options.rules if _fits(rule, means.stack, prompt)]
    wanted = (rule.strategy for rule in asked if rule.strategy is not None)
    reaches = (rule.propagate for rule in asked if rule.propagate is not None)
    reach = next(reaches, means.options.propagate)
    course = _course(next(wanted, means.options.strategy), prompt, means, reach)
    if not reach or prompt.solid or course.strategy is Strategy.PER_PLANE:
        return course
    note = f"propagate {_word(reach)} is for {Strategy.PER_PLANE}, and this is {course.strategy}"
    return replace(course, notes=(*course.notes, f"followed nowhere beyond the drawn planes: {note}"))


def wanted_window(stack: Stack, options: JobOptions) -> str:
    """Return the window that is asked for `stack`: auto, a preset or LEVEL/WIDTH."""
    asked = (rule.window for rule in options.rules if rule.window is not None and _fits(rule, stack, None))
    return next(asked, options.window)


def _fits(rule: Rule, stack: Stack, prompt: Prompt | None) -> bool:
    """Return whether `rule` is for `prompt` on `stack`; one that names prompts is for no stack as a whole."""
    if rule.modality and stack.modality not in rule.modality:
        return False
    if rule.body_part and stack.body_part not in rule.body_part:
        return False
    if rule.roi is None:
        return True
    names = (prompt.label, prompt.source_item) if prompt else ()
    return any(re.fullmatch(rule.roi, name, re.IGNORECASE) for name in names)


def _course(strategy: Strategy, prompt: Prompt, means: Means, reach: int) -> Course:
    match strategy:
        case Strategy.AUTO:
            one_box = prompt.solid and means.stack.frame_of_reference_uid is not None
            return _course(means.box_strategy if one_box else Strategy.PER_PLANE, prompt, means, reach)
        case Strategy.PER_PLANE:
            return _per_plane(prompt, means, reach)
        case Strategy.PROPAGATE:
            return _propagate(prompt, means)
        case Strategy.STATIC:
            return _static(prompt, means)
        case Strategy.TRIPLANAR_VOTE:
            return _without_a_grid(strategy, prompt, means) or _triplanar_vote(prompt, means)
        case Strategy.THREE_VIEW:
            return _without_a_grid(strategy, prompt, means) or _three_view(prompt, means)


def _per_plane(prompt: Prompt, means: Means, reach: int) -> Course:
    """Return the course with each plane's own box, and `reach` planes followed beyond the first and the last."""
    boxes, count = _drawn(prompt, means.stack), len(means.stack.planes)
    first, last = min(boxes), max(boxes)
    beyond = count if reach == FOLLOW else reach
    return Course(
        prompt=prompt,
        strategy=Strategy.PER_PLANE,
        boxes=_on_planes(boxes),
        up=range(last + 1, min(last + beyond + 1, count)),
        down=range(first - 1, max(first - beyond, 0) - 1, -1),
        follow=Beyond(shape=means.stack.shape[1:], least_side=means.least_side, until_lost=reach == FOLLOW),
        open_ended=reach == FOLLOW,
        drawn=not (prompt.solid or prompt.margin_mm),
        parameters=(("propagate", _word(reach)),) if reach else (),
    )


def _word(reach: int) -> str:
    return "auto" if reach == FOLLOW else str(reach)


def _propagate(prompt: Prompt, means: Means) -> Course:
    """Return the course from the middle plane outwards, as far as the planes of the boxes go."""
    boxes = _drawn(prompt, means.stack)
    first, last = min(boxes), max(boxes)
    middle, whole = (first + last) // 2, union(boxes.values())
    guarded = InBox(fallback=whole, shape=means.stack.shape[1:], least_side=means.least_side)
    return Course(
        prompt=prompt,
        strategy=Strategy.PROPAGATE,
        boxes=_on_planes({middle: boxes.get(middle, whole)}),
        up=range(middle + 1, last + 1),
        down=range(middle - 1, first - 1, -1),
        follow=AsReference(fallback=whole) if means.options.reference else guarded,
    )


def _static(prompt: Prompt, means: Means, notes: tuple[str, ...] = ()) -> Course:
    """Return the course with the box round all boxes on every plane from the first to the last."""
    planes, whole = _solid(prompt, means.stack)
    same = _on_planes(dict.fromkeys(planes, whole))
    return Course(prompt=prompt, strategy=Strategy.STATIC, boxes=same, notes=notes)


def _without_a_grid(strategy: Strategy, prompt: Prompt, means: Means) -> Course | None:
    """Return the course of `static` where there are no sections through rows and columns; None where there are."""
    if Fact.REGULAR in means.stack.facts:
        return None
    facts = ", ".join(sorted(means.stack.facts))
    return _static(prompt, means, (f"{strategy} needs a regular stack and this is {facts}: static",))


def _triplanar_vote(prompt: Prompt, means: Means) -> Course:
    """Return the course of `static` on sections of all three directions."""
    planes, whole = _solid(prompt, means.stack)
    _, rows, columns = shape = means.stack.shape
    return Course(
        prompt=prompt,
        strategy=Strategy.TRIPLANAR_VOTE,
        boxes=_on_planes(dict.fromkeys(planes, whole)) | crossing(whole, planes, shape, means.least_side),
        fusion=partial(Votes.on, Region(planes, range(rows), range(columns))),
    )


def _three_view(prompt: Prompt, means: Means) -> Course:
    """Return the course on the sections of the ellipsoid in the 3-D box, of all three directions."""
    planes, whole = _solid(prompt, means.stack)
    if len(planes) == 1:
        return _static(
            prompt, means, (f"{Strategy.THREE_VIEW} needs a box on several planes and this is on one: static",)
        )
    ellipsoid, shape = Ellipsoid.inscribed(whole, planes), means.stack.shape
    return Course(
        prompt=prompt,
        strategy=Strategy.THREE_VIEW,
        boxes=ellipsoid.sections(planes, shape, means.least_side),
        fusion=partial(Sums.about, ellipsoid, ellipsoid.region(planes, shape)),
    )


def _solid(prompt: Prompt, stack: Stack) -> tuple[range, Box]:
    """Return the 3-D box of `prompt`: its planes, from the first to the last, and the box round all boxes on them."""
    boxes = _drawn(prompt, stack)
    return range(min(boxes), max(boxes) + 1), union(boxes.values())


def _drawn(prompt: Prompt, stack: Stack) -> dict[int, Box]:
    """Return the boxes of `prompt` by the index of their plane."""
    index_of = {plane.key: index for index, plane in enumerate(stack.planes)}
    return {index_of[key]: box for key, box in prompt.boxes.items()}


def _on_planes(boxes: Mapping[int, Box]) -> dict[Section, Box]:
    return {Section(Through.PLANE, index): box for index, box in boxes.items()}
