"""Which box a mask gives its neighbour, and when what is found there is still the object."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box
from dicomnode.inference.boxes import centres, extent, within
from dicomnode.inference.propagation import AsReference, Beyond, Found, InBox
from dicomnode.inference.transforms import boxes_to_network, framing_of

SHAPE = (128, 256)  # where 3 pixels of the network's square are 3 pixels
NOTHING = np.zeros(SHAPE, bool)
WHOLE = Box(x0=39.5, y0=29.5, x1=99.5, y1=79.5)


def pixels(rows: slice, columns: slice) -> NDArray[np.bool_]:
    inside = NOTHING.copy()
    inside[rows, columns] = True
    return inside


def found(rows: slice, columns: slice, quality: float = math.nan) -> Found:
    return Found(pixels(rows, columns), quality)


def test_the_box_of_pixels_has_their_outer_edges() -> None:
    assert extent(pixels(slice(3, 6), slice(7, 8))) == Box(x0=6.5, y0=2.5, x1=7.5, y1=5.5)
    assert extent(NOTHING) is None


def test_the_box_of_a_neighbour_is_three_pixels_of_the_network_wider() -> None:
    follow = InBox(fallback=WHOLE, shape=SHAPE, least_side=1.0)
    assert follow.box(pixels(slice(40, 60), slice(50, 70))) == Box(x0=46.5, y0=36.5, x1=72.5, y1=62.5)
    larger = InBox(fallback=WHOLE, shape=(512, 512), least_side=1.0)
    inside = np.zeros((512, 512), bool)
    inside[50:60, 60:70] = True
    assert larger.box(inside) == Box(x0=53.5, y0=43.5, x1=75.5, y1=65.5)


def test_no_box_of_a_neighbour_leaves_the_3_d_box_and_its_margin() -> None:
    follow = InBox(fallback=WHOLE, shape=SHAPE, least_side=1.0)
    assert follow.box(pixels(slice(20, 128), slice(0, 256))) == Box(x0=36.5, y0=26.5, x1=102.5, y1=82.5)
    assert follow.box(pixels(slice(100, 110), slice(0, 10))) is None
    assert follow.box(NOTHING) is None


def test_no_box_leaves_the_image_and_none_is_narrower_than_the_model_sees() -> None:
    follow = Beyond(shape=SHAPE, least_side=9.0, until_lost=True)
    assert follow.box(pixels(slice(0, 1), slice(250, 256))) == Box(x0=246.5, y0=-0.5, x1=255.5, y1=8.5)
    assert within(Box(x0=1, y0=1, x1=2, y1=2), Box(x0=0, y0=0, x1=9, y1=9), (4, 4), 9.0) == Box(
        x0=-0.5, y0=-0.5, x1=3.5, y1=3.5
    )


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(-0.5, 3.5, [0, 1, 2, 3]), (1.2, 1.4, [1]), (0.9, 2.0, [1, 2]), (9.0, 30.0, [9]), (-9, -8, [0])],
)
def test_the_pixels_of_an_interval_are_those_with_their_centres_in_it(
    low: float, high: float, wanted: list[int]
) -> None:
    assert list(centres(low, high, 10)) == wanted


SQUARE = found(slice(40, 60), slice(50, 70), 0.9)


@pytest.mark.parametrize(
    ("here", "holds"),
    [
        (found(slice(40, 60), slice(50, 70)), True),
        (found(slice(59, 79), slice(69, 89)), True),  # one pixel in common
        (found(slice(60, 80), slice(50, 70)), False),  # none
        (found(slice(40, 44), slice(50, 70)), True),  # 20 %
        (found(slice(40, 44), slice(50, 69)), False),
        (found(slice(40, 80), slice(50, 100)), True),  # five times as many
        (found(slice(40, 81), slice(50, 100)), False),
        (Found(NOTHING, math.nan), False),
        (found(slice(40, 60), slice(50, 70), 0.45), True),
        (found(slice(40, 60), slice(50, 70), 0.44), False),
    ],
)
def test_an_object_is_lost_where_size_place_or_quality_leave_its_neighbour(here: Found, *, holds: bool) -> None:
    inside = InBox(fallback=WHOLE, shape=SHAPE, least_side=1.0)
    beyond = Beyond(shape=SHAPE, least_side=1.0, until_lost=True)
    assert inside.holds(here, SQUARE, SQUARE) is holds
    assert beyond.holds(here, SQUARE, SQUARE) is holds


def test_beyond_the_drawn_planes_the_size_is_compared_with_the_seed() -> None:
    small, smaller = found(slice(40, 48), slice(50, 60)), found(slice(40, 42), slice(50, 60))
    inside = InBox(fallback=WHOLE, shape=SHAPE, least_side=1.0)
    beyond = Beyond(shape=SHAPE, least_side=1.0, until_lost=True)
    assert inside.holds(smaller, small, SQUARE)
    assert not beyond.holds(smaller, small, SQUARE)


def test_a_quality_that_never_was_good_cannot_collapse() -> None:
    inside = InBox(fallback=WHOLE, shape=SHAPE, least_side=1.0)
    assert inside.holds(SQUARE._replace(quality=-0.3), SQUARE, SQUARE._replace(quality=-0.1))
    assert inside.holds(SQUARE._replace(quality=0.1), SQUARE, SQUARE._replace(quality=math.nan))


def test_beside_a_plane_without_the_object_anything_is_it() -> None:
    inside = InBox(fallback=WHOLE, shape=SHAPE, least_side=1.0)
    nothing = Found(NOTHING, math.nan)
    assert inside.holds(SQUARE, nothing, nothing)
    assert not inside.holds(nothing, nothing, nothing)


def test_a_number_of_planes_is_followed_as_long_as_anything_is_found() -> None:
    beyond = Beyond(shape=SHAPE, least_side=1.0, until_lost=False)
    assert beyond.holds(found(slice(0, 1), slice(0, 1), 0.0), SQUARE, SQUARE)
    assert not beyond.holds(Found(NOTHING, math.nan), SQUARE, SQUARE)


@pytest.mark.parametrize("shape", [(512, 512), (300, 512), (512, 384), (200, 256), (100, 90)])
def test_the_reference_takes_the_box_of_the_mask_in_the_square_and_three_pixels_more(shape: tuple[int, int]) -> None:
    follow = AsReference(fallback=WHOLE)
    inside = np.zeros(shape, bool)
    inside[20:60, 30:44] = True
    box = follow.box(inside)
    assert box is not None
    framing = framing_of(*shape)
    asked = boxes_to_network(np.array([[box.x0, box.y0, box.x1, box.y1]]), framing, reference=True)[0]
    scale = 256 / max(shape)
    first, last = np.array([30, 20]) * scale - 3, np.array([43, 59]) * scale + 3
    assert np.abs(asked - np.concatenate([first, last])).max() <= max(1.0, scale)
    assert (asked == np.trunc(asked)).all()


def test_the_reference_ends_at_the_squares_edges_and_not_at_its_last_pixel() -> None:
    box = AsReference(fallback=WHOLE).box(np.ones((512, 512), bool))
    assert box is not None
    asked = boxes_to_network(np.array([[box.x0, box.y0, box.x1, box.y1]]), framing_of(512, 512), reference=True)
    assert asked.tolist() == [[0, 0, 256, 256]]


def test_to_the_reference_a_thin_mask_vanishes() -> None:
    thin = np.zeros((512, 512), bool)
    thin[40:41, 10:11] = True
    assert AsReference(fallback=WHOLE).box(thin) is None
