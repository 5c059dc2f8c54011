"""Carry images and boxes into the 256-pixel square that LiteMedSAM looks at, and its logits back.

The longest side of an image fills the square, its grey levels are stretched to 0..1, and zeros fill the rest at the
right and the bottom. `reference` repeats the arithmetic of the reference implementation (bowang-lab/MedSAM, branch
LiteMedSAM, Apache-2.0; Ma and others, "Segment anything in medical images", Nature Communications 15:654, 2024) bit for
bit. Otherwise what it gets wrong is put right:

- Grey levels are not cut to whole numbers, neither in the stack nor after resizing.
- Enlarged, each pixel is made of those that it covers; OpenCV's rounding takes some from the row or column before (of
  an image of 198 x 198, those that begin on its middle).
- Boxes are not cut to whole numbers, which moves them by up to a pixel of the square, two of a 512-pixel plane.
- A box is scaled as the image is on each axis; the side that is not the longest is rounded to whole pixels.
- A box is carried over by its outer edges; scaled by its first and last pixel, it loses up to a pixel when enlarged.
  One of less than a pixel of the square keeps its middle.
- A box that reaches out of the image is cut there, so that no index is beyond the last pixel.
- A plane without contrast stays black, where rounding would be stretched to the whole range.
- An image too narrow for one pixel of the square gets one, in reference mode, too, where OpenCV gives up.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.resizing import interpolated, resized_bytes, resized_floats

# Rows and columns of what the network looks at, and its colours.
SIDE, COLOURS = 256, 3
# The least range of grey levels, of 255, that is stretched to 0..1; in reference mode, where they are whole, any is.
LEAST_RANGE, LEAST_RANGE_OF_REFERENCE = 2.0**-6, 1e-8
# From a pixel's outer edges to its centre, and the last pixel before an edge: x0, y0, x1, y1.
TO_CENTRES = np.array([0.5, 0.5, -0.5, -0.5])


class Framing(NamedTuple):
    """The rows and columns of an image, and the pixels high and wide that it fills at the square's top left."""

    rows: int
    columns: int
    height: int
    width: int

    @property
    def scale(self) -> float:
        """Return pixels of the square for each pixel of the image, along its longest side."""
        return SIDE / max(self.rows, self.columns)


def framing_of(rows: int, columns: int) -> Framing:
    """Return how an image of `rows` x `columns` lies in the square."""
    scale = SIDE / max(rows, columns)
    return Framing(rows, columns, max(1, int(rows * scale + 0.5)), max(1, int(columns * scale + 0.5)))


def to_network(image: NDArray[np.float32], *, reference: bool) -> tuple[NDArray[np.float32], Framing]:
    """Return the square that the network looks at, (3, 256, 256) float32 0..1, and how `image` lies in it.

    `image` is (row, column) or (row, column, colour) float32 0..255, whole numbers in reference mode; the square is
    (colour, row, column), of a grey image three times the same.
    """
    framing = framing_of(*image.shape[:2])
    stretched = _stretched(_resized(image, framing, reference=reference), reference=reference)
    square = np.zeros((COLOURS, SIDE, SIDE), np.float32)
    square[:, : framing.height, : framing.width] = np.atleast_3d(stretched).transpose(2, 0, 1)
    return square, framing


def boxes_to_network(boxes: NDArray[np.float64], framing: Framing, *, reference: bool) -> NDArray[np.float32]:
    """Return `boxes` as the network learnt them, (box, 4) float32: first and last pixel x0, y0, x1, y1 in the square.

    `boxes` is (box, 4) float64, x0, y0, x1, y1 in continuous pixel-centre coordinates of the image.
    """
    if reference:
        return np.asarray(np.trunc((boxes + TO_CENTRES) * framing.scale), np.float32)
    sides = np.array([framing.columns, framing.rows] * 2)
    filled = np.array([framing.width, framing.height] * 2)
    pixels = (boxes + 0.5) * (filled / sides) - 0.5 + TO_CENTRES
    first, last = pixels[:, :2], pixels[:, 2:]
    middle = (first + last) / 2
    ordered = np.hstack([np.minimum(first, middle), np.maximum(last, middle)])
    return np.asarray(np.clip(ordered, 0, filled - 1), np.float32)


def from_network(logits: NDArray[np.float32], framing: Framing) -> NDArray[np.float32]:
    """Return `logits`, (box, 256, 256) float32, on the pixels of the image: (box, row, column) float32."""
    inside = logits[:, : framing.height, : framing.width]
    whole = np.empty((len(logits), framing.rows, framing.columns), np.float32)
    for number, one in enumerate(inside):
        whole[number] = interpolated(one, framing.rows, framing.columns)
    return whole


def _resized(image: NDArray[np.float32], framing: Framing, *, reference: bool) -> NDArray[np.float32]:
    """Return `image` as large as it lies in the square: (row, column) or (row, column, colour) float32, 0..255."""
    if reference:
        return resized_bytes(image.astype(np.uint8), framing.height, framing.width).astype(np.float32)
    return resized_floats(image, framing.height, framing.width)


def _stretched(image: NDArray[np.float32], *, reference: bool) -> NDArray[np.float32]:
    """Return `image` from its least level at 0 to its greatest at 1: float32 of the same shape."""
    low, high = image.min(), image.max()
    least = LEAST_RANGE_OF_REFERENCE if reference else LEAST_RANGE
    stretched: NDArray[np.float32] = (image - low) / max(high - low, np.float32(least))
    return stretched
