"""Turn the bytes of one native frame into numbers (PS3.5 8.1 and 8.2)."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.pixels.image_pixel import BYTE, ImagePixel
from dicomnode.errors import Reason, Refused

_SUBSAMPLED = "_422"


def frame_bits(image: ImagePixel) -> int:
    """Return how many bits a native frame takes; one of single bits need not end with a byte."""
    bits = image.count * image.allocated
    return bits // 3 * 2 if _subsampled(image) else bits


def as_stored(image: ImagePixel, length: int, what: str) -> ImagePixel:
    """Return `image` as native pixel data of `length` bytes show that it is: some say 422 and share no chrominance.

    Refuses with INVALID_HEADER where the length fits neither; data that are too short for both are taken as said.
    """
    full = replace(image, photometric=image.photometric.removesuffix(_SUBSAMPLED))
    shared_size, full_size = (frame_bits(one) * image.frames // BYTE for one in (image, full))
    if full == image or length <= shared_size + shared_size % 2:
        return image
    if length not in {full_size, full_size + full_size % 2}:
        detail = f"{shared_size} are wanted, or {full_size} where nothing is shared"
        raise Refused(Reason.INVALID_HEADER, what, f"{image.photometric} pixel data of {length} bytes: {detail}")
    return full


def check_native(image: ImagePixel, what: str) -> None:
    """Refuse with INVALID_HEADER where pairs of pixels share their chrominance and one has no partner."""
    if _subsampled(image) and image.rows * image.columns % 2:
        detail = f"{image.photometric} of {image.rows} x {image.columns} pixels: an even number is wanted"
        raise Refused(Reason.INVALID_HEADER, what, detail)


def swap_pairs(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `data`, of even length, with the bytes of its 16-bit words exchanged: bytes in big endian OW."""
    return data.view(np.uint16).byteswap().view(np.uint8)


def numbers_of(data: NDArray[np.uint8], image: ImagePixel, *, big_endian: bool, skip: int = 0) -> NDArray[Any]:
    """Return the numbers that the bytes of one frame hold, (row, column) or (row, column, 3) of `image.dtype`.

    `skip` is how many single bits of the first byte belong to the frame before.
    """
    if image.allocated == 1:
        return np.unpackbits(data, bitorder="little", count=skip + image.count)[skip:].reshape(image.shape)
    numbers: NDArray[Any] = data.view(image.dtype)
    if big_endian:
        numbers = numbers.byteswap()
    if _subsampled(image):
        return _resampled(numbers, image)
    if image.samples > 1 and image.planar:
        return np.moveaxis(numbers.reshape(image.samples, image.rows, image.columns), 0, -1)
    return numbers.reshape(image.shape)


def drop_unused_bits(numbers: NDArray[Any], image: ImagePixel) -> NDArray[Any]:
    """Clear the bits outside High Bit and Bits Stored in place, which may hold overlays, and extend the sign."""
    if image.allocated == image.stored:
        return numbers
    np.left_shift(numbers, image.allocated - 1 - image.high, out=numbers)
    np.right_shift(numbers, image.allocated - image.stored, out=numbers)
    return numbers


def _subsampled(image: ImagePixel) -> bool:
    return image.photometric.endswith(_SUBSAMPLED)


def _resampled(numbers: NDArray[Any], image: ImagePixel) -> NDArray[Any]:
    """Give both of two neighbours the chrominance they share: Y1 Y2 B R (PS3.3 C.7.6.3.1.2)."""
    pairs = numbers.reshape(-1, 4)
    colours = np.empty((len(pairs), 2, 3), pairs.dtype)
    colours[:, :, 0] = pairs[:, :2]
    colours[:, :, 1:] = pairs[:, np.newaxis, 2:]
    return colours.reshape(image.shape)
