"""Keep what is found of each object while it is followed, and say at the end what its mask is and what was odd."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Mask, Stack
from dicomnode.inference.propagation import Beyond, Found
from dicomnode.inference.sections import Section, Through, Votes
from dicomnode.inference.strategies import Course


@dataclass(frozen=True, slots=True)
class Ask:
    """A box of one course, which the plane - `step` gave; 0 where it was known.

    `own` tells that it is the object's own box, and not one that a neighbour gave.
    """

    course: int
    box: Box
    step: int = 0
    own: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What has been found on the course of one object so far.

    `found` is by plane index; `lost` are the directions, 1 or -1, in which it has ended; `again` are the planes where
    its own box was used again.
    """

    number: int
    course: Course
    votes: Votes | None
    found: dict[int, Found] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    again: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, number: int, course: Course, stack: Stack) -> "Track":
        """Return the track of course `number`, which has not begun."""
        return cls(number, course, Votes.on(course.votes_on, stack.shape) if course.votes_on else None)

    def next_ask(self, plane: int, step: int) -> Ask | None:
        """Return the box on `plane` that the neighbour it is reached from gives; None where the object has ended."""
        if step in self.lost or self.course.follow is None:
            return None
        given = self.course.follow.box(self.found[plane - step].inside)
        if given is not None:
            return Ask(self.number, given, step, own=False)
        return self._own(step)

    def take(self, section: Section, found: Found, ask: Ask) -> Ask | None:
        """Keep what was `found` where it was asked for; return what to try instead where it is not the object."""
        follow, plane = self.course.follow, section.number
        if self.votes:
            self.votes.add(section, found.inside)
        if section.through is not Through.PLANE:
            return None
        if not ask.step or follow is None or follow.holds(found, self.found[plane - ask.step], self._seed(ask.step)):
            self.found[plane] = found
            if ask.step and ask.own:
                self.again.append(plane)
            return None
        if not ask.own:
            return self._own(ask.step)
        self.lost.add(ask.step)
        return None

    def mask(self, missing: Mapping[int, int], parameters: tuple[tuple[str, str], ...]) -> Mask:
        """Return the mask, with probabilities where they were found.

        `missing` is plane index -> how many planes are missing after it in the stack.
        """
        known = {index: one.quality for index, one in sorted(self.found.items()) if math.isfinite(one.quality)}
        found = {index: one.inside for index, one in sorted(self.found.items())}
        return Mask(
            prompt=self.course.prompt,
            planes=self.votes.won() if self.votes else found,
            quality=known,
            parameters=(("strategy", self.course.strategy.value), *self.course.parameters, *parameters),
            notes=(*self.course.notes, *self._notes(missing)),
            probabilities=self._probabilities(),
        )

    def _probabilities(self) -> dict[int, NDArray[np.uint8]]:
        known = {index: one.probabilities for index, one in sorted(self.found.items()) if one.probabilities is not None}
        return self.votes.shares() if known and self.votes else known

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
