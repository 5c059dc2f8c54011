"""What the classical runtime promises of a mask, on shapes drawn here."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.inference.classical import ClassicalRuntime

SHAPE = (96, 112)
Inside = NDArray[np.bool_]
Grey = NDArray[np.float32]
Placed = tuple[float, float, float, float]

ROW, COLUMN = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
DISC: Inside = np.hypot(COLUMN - 50, ROW - 44) <= 20
BAR: Inside = (np.abs(COLUMN - ROW - 8) <= 6) & (COLUMN + ROW >= 60) & (COLUMN + ROW <= 130)
CRESCENT: Inside = DISC & (np.hypot(COLUMN - 62, ROW - 44) > 14)


def image_of(inside: Inside, *, grey: float = 80, around: float = 20, noise: float = 4) -> Grey:
    """Return (row, column) float32: `inside` at `grey`, the rest at `around`, with the same noise each time."""
    texture = np.random.default_rng(7).normal(0, noise, inside.shape)
    return (np.where(inside, grey, around) + texture).astype(np.float32)


def box_of(inside: Inside) -> Placed:
    """Return the outer edges of the pixels of `inside`, (row, column) bool."""
    rows, columns = np.nonzero(inside)
    return float(columns.min()) - 0.5, float(rows.min()) - 0.5, float(columns.max()) + 0.5, float(rows.max()) + 0.5


def logits_of(image: Grey, *boxes: Placed) -> Grey:
    runtime = ClassicalRuntime()
    (features,) = runtime.encode([image], (1.0, 1.0))
    return runtime.decode(features, np.array(boxes, np.float64)).logits


def mask_of(image: Grey, box: Placed) -> Inside:
    found: Inside = logits_of(image, box)[0] > 0
    return found


def ellipse_in(box: Placed) -> Inside:
    x0, y0, x1, y1 = box
    radius: NDArray[np.float64] = np.hypot((2 * COLUMN - x0 - x1) / (x1 - x0), (2 * ROW - y0 - y1) / (y1 - y0))
    return radius <= 1


def centres_in(box: Placed) -> Inside:
    x0, y0, x1, y1 = box
    inside: Inside = (x0 <= COLUMN) & (x1 >= COLUMN) & (y0 <= ROW) & (y1 >= ROW)
    return inside


def dice(one: Inside, other: Inside) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_a_bright_disc_in_its_box_is_recovered() -> None:
    assert dice(mask_of(image_of(DISC), box_of(DISC)), DISC) > 0.95


def test_a_dark_disc_in_its_box_is_recovered() -> None:
    assert dice(mask_of(image_of(DISC, grey=20, around=80), box_of(DISC)), DISC) > 0.95


def test_a_disc_in_a_box_that_is_too_large_is_recovered() -> None:
    x0, y0, x1, y1 = box_of(DISC)
    assert dice(mask_of(image_of(DISC), (x0 - 4, y0 - 4, x1 + 4, y1 + 4)), DISC) > 0.95


@pytest.mark.parametrize("inside", [BAR, BAR[:, ::-1]], ids=["falling", "rising"])
def test_an_inclined_shape_is_found_much_better_than_by_the_ellipse(inside: Inside) -> None:
    box = box_of(inside)
    found = dice(mask_of(image_of(inside), box), inside)
    assert found > dice(ellipse_in(box), inside) + 0.2
    assert found > 0.9


def test_a_concave_shape_is_found_better_than_by_the_ellipse() -> None:
    box = box_of(CRESCENT)
    assert dice(mask_of(image_of(CRESCENT), box), CRESCENT) > dice(ellipse_in(box), CRESCENT) + 0.05


def test_a_shape_that_fills_the_corners_is_found_better_than_by_the_ellipse() -> None:
    box = (29.5, 19.5, 69.5, 59.5)
    square = centres_in(box)
    assert dice(mask_of(image_of(square), box), square) > dice(ellipse_in(box), square) + 0.05


@pytest.mark.parametrize("box", [(29.5, 19.5, 69.5, 59.5), (30.2, 20.7, 41.9, 70.1), (30.0, 20.0, 40.0, 30.0)])
def test_a_constant_image_gives_the_ellipse(box: Placed) -> None:
    np.testing.assert_array_equal(mask_of(np.full(SHAPE, 37, np.float32), box), ellipse_in(box))


def test_noise_without_an_object_gives_nearly_the_ellipse() -> None:
    box = (29.5, 19.5, 69.5, 59.5)
    assert dice(mask_of(image_of(np.zeros(SHAPE, np.bool_)), box), ellipse_in(box)) > 0.95


@pytest.mark.parametrize("box", [(40.5, 30.5, 52.5, 55.5), (40.2, 30.9, 52.7, 55.0), (40.0, 30.0, 41.0, 60.0)])
def test_the_mask_stays_inside_the_box_within_a_larger_object(box: Placed) -> None:
    found = mask_of(image_of(DISC), box)
    assert found.any()
    assert not (found & ~centres_in(box)).any()


def test_two_calls_give_the_same_bytes() -> None:
    image, box = image_of(CRESCENT), box_of(CRESCENT)
    assert logits_of(image, box).tobytes() == logits_of(image, box).tobytes()


def test_boxes_together_give_what_each_gives_alone() -> None:
    image, boxes = image_of(CRESCENT), (box_of(CRESCENT), (2.0, 3.0, 20.0, 30.0), box_of(DISC))
    alone = np.concatenate([logits_of(image, box) for box in boxes])
    np.testing.assert_array_equal(logits_of(image, *boxes), alone)


def test_it_predicts_no_quality_and_asks_to_keep_nothing() -> None:
    runtime = ClassicalRuntime()
    (features,) = runtime.encode([image_of(DISC)], (1.0, 1.0))
    assert np.isnan(runtime.decode(features, np.array([box_of(DISC)])).quality).all()
    assert runtime.size_of(features) == 0


def test_no_boxes_give_no_masks() -> None:
    runtime = ClassicalRuntime()
    (features,) = runtime.encode([image_of(DISC)], (1.0, 1.0))
    decoded = runtime.decode(features, np.empty((0, 4)))
    assert (decoded.logits.shape, decoded.quality.shape) == ((0, *SHAPE), (0,))


def test_logits_are_float32_of_box_row_and_column() -> None:
    logits = logits_of(image_of(DISC), box_of(DISC), box_of(BAR))
    assert logits.shape == (2, *SHAPE)
    assert logits.dtype == np.float32


def test_decoding_leaves_the_image_alone() -> None:
    image = image_of(DISC)
    before = image.copy()
    logits_of(image, box_of(DISC))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("column", "row"), [(50, 44), (0, 0), (111, 95)])
def test_a_box_of_one_pixel_gives_that_pixel(column: int, row: int) -> None:
    found = mask_of(image_of(DISC), (column - 0.5, row - 0.5, column + 0.5, row + 0.5))
    assert np.argwhere(found).tolist() == [[row, column]]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_small_box_anywhere_is_never_empty(size: int) -> None:
    boxes = [(x, y, x + size, y + size) for x in np.arange(20, 80, 3.25) for y in np.arange(20, 70, 3.5)]
    assert (logits_of(image_of(DISC), *boxes) > 0).any(axis=(1, 2)).all()


def test_a_box_half_outside_the_image_gives_its_part_inside() -> None:
    disc: Inside = np.hypot(COLUMN - 2, ROW - 44) <= 20
    found = mask_of(image_of(disc), (-18.5, 23.5, 22.5, 64.5))
    assert dice(found, disc) > 0.9


def test_a_box_wholly_outside_the_image_gives_an_empty_mask() -> None:
    assert not mask_of(image_of(DISC), (200.0, 200.0, 220.0, 220.0)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_counts_as_the_least(value: float) -> None:
    image = image_of(DISC)
    broken, least = image.copy(), image.copy()
    broken[30:40, 30:50], least[30:40, 30:50] = value, image.min()
    assert logits_of(broken, box_of(DISC)).tobytes() == logits_of(least, box_of(DISC)).tobytes()


def test_an_image_of_nan_only_gives_the_ellipse() -> None:
    box = (29.5, 19.5, 69.5, 59.5)
    np.testing.assert_array_equal(mask_of(np.full(SHAPE, np.nan, np.float32), box), ellipse_in(box))


UNITS: list[Callable[[Grey], Grey]] = [
    lambda grey: grey * 3.7 - 1024,
    lambda grey: grey * 0.001 + 5,
    lambda grey: -grey,
]


@pytest.mark.parametrize("in_other_units", UNITS, ids=["as HU", "as SUV", "inverted"])
@pytest.mark.parametrize("inside", [DISC, BAR, CRESCENT], ids=["disc", "bar", "crescent"])
def test_the_unit_of_the_image_does_not_change_the_mask(inside: Inside, in_other_units: Callable[[Grey], Grey]) -> None:
    image, box = image_of(inside), box_of(inside)
    np.testing.assert_array_equal(mask_of(in_other_units(image), box), mask_of(image, box))


def test_turning_the_image_turns_the_mask() -> None:
    image, (x0, y0, x1, y1) = image_of(CRESCENT), box_of(CRESCENT)
    np.testing.assert_array_equal(mask_of(image.T.copy(), (y0, x0, y1, x1)), mask_of(image, (x0, y0, x1, y1)).T)


def test_a_bright_disc_on_pixels_that_are_not_square_is_recovered() -> None:
    runtime = ClassicalRuntime()
    flat: Inside = np.hypot(COLUMN - 50, 3 * (ROW - 44)) <= 30
    (features,) = runtime.encode([image_of(flat)], (3.0, 1.0))
    assert dice(runtime.decode(features, np.array([box_of(flat)])).logits[0] > 0, flat) > 0.95


def test_of_a_colour_image_the_brightness_counts() -> None:
    grey = image_of(DISC)
    colours = np.stack([grey + 9, grey - 9 * 0.299 / 0.587, grey], axis=-1)
    (features,) = ClassicalRuntime().encode([colours], (1.0, 1.0))
    assert np.allclose(features.image, grey, atol=1e-3)
    assert dice(mask_of(colours, box_of(DISC)), DISC) > 0.95


def test_what_differs_in_colour_only_is_left_to_the_shape_of_the_box() -> None:
    red_disc = np.where(DISC[..., None], (100, 49.06, 50), (50, 74.53, 50)).astype(np.float32)
    box = box_of(DISC)
    assert dice(mask_of(red_disc, box), ellipse_in(box)) > 0.95
