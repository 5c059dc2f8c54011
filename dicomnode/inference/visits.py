"""Order the work of a job so that each image is encoded once and all that is asked of it is decoded together.

Objects that are followed advance in lockstep, in two sweeps: up through the planes, then down. What does not depend on
a neighbour is asked in the one that comes there.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dicomnode.domain import Box
from dicomnode.inference.sections import Section, Through
from dicomnode.inference.strategies import Course


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """What is asked of one image at one time, by the numbers of the courses.

    `known` are boxes, `following` the courses whose box the neighbour gives at which they came, plane - `step`;
    `certain` tells that something is asked of it whatever is found before.
    """

    section: Section
    known: tuple[tuple[int, Box], ...]
    following: tuple[int, ...] = ()
    step: int = 0
    certain: bool = True


def visits_of(courses: Sequence[Course]) -> tuple[Visit, ...]:
    """Return all visits of a job, in order."""
    return tuple(_visits(courses))


def _visits(courses: Sequence[Course]) -> Iterator[Visit]:
    known = _known(courses)
    up, down = (_following([getattr(course, way) for course in courses]) for way in ("up", "down"))
    seeds = {course.up[0] - 1 for course in courses if course.up}
    rising = up.keys() | seeds | {index for through, index in known if through is Through.PLANE and index not in down}
    for step, planes, following in ((1, sorted(rising), up), (-1, sorted(down, reverse=True), down)):
        for index in planes:
            section, numbers = Section(Through.PLANE, index), following.get(index, ())
            boxes = known.get(section, ()) if step == 1 or index not in rising else ()
            certain = bool(boxes) or not all(courses[number].open_ended for number in numbers)
            yield Visit(section=section, known=tuple(boxes), following=tuple(numbers), step=step, certain=certain)
    for through in (Through.ROW, Through.COLUMN):
        for section in sorted(one for one in known if one.through is through):
            yield Visit(section=section, known=tuple(known[section]))


def _known(courses: Sequence[Course]) -> dict[Section, list[tuple[int, Box]]]:
    """Return the boxes known from the start, with the numbers of their courses."""
    found: dict[Section, list[tuple[int, Box]]] = defaultdict(list)
    for number, course in enumerate(courses):
        for section, box in course.boxes.items():
            found[section].append((number, box))
    return dict(found)


def _following(ways: Sequence[range]) -> dict[int, list[int]]:
    """Return the numbers of the courses that come to a plane, by its index."""
    found: dict[int, list[int]] = defaultdict(list)
    for number, way in enumerate(ways):
        for index in way:
            found[index].append(number)
    return dict(found)
