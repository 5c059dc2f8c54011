"""Make what `box-unet` is trained on: a box about an object on an image, what the network sees of it, and its truth."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.crops import CHANNELS, SIDE, crops_of, resampled
from dicomnode.training.boxes import drawn_box, extent_of


class Samples(NamedTuple):
    """Crops, (sample, channel, 64, 64) float32, and the share of each of their pixels that is inside, float32 0..1."""

    crops: NDArray[np.float32]
    truths: NDArray[np.float32]

    @classmethod
    def empty(cls, count: int) -> "Samples":
        """Return room for `count` samples."""
        return cls(np.empty((count, CHANNELS, SIDE, SIDE), np.float32), np.empty((count, SIDE, SIDE), np.float32))

    def put(
        self, number: int, image: NDArray[np.float32], truth: NDArray[np.bool_], generator: np.random.Generator
    ) -> None:
        """Make sample `number` of an `image` and its `truth`, (row, column), in one of its eight positions."""
        image, truth = _turned(image, truth, int(generator.integers(8)))
        box = drawn_box(generator, extent_of(truth))
        self.crops[number] = crops_of(image, box[None])[0]
        self.truths[number] = resampled(truth.astype(np.float32), box)


def _turned(
    image: NDArray[np.float32], truth: NDArray[np.bool_], position: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return both in one of the eight `position`s that flips and a change of axes give."""
    if position & 1:
        image, truth = image.T, truth.T
    rows, columns = slice(None, None, -1 if position & 2 else 1), slice(None, None, -1 if position & 4 else 1)
    return image[rows, columns], truth[rows, columns]
