"""Look at what lies about a place on an image: turned, stretched, bent, and perhaps coarser."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.scenes.choosing import often

# Of what lies about a place, so many times its extent is seen.
SURROUNDINGS = 2.2
# How far what is seen is turned (radians), stretched (log), and bent (share of its size), at the most or as deviation.
TURN, STRETCH, BEND, KNOTS = 0.5, 0.15, 0.03, 4
# How large what is seen is drawn, in pixels along its longest side, at the most; how much coarser it is made; and how
# often what is small is drawn in finer pixels than its truth was drawn on, and how much finer.
MOST_SIDE, COARSEST, REFINED, FINEST = 160, 2.5, 0.5, 3.5
_HALF = 0.5  # of a pixel is inside


class Bend(NamedTuple):
    """Where what lies about a place is looked at: rows and columns, (row, column) each, and over how many pixels.

    `refined` tells that its pixels are finer than those of the volume.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    width: int
    refined: bool

    @classmethod
    def drawn(cls, generator: np.random.Generator, rows: tuple[int, int], columns: tuple[int, int]) -> "Bend":
        """Return what lies about the first and last `rows` and `columns`, turned, stretched, bent, perhaps coarser."""
        middle = np.array([sum(rows) / 2, sum(columns) / 2])
        extent = np.array([np.ptp(rows) + 1.0, np.ptp(columns) + 1.0]) * SURROUNDINGS
        finest = min(1.0, MOST_SIDE / extent.max())
        coarse = np.exp(generator.uniform(0, np.log(COARSEST))) if extent.min() * finest > MOST_SIDE / 4 else 1.0
        refined = extent.max() * FINEST < MOST_SIDE and often(generator, REFINED)
        fine = generator.uniform(1.5, FINEST) if refined else 1.0
        shape = np.maximum(np.rint(extent * finest * fine / coarse), 8).astype(int).tolist()
        at = np.stack(np.meshgrid(*(np.linspace(-0.5, 0.5, side) for side in shape), indexing="ij"))
        at = at + BEND * np.stack([_smooth(generator, shape) for _ in range(2)])
        turn, stretch = generator.normal(0, TURN / 2), np.exp(generator.normal(0, STRETCH / 2, 2))
        at = at * (extent * stretch)[:, None, None]
        cosine, sine = np.cos(turn), np.sin(turn)
        down, across = cosine * at[0] - sine * at[1], sine * at[0] + cosine * at[1]
        return cls(middle[0] + down, middle[1] + across, max(1, round(float(coarse / finest))), refined)

    def seen(self, image: NDArray[np.float32], shift: tuple[int, int]) -> NDArray[np.float32]:
        """Return `image`, (row, column), as it is there, its rows and columns being so much further on."""
        return _sampled(_averaged(image, self.width), self.rows + shift[0], self.columns + shift[1])

    def seen_mask(self, inside: NDArray[np.bool_], shift: tuple[int, int]) -> NDArray[np.float32]:
        """Return the share of each pixel that is `inside`, (row, column) bool, beyond which nothing is."""
        wider = np.pad(inside, self.width).astype(np.float32)
        return self.seen(wider, (shift[0] + self.width, shift[1] + self.width))

    def truth(self, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return what is `inside`, (row, column) bool; of finer pixels whole blocks, as label maps have them."""
        if not self.refined:
            return self.seen_mask(inside, (0, 0)) > _HALF
        wider = np.pad(inside, 1)
        rows, columns = (
            np.clip(np.rint(at).astype(np.intp) + 1, 0, side - 1)
            for at, side in zip((self.rows, self.columns), wider.shape, strict=True)
        )
        return wider[rows, columns]


def _smooth(generator: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return numbers of deviation 1 that change smoothly over `shape`: (row, column)."""
    values = generator.standard_normal((KNOTS, KNOTS))
    for side in shape:
        places = np.linspace(0, KNOTS - 1, side)
        values = np.stack([np.interp(places, np.arange(KNOTS), one) for one in values.T])
    return np.asarray(values)


def _averaged(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return the mean of `image` about each pixel over `width` x `width` of them, (row, column) float32.

    Its edge goes on beyond it.
    """
    if width == 1:
        return image
    rows, columns = image.shape
    padded = np.pad(image, (width // 2, (width - 1) // 2), mode="edge")
    lines = np.add.reduce([padded[step : step + rows] for step in range(width)]) / np.float32(width)
    mean: NDArray[np.float32] = np.add.reduce([lines[:, step : step + columns] for step in range(width)]) / np.float32(
        width
    )
    return mean


def _sampled(
    image: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return `image` between its pixels at `rows` and `columns`, linearly; its edge goes on beyond it."""
    rows, columns = (np.clip(at, 0, side - 1.001) for at, side in zip((rows, columns), image.shape, strict=True))
    row, column = np.maximum(rows.astype(np.intp), 0), np.maximum(columns.astype(np.intp), 0)
    down, across = (rows - row).astype(np.float32), (columns - column).astype(np.float32)
    below, right = np.minimum(row + 1, image.shape[0] - 1), np.minimum(column + 1, image.shape[1] - 1)
    upper = image[row, column] * (1 - across) + image[row, right] * across
    lower = image[below, column] * (1 - across) + image[below, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)
