"""Resize images by the area that their pixels cover, and logits by linear interpolation.

The areas are those of OpenCV's INTER_AREA (Apache-2.0), which the reference implementation of LiteMedSAM resizes with:
of bytes every bit of its result is repeated, its fixed point arithmetic included. All sums are formed in a fixed order
and without a library of linear algebra, so that the same input gives the same bits on every machine.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

# OpenCV weighs the bytes of an enlarged image in whole numbers of 2048, across and down: 22 bits below the point, of
# which the sums across lose 4, the products down 16, and the last 2 are rounded away.
WHOLE, ACROSS_SHIFT, DOWN_SHIFT, LAST_SHIFT = 2048, 4, 16, 2


Number = TypeVar("Number", bound=np.generic)


class Taps(NamedTuple):
    """Which pixels of an axis make each pixel of the resized axis, and with which weight: both (tap, new pixel)."""

    pixels: NDArray[np.intp]
    weights: NDArray[np.float32]


def resized_bytes(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return `image`, (row, column) or (row, column, colour) uint8, in `height` x `width` pixels, up to 999 each.

    From 1000 on, OpenCV leaves out the smallest shares, which are not left out here.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    if rows < height or columns < width:
        return _enlarged(image, height, width)
    if not rows % height and not columns % width:
        return _means(image, rows // height, columns // width)
    across = _along_columns(image.astype(np.float32), area_taps(columns, width))
    return _rounded(_along_rows(across, area_taps(rows, height)))


def resized_floats(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return `image`, (row, column) or (row, column, colour) float32, in `height` x `width` pixels, not rounded."""
    rows, columns = image.shape[:2]
    if rows != height:
        image = _along_rows(image, area_taps(rows, height))
    return image if columns == width else _along_columns(image, area_taps(columns, width))


def interpolated(image: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return `image`, (row, column) float32, in `rows` x `columns` pixels, linear between pixel centres.

    PyTorch calls this bilinear without aligned corners.
    """
    across = _along_columns(image, linear_taps(image.shape[1], columns))
    return _along_rows(across, linear_taps(image.shape[0], rows))


def area_taps(old: int, new: int) -> Taps:
    """Return the share of each of `old` pixels in the area of each of `new` ones on an axis of the same length.

    A tap that a pixel does not need has weight 0.
    """
    edges = np.arange(new + 1) * old / new  # exact where it is whole
    start, end = edges[:-1], edges[1:]
    most = int((np.ceil(end) - np.floor(start)).max())
    pixels = np.floor(start) + np.arange(most)[:, None]
    shares = np.maximum(np.minimum(pixels + 1, end) - np.maximum(pixels, start), 0)
    return Taps(np.minimum(pixels, old - 1).astype(np.intp), (shares / (old / new)).astype(np.float32))


def linear_taps(old: int, new: int) -> Taps:
    """Return the two of `old` pixels between whose centres that of each of `new` lies, the ends repeated.

    The places are rounded to float32 as PyTorch's are, with a fused product: that shows where logits are steep.
    """
    scale = float(np.float32(old) / np.float32(new))
    place = np.maximum(scale * (np.arange(new) + 0.5) - 0.5, 0).astype(np.float32)
    first = place.astype(np.intp)
    share = place - first.astype(np.float32)
    return Taps(np.stack([first, np.minimum(first + 1, old - 1)]), np.stack([1 - share, share]))


def _along_rows(image: NDArray[np.float32], taps: Taps) -> NDArray[np.float32]:
    """Return the sums of the weighted rows of `image`, (row, ...): (new row, ...) float32, added tap after tap."""
    weights = _over(taps.weights, image.ndim)
    total: NDArray[np.float32] = image.take(taps.pixels[0], axis=0) * weights[0]
    for pixels, weight in zip(taps.pixels[1:], weights[1:], strict=True):
        total += image.take(pixels, axis=0) * weight
    return total


def _along_columns(image: NDArray[np.float32], taps: Taps) -> NDArray[np.float32]:
    """Return the sums of the weighted columns of `image`, (row, column, ...): (row, new column, ...) float32."""
    return _turned(_along_rows(_turned(image), taps))


def _over(weights: NDArray[Number], dimensions: int) -> NDArray[Number]:
    """Return `weights`, (tap, new row), for rows of an image of so many `dimensions`."""
    return weights.reshape(*weights.shape, *[1] * (dimensions - 1))


def _turned(image: NDArray[Number]) -> NDArray[Number]:
    """Return `image` with rows and columns exchanged, each row contiguous: whole rows are quick to take."""
    return np.ascontiguousarray(image.swapaxes(0, 1))


def _rounded(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return `values`, none below 0, as whole numbers up to 255, halves to the even one: uint8."""
    return np.minimum(np.rint(values), 255).astype(np.uint8)


def _means(image: NDArray[np.uint8], down: int, across: int) -> NDArray[np.uint8]:
    """Return the means of `down` x `across` pixels: uint8; the halves of 2 x 2 go up, all others to the even number."""
    sums = _turned(_sums(_turned(_sums(image.astype(np.int32), down)), across))
    if (down, across) == (2, 2):
        return np.right_shift(sums + 2, 2).astype(np.uint8)
    return _rounded(sums.astype(np.float32) * (np.float32(1) / np.float32(down * across)))


def _sums(image: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the sums of each `count` rows of `image`, (row, ...) int32."""
    total = image[::count].copy()
    for first in range(1, count):
        total += image[first::count]
    return total


def _enlarged(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return `image` in more pixels, in OpenCV's fixed point arithmetic: uint8."""
    across = _turned(_products(_turned(image.astype(np.int32)), width).sum(axis=0, dtype=np.int32))
    down = _products(across >> ACROSS_SHIFT, height) >> DOWN_SHIFT
    total: NDArray[np.int32] = down.sum(axis=0, dtype=np.int32) + (1 << (LAST_SHIFT - 1))
    return np.right_shift(total, LAST_SHIFT).astype(np.uint8)


def _products(image: NDArray[np.int32], new: int) -> NDArray[np.int32]:
    """Return the rows of `image`, (row, ...) int32, times the taps of `new` rows: (tap, new row, ...) int32."""
    taps = _opencvs_enlarging_taps(len(image), new)
    weights = np.rint(taps.weights * np.float32(WHOLE)).astype(np.int32)
    products: NDArray[np.int32] = image[taps.pixels] * _over(weights, image.ndim)
    return products


def _opencvs_enlarging_taps(old: int, new: int) -> Taps:
    """Return the pixel that each new one begins in, and the one after it, with their shares.

    They are the areas but for OpenCV's rounding, which may put a pixel that begins on an edge into the pixel before.
    """
    scale = new / old
    number = np.arange(new)
    first = np.floor(number * (1 / scale))
    beyond = ((number + 1) - (first + 1) * scale).astype(np.float32)
    share = np.where(beyond > 0, beyond - np.floor(beyond), np.float32(0))
    return Taps(np.minimum(np.stack([first, first + 1]), old - 1).astype(np.intp), np.stack([1 - share, share]))
