"""Images, boxes and logits go into the network's square and back."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.inference.transforms import Framing, boxes_to_network, framing_of, from_network, to_network

Grey = NDArray[np.float32]
Boxes = NDArray[np.float64]

SIZES = [(512, 512), (400, 512), (333, 512), (256, 256), (128, 100), (97, 251), (700, 523), (1, 300), (1, 1)]


def noise(*shape: int) -> Grey:
    """Return grey levels 3..240, whole numbers as float32."""
    return np.random.default_rng(11).integers(3, 241, shape).astype(np.float32)


def as_the_reference_looks(image: Grey) -> Grey:
    """Return what the reference implementation gives its network of `image`, whole numbers: (3, 256, 256) float32."""
    rows, columns = image.shape[:2]
    scale = 256 / max(rows, columns)
    size = int(columns * scale + 0.5), int(rows * scale + 0.5)
    colours = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    small = cv2.resize(colours.astype(np.uint8), size, interpolation=cv2.INTER_AREA).astype(np.float64)
    stretched = (small - small.min()) / max(small.max() - small.min(), 1e-8)
    padded = np.pad(stretched, ((0, 256 - size[1]), (0, 256 - size[0]), (0, 0)))
    return padded.astype(np.float32).transpose(2, 0, 1)


def boxes_of(*pixels: tuple[int, int, int, int]) -> Boxes:
    """Return the boxes of first and last pixels x0, y0, x1, y1: (box, 4) float64."""
    edges: Boxes = np.array(pixels, np.float64) + np.array([-0.5, -0.5, 0.5, 0.5])
    return edges


def in_the_square(boxes: Boxes, framing: Framing) -> list[list[float]]:
    placed: list[list[float]] = boxes_to_network(boxes, framing, reference=False).tolist()
    return placed


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_in_reference_mode_every_bit_of_the_image_is_the_references(size: tuple[int, int]) -> None:
    for image in (noise(*size), noise(*size, 3)):
        square, _ = to_network(image, reference=True)
        np.testing.assert_array_equal(square, as_the_reference_looks(image))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_without_rounding_the_image_is_nearly_the_references(size: tuple[int, int]) -> None:
    image = noise(*size)
    square, framing = to_network(image, reference=False)
    assert square.dtype == np.float32
    np.testing.assert_allclose(square, as_the_reference_looks(image), rtol=0, atol=0.02)
    assert framing == framing_of(*size)


def test_levels_between_whole_numbers_are_kept() -> None:
    image = np.tile(np.linspace(100, 101, 256, dtype=np.float32), (256, 1))
    square, _ = to_network(image, reference=False)
    np.testing.assert_allclose(square[0, 0], np.linspace(0, 1, 256), atol=1e-4)


def test_in_reference_mode_two_neighbouring_levels_are_black_and_white() -> None:
    square, _ = to_network(np.tile(np.array([7, 8], np.float32), (256, 128)), reference=True)
    assert square[0, 0, :4].tolist() == [0, 1, 0, 1]


def test_the_longest_side_fills_the_square_and_zeros_the_rest() -> None:
    square, framing = to_network(noise(300, 512), reference=False)
    assert framing == Framing(rows=300, columns=512, height=150, width=256)
    assert not square[:, 150:].any()
    assert square[:, :150].min() == 0
    assert square[:, :150].max() == 1


def test_a_grey_image_is_three_times_the_same() -> None:
    square, _ = to_network(noise(64, 64), reference=False)
    np.testing.assert_array_equal(square[0], square[1])
    np.testing.assert_array_equal(square[0], square[2])


def test_colours_are_stretched_together() -> None:
    image = np.zeros((256, 256, 3), np.float32)
    image[:128] = (50, 100, 250)
    square, _ = to_network(image, reference=False)
    np.testing.assert_allclose(square[:, 0, 0], [0.2, 0.4, 1.0], rtol=1e-6)


@pytest.mark.parametrize("size", [(300, 200), (512, 512), (97, 60)], ids=str)
@pytest.mark.parametrize("reference", [False, True])
def test_an_image_of_one_level_is_black(size: tuple[int, int], *, reference: bool) -> None:
    square, _ = to_network(np.full(size, 100, np.float32) + np.float32(0 if reference else 0.3), reference=reference)
    assert square.max() < 0.01


@pytest.mark.parametrize("reference", [False, True])
def test_an_image_that_is_too_narrow_for_a_pixel_gets_one(*, reference: bool) -> None:
    square, framing = to_network(noise(1, 1000), reference=reference)
    assert (framing.height, framing.width) == (1, 256)
    assert square[0, 0].max() == 1


def test_in_reference_mode_boxes_are_cut_to_whole_pixels_as_the_reference_cuts_them() -> None:
    pixels = np.random.default_rng(2).integers(0, 523, (200, 4))
    found = boxes_to_network(boxes_of(*map(tuple, pixels)), framing_of(700, 523), reference=True)
    assert found.dtype == np.float32
    assert found.tolist() == [[int(value * (256 / 700)) for value in box] for box in pixels.tolist()]


def test_a_box_keeps_its_outer_edges() -> None:
    assert in_the_square(boxes_of((10, 20, 19, 41)), framing_of(512, 512)) == [[5, 10, 9, 20]]
    assert in_the_square(boxes_of((10, 20, 19, 41)), framing_of(128, 128)) == [[20, 40, 39, 83]]
    assert in_the_square(boxes_of((10, 20, 19, 41)), framing_of(256, 256)) == [[10, 20, 19, 41]]


def test_a_box_of_the_whole_image_covers_the_whole_image_in_the_square() -> None:
    for size in SIZES:
        framing = framing_of(*size)
        whole = boxes_of((0, 0, framing.columns - 1, framing.rows - 1))
        np.testing.assert_allclose(in_the_square(whole, framing), [[0, 0, framing.width - 1, framing.height - 1]])


def test_a_box_is_scaled_as_its_image_is_on_each_axis() -> None:
    framing = framing_of(3, 512)
    assert framing.height == 2
    assert in_the_square(boxes_of((0, 0, 511, 2)), framing) == [[0, 0, 255, 1]]


def test_a_box_between_pixels_is_not_rounded() -> None:
    (box,) = in_the_square(np.array([[9.7, 19.7, 19.3, 41.2]]), framing_of(512, 512))
    np.testing.assert_allclose(box, [5.1, 10.1, 8.9, 19.85], rtol=1e-6)


def test_a_box_that_reaches_out_of_the_image_is_cut_at_its_last_pixels() -> None:
    assert in_the_square(boxes_of((-9, -9, 600, 600)), framing_of(300, 512)) == [[0, 0, 255, 149]]


def test_a_box_smaller_than_a_pixel_of_the_square_keeps_its_middle() -> None:
    assert in_the_square(boxes_of((101, 0, 101, 1023)), framing_of(1024, 1024)) == [[24.875, 0, 24.875, 255]]
    assert in_the_square(boxes_of((0, 0, 0, 0)), framing_of(1024, 1024)) == [[0, 0, 0, 0]]


@pytest.mark.parametrize("reference", [False, True])
def test_no_boxes_give_no_boxes(*, reference: bool) -> None:
    assert boxes_to_network(np.empty((0, 4)), framing_of(40, 50), reference=reference).shape == (0, 4)


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 1], ids=str)
def test_logits_come_back_as_pytorch_interpolates_what_lies_in_the_square(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    logits, framing = np.random.default_rng(4).normal(0, 6, (3, 256, 256)).astype(np.float32), framing_of(*size)
    cropped = torch.from_numpy(logits)[None, :, : framing.height, : framing.width]
    wanted = torch.nn.functional.interpolate(cropped, size=size, mode="bilinear", align_corners=False)[0]
    found = from_network(logits, framing)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-5)


def test_logits_of_boxes_together_are_those_of_each_alone() -> None:
    logits, framing = np.random.default_rng(4).normal(0, 6, (3, 256, 256)).astype(np.float32), framing_of(400, 512)
    alone = np.concatenate([from_network(one[None], framing) for one in logits])
    assert from_network(logits, framing).tobytes() == alone.tobytes()


def test_no_logits_give_no_masks() -> None:
    assert from_network(np.empty((0, 256, 256), np.float32), framing_of(40, 50)).shape == (0, 40, 50)


@pytest.mark.parametrize("size", [(512, 512), (400, 512), (120, 90)], ids=str)
def test_the_pixels_of_a_box_come_back_where_they_were(size: tuple[int, int]) -> None:
    framing = framing_of(*size)
    pixels = (24, 40, 63, 79)
    x0, y0, x1, y1 = boxes_to_network(boxes_of(pixels), framing, reference=False)[0]
    y, x = np.mgrid[:256, :256]
    inside = np.where((x >= x0 - 0.5) & (x <= x1 + 0.5) & (y >= y0 - 0.5) & (y <= y1 + 0.5), 8, -8)
    rows, columns = np.nonzero(from_network(inside[None].astype(np.float32), framing)[0] > 0)
    found = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    assert np.abs(found - pixels).max() <= 1
    assert np.abs((found[2:] + found[:2]) - (np.array(pixels)[2:] + np.array(pixels)[:2])).max() <= 1
