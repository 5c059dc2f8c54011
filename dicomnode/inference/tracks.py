"""Keep what is found of each object, and say at the end what its mask is and what was odd."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Mask, Stack
from dicomnode.inference.fusion import Fusion, Qualities
from dicomnode.inference.probabilities import from_logits
from dicomnode.inference.propagation import Beyond, Found
from dicomnode.inference.sections import Section
from dicomnode.inference.strategies import NOWHERE, Course

_Value = TypeVar("_Value", np.bool_, np.uint8)


@dataclass(frozen=True, slots=True)
class Ask:
    """A box of one course, which the plane - `step` gave; 0 where it was known.

    `own` tells that it is the object's own box, and not one that a neighbour gave; `drawn` that it was drawn about the
    object on this image, and not made of others.
    """

    course: int
    box: Box
    step: int = 0
    own: bool = True
    drawn: bool = False


class Answer(NamedTuple):
    """What a model finds in a box: (row, column) float32 logits, inside where > 0, and its predicted quality or NaN."""

    logits: NDArray[np.float32]
    quality: float


class Track(Protocol):
    """What has been found on the course of one object so far."""

    @property
    def course(self) -> Course:
        """Return how the object's prompt is answered."""
        ...

    def next_ask(self, plane: int, step: int) -> Ask | None:
        """Return the box on `plane` that the neighbour it is reached from gives; None where the object has ended."""
        ...

    def take(self, section: Section, answer: Answer, ask: Ask) -> Ask | None:
        """Keep what is found where it was asked for; return what to try instead where it is not the object."""
        ...

    def further(self, least_side: float) -> Course:
        """Return the course to take once all of the last one is answered; it has no boxes where all is found.

        Boxes are of at least `least_side`.
        """
        ...

    def mask(self, missing: Mapping[int, int], parameters: tuple[tuple[str, str], ...]) -> Mask:
        """Return the mask, with probabilities where they are asked for.

        `missing` is plane index -> how many planes are missing after it in the stack.
        """
        ...


def track_of(number: int, course: Course, stack: Stack, *, probable: bool) -> Track:
    """Return the track of course `number`, which has not begun; `probable` tells that probabilities are asked for."""
    if course.fusion is None:
        return Followed(number, course, probable)
    return Fused(course, stack.shape, course.fusion(), Qualities.on(len(stack.planes)), probable)


@dataclass(slots=True, eq=False)
class Fused:
    """An object that is found on sections of three directions, whose answers are put together at once and not kept.

    `shape` is that of the stack (planes, rows, columns).
    """

    course: Course
    shape: tuple[int, int, int]
    fusion: Fusion
    qualities: Qualities
    probable: bool

    def next_ask(self, plane: int, step: int) -> None:
        """Return None: no box depends on another."""

    def take(self, section: Section, answer: Answer, ask: Ask) -> None:
        """Put what is found with the rest."""
        self.fusion.add(section, answer.logits)
        self.qualities.add(section, ask.box, answer.quality)

    def further(self, least_side: float) -> Course:
        """Return the course with the better boxes that what is found gives; what they find takes its place."""
        better = self.fusion.further(self.shape, least_side)
        if better is None:
            return replace(self.course, boxes={})
        self.fusion, boxes = better
        self.qualities = Qualities.on(self.shape[0])
        return replace(self.course, boxes=boxes)

    def mask(self, missing: Mapping[int, int], parameters: tuple[tuple[str, str], ...]) -> Mask:  # noqa: ARG002
        """Return the mask on the planes of its region."""
        return Mask(
            prompt=self.course.prompt,
            planes=self._on_planes(self.fusion.inside()),
            quality=self.qualities.means(self.fusion.region.planes),
            parameters=(("strategy", self.course.strategy.value), *self.course.parameters, *parameters),
            notes=self.course.notes,
            probabilities=self._on_planes(self.fusion.probabilities()) if self.probable else {},
        )

    def _on_planes(self, values: NDArray[_Value]) -> dict[int, NDArray[_Value]]:
        """Return `values` of the region on whole planes, 0 elsewhere: plane index -> (row, column)."""
        planes, rows, columns = self.fusion.region
        found = {}
        for plane, part in zip(planes, values, strict=True):
            found[plane] = np.zeros(self.shape[1:], values.dtype)
            found[plane][rows.start : rows.stop, columns.start : columns.stop] = part
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """An object that is found plane by plane, each with its own box or that which a neighbour gives.

    `found` is by plane index; `lost` are the directions, 1 or -1, in which it has ended; `again` are the planes where
    its own box was used again.
    """

    number: int
    course: Course
    probable: bool
    found: dict[int, Found] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    again: list[int] = field(default_factory=list)

    def next_ask(self, plane: int, step: int) -> Ask | None:
        """Return the box on `plane` that the neighbour it is reached from gives; None where the object has ended."""
        if step in self.lost or self.course.follow is None:
            return None
        given = self.course.follow.box(self.found[plane - step].inside)
        if given is not None:
            return Ask(self.number, given, step, own=False)
        return self._own(step)

    def take(self, section: Section, answer: Answer, ask: Ask) -> Ask | None:
        """Keep what is found where it was asked for; return what to try instead where it is not the object."""
        follow, plane = self.course.follow, section.number
        probabilities = from_logits(answer.logits) if self.probable else None
        found = Found(answer.logits > 0, answer.quality, probabilities)
        if not ask.step or follow is None or follow.holds(found, self.found[plane - ask.step], self._seed(ask.step)):
            self.found[plane] = found
            if ask.step and ask.own:
                self.again.append(plane)
            return None
        if not ask.own:
            return self._own(ask.step)
        self.lost.add(ask.step)
        return None

    def further(self, least_side: float) -> Course:  # noqa: ARG002
        """Return a course that goes nowhere."""
        return replace(self.course, boxes={}, up=NOWHERE, down=NOWHERE)

    def mask(self, missing: Mapping[int, int], parameters: tuple[tuple[str, str], ...]) -> Mask:
        """Return the mask on the planes that it was found on."""
        found = dict(sorted(self.found.items()))
        return Mask(
            prompt=self.course.prompt,
            planes={index: one.inside for index, one in found.items()},
            quality={index: one.quality for index, one in found.items() if math.isfinite(one.quality)},
            parameters=(("strategy", self.course.strategy.value), *self.course.parameters, *parameters),
            notes=(*self.course.notes, *self._notes(missing)),
            probabilities={i: one.probabilities for i, one in found.items() if one.probabilities is not None},
        )

    def _own(self, step: int) -> Ask | None:
        """Return the object's own box; without one it ends here."""
        if self.course.follow is None or self.course.follow.fallback is None:
            self.lost.add(step)
            return None
        return Ask(self.number, self.course.follow.fallback, step)

    def _seed(self, step: int) -> Found:
        way = self.course.up if step > 0 else self.course.down
        return self.found[way[0] - step]

    def _notes(self, missing: Mapping[int, int]) -> Iterator[str]:
        """Tell in words where the object was followed to, what was used again, and what was passed over."""
        for step, way, side in ((1, self.course.up, "above"), (-1, self.course.down, "below")):
            if not way:
                continue
            on = [plane for plane in way if plane in self.found]
            edge = way[0] - step
            if isinstance(self.course.follow, Beyond):
                yield f"followed {len(on)} planes {side} the drawn ones, from plane {edge}"
            elif step in self.lost:
                end = on[-1] if on else edge
                yield f"it ends at plane {end}: nothing that fits is found {side}, to plane {way[-1]}"
            for low in sorted(min(plane, plane - step) for plane in on):
                if low in missing:
                    yield f"followed over missing planes ({missing[low]}) between planes {low} and {low + 1}"
        if self.again:
            planes = ", ".join(map(str, sorted(self.again)))
            yield f"its own box was used again on planes {planes}, where what was followed was lost"
