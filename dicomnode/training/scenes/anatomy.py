"""Draw targets of several parts with their like beside them: bones, vertebrae, plates, pairs."""

from typing import NamedTuple

import numpy as np

from dicomnode.training.scenes.choosing import chosen, often
from dicomnode.training.scenes.fields import TURN, Field
from dicomnode.training.scenes.shapes import (
    Shape,
    along,
    arc,
    bent,
    ellipse,
    joined,
    moved,
    polygon,
    star,
    stroke,
    superellipse,
    tube,
    turned,
)


class Subject(NamedTuple):
    """Hold the outline of a target, of `others` of its kind about it, and of `spaces` between them: canals, discs."""

    target: Shape
    others: tuple[Shape, ...] = ()
    spaces: tuple[Shape, ...] = ()


def bone(generator: np.random.Generator) -> Subject:
    """Return the section of a long or flat bone, half of them with processes, a third beside another bone."""
    shaft = turned(
        generator, chosen(generator, {ellipse: 0.4, star: 0.25, polygon: 0.15, tube: 0.15, arc: 0.05})(generator)
    )
    if often(generator, 0.45):
        shaft = joined(shaft, *(_process(generator) for _ in range(generator.integers(1, 4))))
    return Subject(bent(generator, shaft), _beside(generator) if often(generator, 0.35) else ())


def vertebra(generator: np.random.Generator) -> Subject:
    """Return a vertebra cut across, along or frontally, with the next ones where the cut shows them."""
    return chosen(generator, {_across: 0.4, _along: 0.4, _frontal: 0.2})(generator)


def plates(generator: np.random.Generator) -> Subject:
    """Return two thin plates that face each other, as the end plates of a vertebra do."""
    apart, width = generator.uniform(0.2, 0.6), generator.uniform(0.06, 0.16)
    sag = generator.normal(0, 0.12, 2)
    ends = [
        np.array([[-1, s], [-0.3, s * 0.3 + h], [0.3, s * 0.3 + h], [1, s]])
        for s, h in ((-apart, sag[0]), (apart, sag[1]))
    ]
    return Subject(turned(generator, joined(*(along(each, width, width, 7) for each in ends))))


def pair(generator: np.random.Generator) -> Subject:
    """Return two to four separate parts of one object."""
    count = int(generator.integers(2, 5))
    angles = generator.uniform(0, TURN) + (np.arange(count) + generator.uniform(-0.25, 0.25, count)) * (TURN / count)
    far = generator.uniform(0.55, 1.1)
    parts = [
        moved(
            turned(generator, chosen(generator, {ellipse: 0.6, star: 0.4})(generator)),
            far * np.cos(a),
            far * np.sin(a),
            generator.uniform(0.2, 0.5),
        )
        for a in angles
    ]
    return Subject(joined(*parts))


def _process(generator: np.random.Generator) -> Shape:
    angle, far = generator.uniform(0, TURN), generator.uniform(1.0, 1.9)
    toward = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-toward[1], toward[0]])
    ends = np.array([toward * 0.3, toward * 0.7, toward * far * 0.8, toward * far])
    ends += side * generator.normal(0, 0.15, (4, 1))
    return along(ends, generator.uniform(0.15, 0.35), generator.uniform(0.08, 0.2), 6)


def _beside(generator: np.random.Generator) -> tuple[Shape, ...]:
    angle, size = generator.uniform(0, TURN), generator.uniform(0.5, 1.3)
    far = 1.1 + size * generator.uniform(0.7, 1.0)
    other = turned(generator, chosen(generator, {ellipse: 0.7, superellipse: 0.3})(generator))
    return (moved(other, far * np.cos(angle), far * np.sin(angle), size),)


def _across(generator: np.random.Generator) -> Subject:
    """Return the axial section: a body, an arch about the canal, and the processes that this plane meets."""
    wide, tall = generator.uniform(0.5, 0.75), generator.uniform(0.36, 0.55)
    parts: list[Shape] = []
    if often(generator, 0.8):
        parts.append(_oval(0, -0.35, wide, tall))
    canal = generator.uniform(0.18, 0.3)
    angles = np.linspace(-0.3, np.pi + 0.3, 8)
    ring = np.stack([np.cos(angles), 0.9 * np.sin(angles)], axis=1) * (canal + 0.08) + np.array([0, 0.22])
    width = generator.uniform(0.06, 0.13)
    if often(generator, 0.7):
        parts.append(stroke(ring, np.full(8, width)))
    reach, drop = generator.uniform(0.6, 1.0), generator.uniform(0.0, 0.5)
    if often(generator, 0.6):
        parts += [stroke(np.array([[s * 0.28, 0.2], [s * reach, drop]]), np.full(2, width * 1.2)) for s in (-1, 1)]
    if often(generator, 0.7) or not parts:
        parts.append(stroke(np.array([[0, 0.5], [0, generator.uniform(0.8, 1.2)]]), np.full(2, width * 1.3)))
    angle = generator.normal(0, 0.2)
    hole = _by(angle, _oval(0, 0.22, canal, canal))
    return Subject(bent(generator, _without(_by(angle, joined(*parts)), hole)), (), (hole,))


def _along(generator: np.random.Generator) -> Subject:
    """Return the sagittal section: a block, a process behind it that may hang free, and the next vertebrae."""
    wide, tall = generator.uniform(0.4, 0.6), generator.uniform(0.34, 0.5)
    waist = generator.uniform(0, 0.12)
    parts: list[Shape] = [_block(-0.5, wide, tall, waist)]
    if often(generator, 0.75):
        end = [generator.uniform(0.7, 1.1), generator.uniform(0.1, 0.6)]
        parts.append(stroke(np.array([[generator.uniform(0.3, 0.5), 0.1], end]), generator.uniform(0.1, 0.2, 2)))
    if often(generator, 0.4):
        parts.append(stroke(np.array([[-0.1, -0.12], [0.35, -0.05], [0.42, 0.3]]), generator.uniform(0.08, 0.18, 3)))
    one = joined(*parts)
    step = 2 * tall + generator.uniform(0.06, 0.35)
    stack = [moved(one, generator.normal(0, 0.04), s * step) for s in (-2, -1, 1, 2)]
    angle = generator.normal(0, 0.15)
    discs = [_oval(-0.5, s * step / 2, wide * 1.05, (step - 2 * tall) * 0.75) for s in (-3, -1, 1, 3)]
    cord = _oval(generator.uniform(0.08, 0.2), 0, generator.uniform(0.08, 0.16), 9)
    spaces = (*discs, cord) if often(generator, 0.8) else ()
    return Subject(
        _by(angle, one), tuple(_by(angle, each) for each in stack), tuple(_by(angle, each) for each in spaces)
    )


def _frontal(generator: np.random.Generator) -> Subject:
    """Return the coronal section: a wide block or two pedicles, with the next ones above and below."""
    parts: list[Shape] = []
    tall = generator.uniform(0.2, 0.45)
    if often(generator, 0.5):
        parts.append(_oval(0, 0, 0.8, tall))
    if not parts or often(generator, 0.4):
        apart = generator.uniform(0.45, 0.9)
        parts += [_oval(s * apart, generator.normal(0, 0.05), 0.18, tall * 0.8) for s in (-1, 1)]
    if often(generator, 0.3):
        parts.append(_oval(0, generator.uniform(-0.1, 0.3), 0.12, 0.25))
    one = joined(*parts)
    step = 2 * tall + generator.uniform(0.08, 0.4)
    return Subject(_leaned(generator, one), tuple(moved(one, 0, s * step) for s in (-1, 1)))


def _oval(x: float, y: float, wide: float, tall: float) -> Shape:
    sx, sy = np.float32(1 / wide), np.float32(1 / tall)
    return lambda px, py: (
        (1 - np.sqrt(((px - np.float32(x)) * sx) ** 2 + ((py - np.float32(y)) * sy) ** 2)) * np.float32(min(wide, tall))
    )


def _block(x: float, wide: float, tall: float, waist: float) -> Shape:
    """Return a rectangle of round corners about `x`, 0, its sides drawn in by `waist` at half its height."""

    def level(px: Field, py: Field) -> Field:
        down = py * np.float32(1 / tall)
        across = (px - np.float32(x)) * np.float32(1 / wide) * (1 + np.float32(waist) * (1 - down * down))
        across, down = across * across, down * down
        sixth = across * across * across + down * down * down
        found: Field = (1 - np.cbrt(np.sqrt(sixth))) * np.float32(tall)
        return found

    return level


def _without(inner: Shape, hole: Shape) -> Shape:
    return lambda x, y: np.minimum(inner(x, y), -hole(x, y))


def _leaned(generator: np.random.Generator, inner: Shape) -> Shape:
    return bent(generator, _by(generator.normal(0, 0.2), inner))


def _by(angle: float, inner: Shape) -> Shape:
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return lambda x, y: inner(x * c + y * s, y * c - x * s)
