"""Give scenes their grids, smooth random fields and blurs, all of them products of small matrices."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# All are float32; the wider type spares a cast wherever the stubs of numpy lose the width.
Field = NDArray[np.floating]
Inside = NDArray[np.bool_]
TURN = 2 * np.pi


class Grid(NamedTuple):
    """Hold the coordinates of fine samples, in half the target's longer side: `x` (1, column) and `y` (row, 1)."""

    x: Field
    y: Field

    @property
    def pitch(self) -> tuple[float, float]:
        """Return the (row, column) distance between two samples, in units."""
        return float(self.y[1, 0] - self.y[0, 0]), float(self.x[0, 1] - self.x[0, 0])

    @property
    def shape(self) -> tuple[int, int]:
        """Return (row, column)."""
        return len(self.y), self.x.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Waves:
    """Hold a smooth random field as a sum of plane waves, evaluated as one matrix product: rank 2 a wave."""

    across: Field
    down: Field
    phase: Field
    height: float

    def at(self, x: Field, y: Field) -> Field:
        """Return the field (row, column) float32 at `x` (1, column) and `y` (row, 1), or of points (row, column)."""
        if x.shape[0] != 1 or y.shape[1] != 1:
            return self._at_points(x, y)
        columns = x.reshape(1, -1) * self.across[:, None]
        rows = y.reshape(-1, 1) * self.down + self.phase
        left = np.concatenate([np.cos(rows), np.sin(rows)], axis=1)
        right = np.concatenate([np.cos(columns), -np.sin(columns)])
        found: Field = left @ (right * np.float32(self.height))
        return found

    def _at_points(self, x: Field, y: Field) -> Field:
        found = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
        for across, down, phase in zip(self.across, self.down, self.phase, strict=True):
            found += np.cos(x * across + y * down + phase)
        return found * np.float32(self.height)


def waves(generator: np.random.Generator, length: float, count: int = 10, spread: float = 2.0) -> Waves:
    """Return a field of mean 0 and deviation 1 whose wavelengths lie within a factor `spread` of `length` units."""
    lengths = length * spread ** generator.uniform(-1, 1, count)
    angles = generator.uniform(0, TURN, count)
    return _waves(TURN / lengths, angles, generator.uniform(0, TURN, count))


def stripes(generator: np.random.Generator, length: float, angle: float, count: int = 10) -> Waves:
    """Return a field of mean 0 and deviation 1 that varies along `angle` alone, as streaks do."""
    lengths = length * 3.0 ** generator.uniform(-1, 1, count)
    return _waves(TURN / lengths, angle + generator.normal(0, 0.06, count), generator.uniform(0, TURN, count))


def blurred(image: Field, rows: float, columns: float) -> Field:
    """Return `image` (row, column) float32 under a Gaussian of these standard deviations in samples."""
    return _mapped(image, gaussian(image.shape[0], rows), gaussian(image.shape[1], columns))


def gaussian(size: int, deviation: float) -> Field:
    """Return the (size, size) float32 matrix that blurs a line, its rows of sum 1 so that borders keep their level."""
    if deviation <= 0.05:
        return np.eye(size, dtype=np.float32)
    weights = np.exp(_squares(size) * np.float32(-0.5 / deviation**2))
    found: Field = weights / weights.sum(axis=1, keepdims=True)
    return found


def averaged(image: Field, factors: tuple[int, int]) -> Field:
    """Return (row, column) float32: the mean of each cell of `factors` samples of `image`."""
    if factors == (1, 1):
        return image
    return _mapped(image, *(_means(size, factor) for size, factor in zip(image.shape, factors, strict=True)))


def sampled(image: Field, factors: tuple[int, int], spread: tuple[float, float]) -> Field:
    """Return the mean of each cell of `factors` samples of `image`, first blurred by `spread` (row, column) samples."""
    lines = zip(image.shape, factors, spread, strict=True)
    return _mapped(image, *(_cells(gaussian(size, width), factor) for size, factor, width in lines))


def white(generator: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return (row, column) float32 normal noise of deviation 1."""
    return generator.standard_normal(shape, dtype=np.float32)


def correlated(generator: np.random.Generator, shape: tuple[int, int], rows: float, columns: float) -> Field:
    """Return (row, column) float32 noise of deviation 1 under a Gaussian of these deviations in pixels."""
    noise = blurred(white(generator, shape), rows, columns)
    found: Field = noise / max(float(noise.std()), 1e-6)
    return found


def _waves(numbers: NDArray[np.float64], angles: NDArray[np.float64], phase: NDArray[np.float64]) -> Waves:
    return Waves(
        across=(numbers * np.cos(angles)).astype(np.float32),
        down=(numbers * np.sin(angles)).astype(np.float32),
        phase=phase.astype(np.float32),
        height=float(np.sqrt(2 / len(numbers))),
    )


def _mapped(image: Field, rows: Field, columns: Field) -> Field:
    """Return `image` (row, column) under the matrices `rows` (new row, row) and `columns` (new column, column)."""
    return np.asarray(rows @ image @ columns.T, np.float32)


def _cells(matrix: Field, factor: int) -> Field:
    found: Field = matrix if factor == 1 else matrix.reshape(-1, factor, matrix.shape[1]).mean(axis=1)
    return found


@lru_cache(maxsize=512)
def _squares(size: int) -> Field:
    places = np.arange(size, dtype=np.float32)
    return (places[:, None] - places) ** 2


@lru_cache(maxsize=1024)
def _means(size: int, factor: int) -> Field:
    return np.repeat(np.eye(size // factor, dtype=np.float32), factor, axis=1) / np.float32(factor)
