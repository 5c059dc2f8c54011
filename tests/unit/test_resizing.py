"""Resizing gives OpenCV's areas, every bit of them of bytes, and PyTorch's linear interpolation."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from cv2.typing import MatLike
from numpy.typing import NDArray

from dicomnode.inference.resizing import Taps, area_taps, interpolated, linear_taps, resized_bytes, resized_floats

Size = tuple[int, int]

SQUARES = [(1, 1), (2, 2), (3, 3), (128, 128), (251, 251), (255, 255), (256, 256), (257, 257), (512, 512), (768, 768)]
OBLONGS = [(1, 2), (1, 256), (3, 512), (127, 89), (255, 256), (256, 251), (300, 513), (512, 511), (640, 480), (769, 97)]


def in_the_square(rows: int, columns: int) -> Size:
    """Return the height and width of an image whose longest side is made 256."""
    scale = 256 / max(rows, columns)
    return max(1, int(rows * scale + 0.5)), max(1, int(columns * scale + 0.5))


def by_opencv(image: NDArray[np.uint8] | NDArray[np.float32], size: Size) -> MatLike:
    height, width = size
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def sizes_at_random(seed: int, longest: int, count: int) -> list[Size]:
    return [(int(rows), int(columns)) for rows, columns in np.random.default_rng(seed).integers(1, longest, (count, 2))]


def images_of(rows: int, columns: int) -> list[NDArray[np.uint8]]:
    """Return noise, a mask of a label, black and white, and noise in colours: uint8."""
    noise = np.random.default_rng(rows * 1000 + columns).integers(0, 256, (rows, columns, 3), np.uint8)
    grey = noise[..., 0]
    return [grey, (grey > 200).astype(np.uint8) * 3, np.where(grey > 127, 255, 0).astype(np.uint8), noise]


@pytest.mark.parametrize("size", SQUARES + OBLONGS + [size[::-1] for size in OBLONGS], ids=str)
def test_bytes_are_those_of_opencv(size: Size) -> None:
    for image in images_of(*size):
        wanted = in_the_square(*size)
        np.testing.assert_array_equal(resized_bytes(image, *wanted), by_opencv(image, wanted))


@pytest.mark.parametrize(("longest", "count"), [(256, 40), (700, 20)], ids=["enlarged", "of any size"])
def test_bytes_of_images_of_random_sizes_are_those_of_opencv(longest: int, count: int) -> None:
    for size in sizes_at_random(5, longest, count):
        for image in images_of(*size):
            wanted = in_the_square(*size)
            np.testing.assert_array_equal(resized_bytes(image, *wanted), by_opencv(image, wanted), err_msg=str(size))


@pytest.mark.parametrize("factor", [2, 3, 4, 7, 12])
def test_bytes_made_smaller_by_a_whole_number_are_those_of_opencv(factor: int) -> None:
    for image in images_of(20 * factor, 30 * factor):
        np.testing.assert_array_equal(resized_bytes(image, 20, 30), by_opencv(image, (20, 30)))


def test_bytes_made_smaller_by_other_whole_numbers_down_than_across_are_those_of_opencv() -> None:
    for image in images_of(40, 90):
        np.testing.assert_array_equal(resized_bytes(image, 20, 30), by_opencv(image, (20, 30)))


def test_bytes_made_smaller_down_and_larger_across_are_those_of_opencv() -> None:
    for image in images_of(97, 31):
        np.testing.assert_array_equal(resized_bytes(image, 40, 64), by_opencv(image, (40, 64)))


def test_three_equal_colours_give_what_one_gives() -> None:
    for size in [(100, 90), (300, 200), (512, 512)]:
        grey = images_of(*size)[0]
        alone = resized_bytes(grey, *in_the_square(*size))
        colours = resized_bytes(np.repeat(grey[..., None], 3, axis=-1), *in_the_square(*size))
        np.testing.assert_array_equal(colours, np.repeat(alone[..., None], 3, axis=-1))


def test_halves_of_two_by_two_pixels_go_up_and_others_to_the_even_number() -> None:
    ones = np.array([[1, 0], [1, 0]], np.uint8)
    assert resized_bytes(ones, 1, 1).tolist() == [[1]]
    assert resized_bytes(ones[:1], 1, 1).tolist() == [[0]]


@pytest.mark.parametrize("size", SQUARES + OBLONGS, ids=str)
def test_floats_are_those_of_opencv_but_for_their_last_bits(size: Size) -> None:
    for image in images_of(*size):
        wanted, floats = in_the_square(*size), image.astype(np.float32)
        np.testing.assert_allclose(resized_floats(floats, *wanted), by_opencv(floats, wanted), rtol=0, atol=1e-4)


def test_floats_are_the_areas_that_pixels_cover() -> None:
    image = np.array([[0, 30, 60], [0, 30, 60]], np.float32)
    np.testing.assert_allclose(resized_floats(image, 1, 2), [[10, 50]], rtol=1e-6)
    np.testing.assert_allclose(resized_floats(image[:, :2], 2, 3), [[0, 15, 30]] * 2, rtol=1e-6)


def test_a_pixel_that_begins_on_an_edge_is_not_taken_from_the_pixel_before() -> None:
    image = np.tile(np.arange(198, dtype=np.float32), (198, 1))
    assert resized_floats(image, 256, 256)[0, 128] == 99
    assert by_opencv(image, (256, 256))[0, 128] == 98
    assert resized_bytes(image.astype(np.uint8), 256, 256)[0, 128] == 98


@pytest.mark.parametrize("taps", [area_taps, linear_taps])
def test_the_weights_of_a_pixel_sum_up_to_one(taps: Callable[[int, int], Taps]) -> None:
    for old, new in [(1, 256), (200, 256), (256, 256), (257, 256), (512, 256), (3000, 256), (256, 781)]:
        np.testing.assert_allclose(taps(old, new).weights.sum(axis=0, dtype=np.float64), 1, rtol=0, atol=1e-6)


def test_resizing_leaves_the_image_alone() -> None:
    image = images_of(300, 200)[0]
    before, floats = image.copy(), image.astype(np.float32)
    resized_bytes(image, 256, 171)
    resized_floats(floats, 256, 171)
    interpolated(floats, 400, 300)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(floats, before)


def test_interpolation_is_linear_between_centres_and_constant_beyond() -> None:
    image = np.array([[0, 4]], np.float32)
    assert interpolated(image, 1, 8).tolist() == [[0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]]
    assert interpolated(image.T.copy(), 4, 2).tolist() == [[0, 0], [1, 1], [3, 3], [4, 4]]


@pytest.mark.parametrize("size", [(512, 512), (700, 523), (97, 256), (1, 1), (256, 256)], ids=str)
def test_interpolation_is_that_of_pytorch(size: Size) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for shape in [(256, 256), (171, 256), (256, 3), (1, 1)]:
        image = np.random.default_rng(3).normal(0, 6, shape).astype(np.float32)
        wanted = torch.nn.functional.interpolate(torch.from_numpy(image)[None, None], size=size, mode="bilinear")[0, 0]
        np.testing.assert_allclose(interpolated(image, *size), wanted.numpy(), rtol=0, atol=1e-5)
