"""Draw the outlines of targets and neighbours, each a level (row, column) float32 above 0 inside."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.scenes.choosing import chosen, often
from dicomnode.training.scenes.fields import TURN, Field, waves

Shape = Callable[[Field, Field], Field]
Draw = Callable[[np.random.Generator], Shape]
TABLE_SIZE = 1024
LONGEST = 4.0


def shape(generator: np.random.Generator, shares: Mapping[Draw, float], rough: float = 0.16) -> Shape:
    """Return one shape of `shares`, turned, mostly bent by up to `rough`, sometimes pressed flat by a neighbour."""
    found = turned(generator, chosen(generator, shares)(generator))
    if often(generator, rough):
        found = bitten(generator, found)
    return bent(generator, found, rough) if often(generator, 0.7) else found


def ellipse(generator: np.random.Generator) -> Shape:
    """Return an ellipse with sides of 1:1 to 1:4."""
    aspect = _aspect(generator)
    return lambda x, y: 1 - np.sqrt(x * x + (y * aspect) ** 2)


def superellipse(generator: np.random.Generator) -> Shape:
    """Return a shape between a rhombus and a rectangle."""
    aspect, power = _aspect(generator), float(generator.choice([1.3, 2.6, 3.5, 5.0, 8.0]))
    return lambda x, y: 1 - (np.abs(x) ** power + np.abs(y * aspect) ** power) ** np.float32(1 / power)


def star(generator: np.random.Generator) -> Shape:
    """Return a curve whose radius is a Fourier series of the angle, with bays and horns."""
    return _fourier(generator, generator.uniform(0.1, 0.32))


def pebble(generator: np.random.Generator) -> Shape:
    """Return a curve whose radius is a Fourier series of the angle, nearly an ellipse."""
    return _fourier(generator, generator.uniform(0.02, 0.12))


def _fourier(generator: np.random.Generator, height: float) -> Shape:
    angles = np.arange(TABLE_SIZE) * (TURN / TABLE_SIZE)
    orders = np.arange(2, generator.integers(4, 9))
    heights = generator.normal(0, height, len(orders)) / orders**0.6
    turns = generator.uniform(0, TURN, len(orders))
    radii = 1 + (heights[:, None] * np.cos(orders[:, None] * angles + turns[:, None])).sum(0)
    return radial(np.maximum(radii, 0.15), _aspect(generator))


def polygon(generator: np.random.Generator) -> Shape:
    """Return a polygon as a hand draws it, of 5 to 14 uneven corners."""
    count = int(generator.integers(5, 15))
    angles = np.sort(np.arange(count) + generator.uniform(-0.35, 0.35, count)) * (TURN / count)
    lengths = 1 + generator.uniform(-1, 1, count) * generator.uniform(0.05, 0.35)
    return radial(_edges(angles, lengths), _aspect(generator))


def radial(radii: NDArray[np.float64], aspect: float) -> Shape:
    """Return the shape whose radius at each of TABLE_SIZE even angles is `radii`, pressed by `aspect`."""
    table = radii.astype(np.float32)
    turns = np.float32(TABLE_SIZE / TURN)

    def level(x: Field, y: Field) -> Field:
        tall = y * np.float32(aspect)
        places = (np.arctan2(tall, x) * turns).astype(np.int32) & (TABLE_SIZE - 1)
        found: Field = table[places] - np.sqrt(x * x + tall * tall)
        return found

    return level


def crescent(generator: np.random.Generator) -> Shape:
    """Return an ellipse with another one taken from its side: a moon, a bean or a flat face."""
    aspect, size = generator.uniform(0.7, 1.6), generator.uniform(0.6, 1.6)
    shift = size + generator.uniform(-0.45, 0.75)

    def level(x: Field, y: Field) -> Field:
        outer = 1 - np.sqrt(x * x + (y * aspect) ** 2)
        found: Field = np.minimum(outer, np.sqrt((x - shift) ** 2 + y * y) - size)
        return found

    return level


def tube(generator: np.random.Generator) -> Shape:
    """Return a cubic Bezier curve with a thickness that changes along it."""
    ends = np.array([[-1, 0], [-0.35, 0], [0.35, 0], [1, 0]]) + generator.normal(0, 0.42, (4, 2))
    thickness = float(np.exp(generator.uniform(np.log(0.12), np.log(0.4))))
    return along(ends, thickness, thickness * generator.uniform(0.6, 1.5))


def along(ends: NDArray[np.float64], first: float, last: float, count: int = 7) -> Shape:
    """Return the stroke of radii `first` to `last` along the Bezier curve of the four `ends` (4, 2) x, y."""
    at = np.linspace(0, 1, count)[:, None]
    points = (
        (1 - at) ** 3 * ends[0] + 3 * at * (1 - at) ** 2 * ends[1] + 3 * at**2 * (1 - at) * ends[2] + at**3 * ends[3]
    )
    return stroke(points, np.linspace(first, last, count))


def stroke(points: NDArray[np.float64], radii: NDArray[np.float64]) -> Shape:
    """Return the stroke through `points` (point, 2) x, y of half widths `radii` (point,)."""
    steps = np.diff(points, axis=0)
    lengths = np.maximum((steps**2).sum(1), 1e-6)

    def level(x: Field, y: Field) -> Field:
        nearest = np.full((len(y), x.shape[1]), -np.inf, np.float32)
        for start, step, length, radius in zip(points, steps / lengths[:, None], lengths, radii, strict=False):
            dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
            along_it = dx * np.float32(step[0]) + dy * np.float32(step[1])
            part = np.minimum(np.maximum(along_it, 0), 1) * np.float32(length)
            dx, dy = dx - part * np.float32(step[0]), dy - part * np.float32(step[1])
            np.maximum(nearest, np.float32(radius) - np.sqrt(dx * dx + dy * dy), out=nearest)
        return nearest

    return level


def union(generator: np.random.Generator) -> Shape:
    """Return two to four ellipses grown together."""
    parts = [
        (ellipse(generator), *generator.normal(0, 0.5, 2), generator.uniform(0.35, 0.9))
        for _ in range(generator.integers(2, 5))
    ]
    return joined(*(moved(part, float(x), float(y), float(size)) for part, x, y, size in parts))


def blob(generator: np.random.Generator) -> Shape:
    """Return a cloud: smooth noise cut at a level that falls outwards, its islands and holes kept."""
    noise, height = waves(generator, generator.uniform(0.7, 2.2)), generator.uniform(0.15, 0.5)
    aspect = _aspect(generator)
    return lambda x, y: 1 - np.sqrt(x * x + (y * aspect) ** 2) + noise.at(x, y) * np.float32(height)


def arc(generator: np.random.Generator) -> Shape:
    """Return a band along part of a circle, or the whole ring: a wall, a rib or a cortex."""
    half, width = generator.uniform(0.6, 3.6), generator.uniform(0.08, 0.3)
    angles = np.linspace(-min(half, np.pi), min(half, np.pi), 10)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return stroke(points, width * generator.uniform(0.7, 1.3, len(points)))


def bent(generator: np.random.Generator, inner: Shape, rough: float = 0.16) -> Shape:
    """Return `inner` on a ground that random waves push about by up to `rough`."""
    across, down = waves(generator, 2.4, 6), waves(generator, 2.4, 6)
    height = np.float32(generator.uniform(0.02, rough))
    return lambda x, y: inner(x + across.at(x, y) * height, y + down.at(x, y) * height)


def bitten(generator: np.random.Generator, inner: Shape) -> Shape:
    """Return `inner` without what a large neighbour presses from a side."""
    angle, size = generator.uniform(0, TURN), generator.uniform(0.6, 4.0)
    far = size + generator.uniform(0.2, 0.75)
    cx, cy = np.float32(far * np.cos(angle)), np.float32(far * np.sin(angle))
    return lambda x, y: np.minimum(inner(x, y), np.sqrt((x - cx) ** 2 + (y - cy) ** 2) - np.float32(size))


def turned(generator: np.random.Generator, inner: Shape) -> Shape:
    """Return `inner` under a random rotation, a quarter of them along the axes."""
    angle = generator.uniform(0, TURN)
    if generator.random() < 0.25:
        angle = round(angle / TURN * 4) * TURN / 4
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return lambda x, y: inner(x * c + y * s, y * c - x * s)


def moved(inner: Shape, x: float, y: float, size: float = 1.0) -> Shape:
    """Return `inner` of `size` with its centre at x, y."""
    cx, cy, unit = np.float32(x), np.float32(y), np.float32(size)
    return lambda x, y: inner((x - cx) / unit, (y - cy) / unit) * unit


def spot(generator: np.random.Generator, reach: float, least: float, most: float) -> Shape:
    """Return a round shape of size `least` to `most`, up to `reach` from the middle in x and y."""
    found = shape(generator, ROUND)
    x, y = generator.uniform(-reach, reach, 2)
    return moved(found, float(x), float(y), generator.uniform(least, most))


def joined(*parts: Shape) -> Shape:
    """Return the union of `parts`."""

    def level(x: Field, y: Field) -> Field:
        found = parts[0](x, y)
        for part in parts[1:]:
            found = np.maximum(found, part(x, y))
        return found

    return level


ROUND: Mapping[Draw, float] = {ellipse: 0.4, superellipse: 0.12, pebble: 0.2, star: 0.18, polygon: 0.1}
ORGANS: Mapping[Draw, float] = {
    ellipse: 0.13,
    pebble: 0.1,
    superellipse: 0.08,
    star: 0.2,
    polygon: 0.12,
    crescent: 0.1,
    tube: 0.11,
    union: 0.1,
    blob: 0.06,
    arc: 0.02,
}
LESIONS: Mapping[Draw, float] = {
    ellipse: 0.28,
    superellipse: 0.12,
    pebble: 0.36,
    star: 0.07,
    polygon: 0.07,
    crescent: 0.02,
    union: 0.05,
    blob: 0.03,
}


def _aspect(generator: np.random.Generator) -> float:
    return float(min(np.exp(abs(generator.normal(0, 0.5))), LONGEST))


def _edges(angles: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (TABLE_SIZE,) radii of the straight edges between corners at `angles` and `lengths`."""
    first, last = np.append(angles, angles[0] + TURN), np.append(lengths, lengths[0])
    at = np.arange(TABLE_SIZE) * (TURN / TABLE_SIZE)
    at = np.where(at < first[0], at + TURN, at)
    edge = np.clip(np.searchsorted(first, at, side="right") - 1, 0, len(angles) - 1)
    opening = first[edge + 1] - first[edge]
    below = last[edge] * np.sin(at - first[edge]) + last[edge + 1] * np.sin(first[edge + 1] - at)
    radii: NDArray[np.float64] = last[edge] * last[edge + 1] * np.sin(opening) / np.maximum(below, 1e-3)
    return np.clip(radii, 0.1, 2)
