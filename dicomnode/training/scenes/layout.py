"""Lay a target out: its place in the image, the size of a pixel, and the finer grid it is drawn on."""

from typing import NamedTuple

import numpy as np

from dicomnode.training.scenes.anatomy import Subject
from dicomnode.training.scenes.choosing import log_uniform, often
from dicomnode.training.scenes.fields import Field, Grid
from dicomnode.training.scenes.shapes import Shape

REACH = np.linspace(-2.5, 2.5, 56, dtype=np.float32)
LARGEST, SMALLEST, FINE = 168, 12, 76
LEAST = 3.5


class Taking(NamedTuple):
    """Hold how a kind of scene is taken, in pixels and shares."""

    #: pixels of the target's longer side, and how often it is small instead: 5 to 24
    sizes: tuple[float, float] = (16, 96)
    small: float = 0.14
    #: point spread in pixels
    spread: tuple[float, float] = (0.3, 0.9)
    #: how often pixels are oblong, a border cuts the target, and the body's edge shows
    thick: float = 0.2
    cut: float = 0.04
    edge: float = 0.3


class Layout(NamedTuple):
    """Hold the fine `grid` and how many (row, column) samples of it make a pixel."""

    grid: Grid
    factors: tuple[int, int]


class Extent(NamedTuple):
    """Hold where an outline lies, in its own coordinates."""

    x0: float
    x1: float
    y0: float
    y1: float


def fitted(subject: Subject) -> tuple[Subject, float, float] | None:
    """Return `subject` centred with its longer side 2 units long, and its width and height; None where it is empty."""
    extent = _extent(subject.target)
    if extent is None:
        return None
    wide, tall = extent.x1 - extent.x0, extent.y1 - extent.y0
    unit = max(wide, tall) / 2

    def placed(shape: Shape) -> Shape:
        cx, cy = np.float32((extent.x0 + extent.x1) / 2), np.float32((extent.y0 + extent.y1) / 2)
        return lambda x, y: shape(x * np.float32(unit) + cx, y * np.float32(unit) + cy) / np.float32(unit)

    found = Subject(placed(subject.target), tuple(map(placed, subject.others)), tuple(map(placed, subject.spaces)))
    return found, wide / unit, tall / unit


def laid_out(generator: np.random.Generator, wide: float, tall: float, taking: Taking) -> Layout:
    """Return a layout for a target of `wide` by `tall` units."""
    sizes = (5.0, 24.0) if often(generator, taking.small) else taking.sizes
    longest = log_uniform(generator, *sizes)
    across, down = longest * wide / 2, longest * tall / 2
    if often(generator, taking.thick):
        thick = generator.uniform(1.5, 5)
        across, down = (across / thick, down) if often(generator, 0.4) else (across, down / thick)
    x, columns = _line(generator, max(across, LEAST), wide, taking.cut)
    y, rows = _line(generator, max(down, LEAST), tall, taking.cut)
    return Layout(Grid(x.reshape(1, -1), y.reshape(-1, 1)), (rows, columns))


def _extent(shape: Shape) -> Extent | None:
    inside = shape(REACH.reshape(1, -1), REACH.reshape(-1, 1)) > 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(rows) < 2 or len(columns) < 2:
        return None
    half = float(REACH[1] - REACH[0]) / 2
    x0, x1 = float(REACH[columns[0]]) - half, float(REACH[columns[-1]]) + half
    return Extent(x0, x1, float(REACH[rows[0]]) - half, float(REACH[rows[-1]]) + half)


def _line(generator: np.random.Generator, pixels: float, units: float, cut: float) -> tuple[Field, int]:
    """Return the coordinates of the fine samples of one axis, and how many of them make a pixel."""
    size = int(np.clip(round(pixels / generator.uniform(0.32, 0.7)), SMALLEST, LARGEST))
    free = size - pixels
    middle = pixels / 2 + free * (generator.uniform(0.28, 0.72) if often(generator, 0.75) else generator.uniform(0, 1))
    if often(generator, cut):
        beyond = pixels * generator.uniform(0.05, 0.35)
        middle = pixels / 2 - beyond if often(generator, 0.5) else size - pixels / 2 + beyond
    factor = max(1, -(-FINE // size))
    places = (np.arange(size * factor, dtype=np.float32) + np.float32(0.5)) / np.float32(factor)
    found: Field = (places - np.float32(middle)) * np.float32(units / pixels)
    return found, factor
