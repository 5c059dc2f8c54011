"""What a crop shows of an image, channel by channel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.inference.crops import BOX, REACH, SIDE, WINDOW_LIMIT, crops_of, placed, resampled

SHAPE = (60, 80)
IMAGE = np.random.default_rng(3).normal(100, 30, SHAPE).astype(np.float32)
BOXED = (10.5, 20.5, 40.5, 45.5)
MIDDLE = slice(SIDE // 2 - 8, SIDE // 2 + 8)


def crop(image: NDArray[np.float32], box: tuple[float, ...] = BOXED) -> NDArray[np.float32]:
    (found,) = crops_of(image, np.array([box], np.float64))
    return np.asarray(found, np.float32)


def disc(values: tuple[float, float]) -> NDArray[np.float32]:
    """Return an image with one value in the ellipse of BOXED, and another about it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((x - 25.5) / 15) ** 2 + ((y - 33) / 12.5) ** 2 <= 1
    return np.where(inside, *values).astype(np.float32)


@pytest.mark.parametrize("box", [BOXED, (10.2, 3.4, 11.9, 57.0), (-0.5, -0.5, 79.5, 59.5), (60.3, 40.1, 79.5, 59.5)])
def test_a_slope_stays_what_it_is_in_each_pixel_of_the_crop(box: tuple[float, ...]) -> None:
    """Rows and columns are resampled on their own, at the centres of the pixels, to a tenth of a pixel of the image."""
    y, x = np.mgrid[-200:400, -200:400].astype(np.float32)
    moved = np.array(box) + 200
    at = (np.arange(SIDE) - (SIDE - 1) / 2) * (REACH / SIDE)
    across, down = (box[0] + box[2]) / 2 + at * (box[2] - box[0]), (box[1] + box[3]) / 2 + at * (box[3] - box[1])
    assert np.abs(resampled(x, moved) - across).max() < 0.1
    assert np.abs(resampled(y, moved) - down[:, np.newaxis]).max() < 0.1


def test_beyond_the_image_is_its_edge() -> None:
    wider = np.pad(IMAGE, 100, mode="edge")
    for box in ((-0.5, -0.5, 20.5, 9.5), (70.5, 50.5, 79.5, 59.5), (-0.5, -0.5, 79.5, 59.5)):
        moved = np.array(box) + 100
        assert np.abs(resampled(IMAGE, np.array(box)) - resampled(wider, moved)).max() < 1e-3


@pytest.mark.parametrize("box", [(-300, 5, -200, 9), (300, 5, 400, 9), (5, -90, 9, -80), (5, 190, 9, 200)])
def test_a_crop_wholly_beyond_the_image_shows_its_edge(box: tuple[float, ...]) -> None:
    column, row = (int(np.clip(at, 0, side - 1)) for at, side in ((box[0], 80), (box[1], 60)))
    seen = resampled(IMAGE, np.array(box, np.float64))
    expected = IMAGE[:, column] if box[0] != 5 else IMAGE[row]
    assert expected.min() - 1e-3 <= seen.min() <= seen.max() <= expected.max() + 1e-3


@pytest.mark.parametrize("side", [3.0, 17.0, 60.0, 300.0, 1500.0])
def test_a_mask_comes_back_from_its_crop(side: float) -> None:
    """An ideal network would answer what the crop shows of the truth; the study allows 0.994 in Dice."""
    count = int(side) + 40
    box = np.array([20.5, 19.5, 20.5 + side, 19.5 + side * 0.75])
    y, x = np.mgrid[:count, :count]
    truth = ((x - box[::2].mean()) / (side / 2)) ** 2 + ((y - box[1::2].mean()) / (side * 0.375)) ** 2 <= 1
    back = placed(resampled(truth.astype(np.float32), box)[np.newaxis] - 0.5, box[np.newaxis], (count, count))[0] > 0
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > (0.99 if side > 10 else 0.8)


@pytest.mark.parametrize("value", [7.3, -1024.3, 0.0, 40000.3, 1e-9])
def test_a_constant_image_shows_nothing_whatever_its_value_and_the_box(value: float) -> None:
    """What is left by rounding in float32 depends on the processor, and must not be drawn out to a picture."""
    image = np.full(SHAPE, value, np.float32)
    generator = np.random.default_rng(0)
    for start, size in generator.uniform(1, 40, (20, 2)):
        seen = crop(image, (start, start / 2, start + size, start / 2 + size / 3))
        assert not seen[0].any()
        assert np.abs(seen[1]).max() < 0.1
        assert np.abs(seen[2]).max() < 1e-3


def test_a_constant_core_shows_nothing_beside_what_differs() -> None:
    generator = np.random.default_rng(0)
    for start, size in generator.uniform(8, 30, (20, 2)):
        image = np.full(SHAPE, -1024.3, np.float32)
        image[:, int(start + size) + 1 :] = 1000
        assert np.abs(crop(image, (start, 10, start + size, 40))[1, MIDDLE, MIDDLE]).max() < 0.1


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-6, 1.0, 1e20])
def test_the_unit_of_the_values_does_not_matter(scale: float) -> None:
    seen, expected = crop((IMAGE * scale).astype(np.float32)), crop(IMAGE)
    assert np.isfinite(seen).all()
    if scale > 1e-37:
        assert np.abs(seen[:2] - expected[:2]).max() < 1e-3


def test_the_outer_window_ends_at_the_quantiles() -> None:
    image = IMAGE.copy()
    image[30, 30] = 1e6  # metal
    seen = crop(image)
    assert (seen[0].min(), seen[0].max()) == (-1, 1)
    assert np.mean(seen[0] == 1) == pytest.approx(0.01, abs=0.003)
    assert np.mean(seen[0] == -1) == pytest.approx(0.01, abs=0.003)
    assert seen[0].std() > 0.3  # one pixel does not take up the range


def test_the_inner_window_is_about_the_core() -> None:
    image = disc((100.0, -1000.0)) + np.random.default_rng(0).normal(0, 5, SHAPE).astype(np.float32)
    inner = crop(image)[1]
    assert np.abs(np.median(inner[MIDDLE, MIDDLE])) < 0.1
    assert 0.1 < inner[MIDDLE, MIDDLE].std() < 0.6
    assert (inner[:4] == -WINDOW_LIMIT).all()


def test_values_of_the_ellipse_speak_for_inside_and_those_beyond_the_box_against() -> None:
    for bright in (True, False):
        noise = np.random.default_rng(0).normal(0, 5, SHAPE).astype(np.float32)
        said = crop(disc((100, 0) if bright else (0, 100)) + noise)[2]
        assert said[MIDDLE, MIDDLE].mean() > 0.5
        assert said[[0, -1]].mean() < -0.5
    assert np.abs(crop(IMAGE)[2]).mean() < 0.2  # noise says little of either


def test_a_crop_says_where_its_box_is_and_how_large() -> None:
    seen = crop(IMAGE, (10.5, 20.5, 10.5 + 64, 20.5 + 16))
    assert seen[BOX].sum(axis=0).max() == pytest.approx(SIDE / REACH, abs=1)
    assert (seen[3] <= 0)[SIDE // 2].sum() == pytest.approx(SIDE / REACH, abs=1)
    assert (seen[5].max(), seen[6].max()) == (pytest.approx(np.log(2) / 2), pytest.approx(-np.log(2) / 2))


def test_a_crop_of_a_box_does_not_depend_on_the_others() -> None:
    boxes = np.array([BOXED, (3.0, 4.0, 50.0, 30.0), (-0.5, -0.5, 79.5, 59.5)])
    together = crops_of(IMAGE, boxes)
    assert all(
        np.array_equal(one, crops_of(IMAGE, box[np.newaxis])[0]) for one, box in zip(together, boxes, strict=True)
    )
