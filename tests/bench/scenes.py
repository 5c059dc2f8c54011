"""Drawn scenes: objects with uneven edges on an uneven ground, each with a box that is not quite tight.

They stand in for planes of a body where a network is trained for the bench and its masks are compared.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


class Scene(NamedTuple):
    """A grey image, (row, column) float32 0..1; boxes, (object, 4) float32 x0, y0, x1, y1; masks by object."""

    image: Image
    boxes: NDArray[np.float32]
    masks: NDArray[np.bool_]


def drawn(generator: np.random.Generator, objects: int, side: int = 256) -> Scene:
    """Return a scene of `objects` objects that do not touch, on `side` x `side` pixels."""
    image = 0.15 + 0.3 * _uneven(generator, 5, side)
    taken = np.zeros((side, side), np.bool_)
    masks = []
    for _ in range(objects):
        masks.append(_beside(generator, taken))
        taken = taken | masks[-1]
        lighter = generator.choice((-1, 1, 1))
        image = np.where(masks[-1], image + lighter * (0.2 + 0.3 * generator.random()), image)
    image += 0.04 * generator.standard_normal(image.shape)
    image = (image - image.min()) / (image.max() - image.min())
    loose = generator.integers(-2, 4, (objects, 4)) * (side / 256)
    boxes = np.stack([_box(mask) for mask in masks]) + loose * (-1, -1, 1, 1)
    return Scene(image.astype(np.float32), boxes.astype(np.float32), np.stack(masks))


def bodies(generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the planes of four drifting ellipsoids, (plane, row, column) float32, and their masks by body."""
    planes, side = 24, 256
    y, x = np.mgrid[:side, :side]
    low, high = (0.15 + 0.3 * _uneven(generator, 5, side) for _ in range(2))
    places = [(70, 70, 30, 11.5, 9), (180, 80, 25, 12, 6), (80, 180, 34, 11, 10), (185, 185, 22, 12.5, 7)]
    volume = np.linspace(low, high, planes)
    masks = np.zeros((len(places), *volume.shape), np.bool_)
    for mask, lighter, (across, down, radius, middle, half) in zip(masks, (0.35, 0.3, -0.25, 0.4), places, strict=True):
        for number in range(planes):
            left = across + 1.2 * (number - middle)
            along, beside = (x - left) / (1.2 * radius), (y - down) / radius
            mask[number] = along**2 + beside**2 + ((number - middle) / half) ** 2 <= 1
        volume[mask] += lighter
    volume += 0.03 * generator.standard_normal(volume.shape)
    return volume.clip(0, 1.1).astype(np.float32), masks


def _beside(generator: np.random.Generator, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return an object that is not on what is `taken`."""
    side = len(taken)
    y, x = np.mgrid[:side, :side].astype(np.float32) * (256 / side)
    while True:
        middle, radii = generator.uniform(28, 228, 2), generator.uniform(9, 39, 2)
        turn = generator.uniform(0, np.pi)
        along = (x - middle[0]) * np.cos(turn) + (y - middle[1]) * np.sin(turn)
        across = (y - middle[1]) * np.cos(turn) - (x - middle[0]) * np.sin(turn)
        edge = 0.75 + 0.5 * _uneven(generator, 8, side)
        mask: NDArray[np.bool_] = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= edge
        if not (mask & taken).any() and mask.sum() > 100 * (side / 256) ** 2:
            return mask


def _box(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max(), ys.max()], np.float64)


def _uneven(generator: np.random.Generator, knots: int, side: int) -> NDArray[np.float64]:
    """Return (row, column) numbers of 0..1 that change smoothly between `knots` x `knots` random ones."""
    values = generator.random((knots, knots))
    at, ends = np.linspace(0, knots - 1, side), np.arange(knots)
    for _ in range(2):  # along one axis, then along the other
        values = np.stack([np.interp(at, ends, column) for column in values.T])
    return values
