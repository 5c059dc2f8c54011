"""One 3-D box, answered by the sections of its ellipsoid of three directions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box, JobOptions, Mask, SegType, Stack, Strategy
from dicomnode.inference.boxes import extent
from dicomnode.inference.classical import ClassicalRuntime
from dicomnode.inference.fusion import ELLIPSOID_STEEPNESS, ELLIPSOID_WEIGHT, MOST_LOGIT
from dicomnode.inference.runtime import Decoded
from tests.fakes import BRIGHT, FillsTheBox, FindsBright, Size
from tests.values import masks_of, prompt, solid, stack_at, stack_showing

THREE_VIEW = JobOptions(strategy=Strategy.THREE_VIEW)
SHAPE = (24, 32, 40)
BOX = Box(x0=7.5, y0=5.5, x1=30.5, y1=24.5)


@dataclass(frozen=True, slots=True)
class FillsTheEllipse(FillsTheBox):
    """An ideal model of ellipsoids: what is in the ellipse of a box is the object; it remembers how many boxes came."""

    asked: list[int] = field(default_factory=list)

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        self.asked.append(len(boxes))
        y, x = np.mgrid[: features.rows, : features.columns]
        half = [((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2) for x0, y0, x1, y1 in boxes]
        squares = np.stack([((x - u) / a) ** 2 + ((y - v) / b) ** 2 for u, v, a, b in half])
        logits = np.where(squares <= 1, np.float32(9), np.float32(-9))
        return Decoded(logits=logits, quality=np.full(len(boxes), 0.75, np.float32))


@dataclass(frozen=True, slots=True)
class SeesTheImage(FindsBright):
    """A model that sees exactly what is bright on the whole image, whatever the box."""

    def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
        self.decoded.append((0, boxes.tolist()))
        logits = np.where(features >= BRIGHT, np.float32(3), np.float32(-3))
        return Decoded(logits=np.stack([logits] * len(boxes)), quality=np.full(len(boxes), np.nan, np.float32))


def volume(mask: Mask, shape: Sequence[int] = SHAPE) -> NDArray[np.bool_]:
    """Return `mask` as (plane, row, column) bool."""
    whole = np.zeros(shape, bool)
    for plane, inside in mask.planes.items():
        whole[plane] = inside
    return whole


def ellipsoid(first: int, last: int, box: Box, shape: Sequence[int] = SHAPE) -> NDArray[np.bool_]:
    """Return which voxels have their centres in the ellipsoid of `box` on the planes `first` to `last`."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    squares = ((z - (first + last) / 2) / ((last - first + 1) / 2)) ** 2
    squares = squares + ((y - (box.y0 + box.y1) / 2) / ((box.y1 - box.y0) / 2)) ** 2
    return np.asarray(squares + ((x - (box.x0 + box.x1) / 2) / ((box.x1 - box.x0) / 2)) ** 2 <= 1)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))


def dark() -> Stack:
    return stack_showing(np.zeros(SHAPE, np.int16))


def test_a_model_that_fills_ellipses_gives_the_ellipsoid_back() -> None:
    stack = dark()
    (mask,) = masks_of(stack, [solid(stack, 4, 18, BOX)], FillsTheEllipse(), THREE_VIEW)
    assert dice(volume(mask), ellipsoid(4, 18, BOX)) > 0.97
    assert set(mask.planes) == set(range(4, 19))
    assert dict(mask.parameters)["strategy"] == "three-view"
    assert mask.quality == pytest.approx(dict.fromkeys(range(4, 19), 0.75))
    assert mask.notes == ()


def test_a_ball_in_voxels_that_are_no_cubes_is_found() -> None:
    z, y, x = np.mgrid[:12, :40, :60]
    inside = (4.0 * (z - 6)) ** 2 + (1.5 * (y - 19)) ** 2 + (0.8 * (x - 28)) ** 2 < 15.5**2
    shown = stack_at(*(4.0 * number for number in range(12)), spacing=(1.5, 0.8))
    pixels = np.where(inside, BRIGHT, 0).astype(np.int16)
    stack = replace(shown, planes=tuple(replace(one, stored=pixels[n]) for n, one in enumerate(shown.planes)))
    where = [np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    (first, last), (y0, y1), (x0, x1) = ((int(one[0]), int(one[-1])) for one in where)
    box = Box(x0=x0 - 0.5, y0=y0 - 0.5, x1=x1 + 0.5, y1=y1 + 0.5)
    (mask,) = masks_of(stack, [solid(stack, first, last, box)], FindsBright(), THREE_VIEW)
    assert dice(volume(mask, inside.shape), inside) > 0.97


def test_an_object_that_does_not_fill_its_box_is_found_where_it_is() -> None:
    inside = ellipsoid(8, 15, Box(x0=13.5, y0=9.5, x1=26.5, y1=20.5))
    stack = stack_showing(np.where(inside, BRIGHT, 0).astype(np.int16))
    drawn = [solid(stack, 6, 18, Box(x0=10.5, y0=6.5, x1=30.5, y1=24.5))]
    (mask,) = masks_of(stack, drawn, SeesTheImage(), THREE_VIEW)
    assert (volume(mask) == inside).all()


def test_what_is_found_gives_each_section_a_better_box_and_is_found_again_in_it() -> None:
    inside = ellipsoid(8, 15, Box(x0=13.5, y0=9.5, x1=26.5, y1=20.5))
    stack, model = stack_showing(np.where(inside, BRIGHT, 0).astype(np.int16)), SeesTheImage()
    told: list[tuple[int, int]] = []
    masks_of(
        stack,
        [solid(stack, 6, 18, Box(x0=10.5, y0=6.5, x1=30.5, y1=24.5))],
        model,
        THREE_VIEW,
        progress=lambda done, total: told.append((done, total)),
    )
    first = 13 + 18 + 20
    again = [box for _, (box,) in model.decoded[first:]]
    shown = [np.take(inside, number, axis) for axis, count in enumerate(SHAPE) for number in range(count)]
    boxes = [extent(one) for one in shown]
    assert again == [[one.x0, one.y0, one.x1, one.y1] for one in boxes if one]
    assert told[-1] == (first + len(again), first + len(again))
    assert [done for done, _ in told] == list(range(1, first + len(again) + 1))


def test_where_nothing_is_found_nothing_is_looked_for_again() -> None:
    class SeesNothing(SeesTheImage):
        def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
            found = SeesTheImage.decode(self, features, boxes)
            return found._replace(logits=found.logits - 50)

    stack, model = dark(), SeesNothing()
    (mask,) = masks_of(stack, [solid(stack, 4, 18, BOX)], model, THREE_VIEW)
    assert mask.voxels == 0
    assert len(model.decoded) == 15 + 19 + 23


def test_a_box_cut_by_the_border_is_answered_within_the_image() -> None:
    stack, across = dark(), Box(x0=-10.5, y0=17.5, x1=12.5, y1=40.5)
    (mask,) = masks_of(stack, [solid(stack, 0, 6, across)], FillsTheBox(), THREE_VIEW)
    found, region = volume(mask), np.zeros(SHAPE, bool)
    region[:7, 18:, :13] = True
    assert found[3, 25, 3]
    assert not found[~region].any()
    at_border = Box(x0=-0.5, y0=-0.5, x1=15.5, y1=11.5)
    (mask,) = masks_of(stack, [solid(stack, 0, 9, at_border)], FillsTheEllipse(), THREE_VIEW)
    assert dice(volume(mask), ellipsoid(0, 9, at_border)) > 0.97


@pytest.mark.parametrize("last", [7, 8])
def test_boxes_on_two_or_three_planes_are_answered(last: int) -> None:
    stack = dark()
    (mask,) = masks_of(stack, [solid(stack, 6, last, BOX)], FillsTheEllipse(), THREE_VIEW)
    assert dict(mask.parameters)["strategy"] == "three-view"
    assert dice(volume(mask), ellipsoid(6, last, BOX)) > 0.95


def test_a_box_on_one_plane_is_answered_by_that_plane_and_a_note_says_so() -> None:
    stack, model = dark(), FillsTheEllipse()
    (mask,) = masks_of(stack, [solid(stack, 6, 6, BOX)], model, THREE_VIEW)
    assert dict(mask.parameters)["strategy"] == "static"
    assert mask.notes == ("three-view needs a box on several planes and this is on one: static",)
    assert set(mask.planes) == {6}
    assert model.asked == [1]


def test_nothing_is_inside_outside_the_3_d_box() -> None:
    class FillsTheImage(FillsTheBox):
        def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
            return (
                FillsTheBox().decode(features, boxes)._replace(logits=np.full((len(boxes), *features), 50, np.float32))
            )

    stack, whole = dark(), np.zeros(SHAPE, bool)
    whole[4:19, 6:25, 8:31] = True
    (mask,) = masks_of(stack, [solid(stack, 4, 18, BOX)], FillsTheImage(), THREE_VIEW)
    assert (volume(mask) == whole).all()


def test_sections_of_two_objects_are_encoded_once_and_decoded_together() -> None:
    stack, model = dark(), FillsTheEllipse()
    other = Box(x0=2.5, y0=9.5, x1=20.5, y1=28.5)
    drawn = [solid(stack, 4, 18, BOX, "one"), solid(stack, 9, 22, other, "two")]
    one, two = masks_of(stack, drawn, model, THREE_VIEW)
    assert dice(volume(one), ellipsoid(4, 18, BOX)) > 0.97
    assert dice(volume(two), ellipsoid(9, 22, other)) > 0.97
    sections = (range(4, 23), range(6, 29), range(3, 31))
    first = model.asked[: sum(map(len, sections))]
    assert sum(first) == (15 + 19 + 23) + (14 + 19 + 18)
    assert len(model.asked) <= 2 * len(first)
    assert max(model.asked) == 2


def test_an_object_is_the_same_whatever_else_is_asked_for() -> None:
    small = Box(x0=13.5, y0=9.5, x1=22.5, y1=16.5)
    noise = np.random.default_rng(7).normal(0, 30, SHAPE)
    stack = stack_showing((noise + 100 * ellipsoid(8, 13, small)).astype(np.int16))
    drawn = solid(stack, 8, 13, small)
    (alone,) = masks_of(stack, [drawn], ClassicalRuntime(), THREE_VIEW)
    _, again = masks_of(stack, [solid(stack, 9, 11, small, "other"), drawn], ClassicalRuntime(), THREE_VIEW)
    assert (volume(alone) == volume(again)).all()
    assert alone.quality == {}


def test_probabilities_are_those_of_the_sums_where_they_are_asked_for() -> None:
    stack = dark()
    options = replace(THREE_VIEW, seg_types=(SegType.FRACTIONAL,))
    (mask,) = masks_of(stack, [solid(stack, 4, 18, BOX)], FillsTheEllipse(), options)
    assert set(mask.probabilities) == set(mask.planes)
    for plane, inside in mask.planes.items():
        assert ((mask.probabilities[plane] >= 128) == inside).all()
    in_the_middle = MOST_LOGIT + ELLIPSOID_WEIGHT * ELLIPSOID_STEEPNESS / 3
    assert mask.probabilities[11][15, 19] == round(255 / (1 + exp(-in_the_middle)))
    assert mask.probabilities[11][0, 0] == 0
    (plain,) = masks_of(stack, [solid(stack, 4, 18, BOX)], FillsTheEllipse(), THREE_VIEW)
    assert plain.probabilities == {}


def test_without_a_regular_stack_it_is_static_and_a_note_says_so() -> None:
    stack = stack_showing(np.zeros(SHAPE, np.int16), lost=[9])
    (mask,) = masks_of(stack, [solid(stack, 4, 12, BOX)], FillsTheBox(), THREE_VIEW)
    assert dict(mask.parameters)["strategy"] == "static"
    assert mask.notes[0] == "three-view needs a regular stack and this is IRREGULAR, MISSING_SLICES: static"


def test_without_a_place_in_the_patient_it_is_static_and_a_note_says_so() -> None:
    film = replace(stack_at(0, 1, 2, 3), frame_of_reference_uid=None, facts=frozenset())
    drawn = prompt({one.key: Box(x0=1.5, y0=1.5, x1=6.5, y1=6.5) for one in film.planes})
    (mask,) = masks_of(film, [drawn], FillsTheBox(), THREE_VIEW)
    assert dict(mask.parameters)["strategy"] == "static"
    assert mask.notes[0].startswith("three-view needs a regular stack")
