"""Draw a scene: choose a kind, lay the target out, paint it finely, and take the image as a scanner would."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.scenes.anatomy import Subject
from dicomnode.training.scenes.canvas import canvas
from dicomnode.training.scenes.choosing import chosen
from dicomnode.training.scenes.fields import Field, Inside, averaged, sampled
from dicomnode.training.scenes.kinds import KINDS, Kind
from dicomnode.training.scenes.layout import Layout, fitted, laid_out
from dicomnode.training.scenes.surroundings import grounded

# Pixels of a truth, and pixels and share of the image that it extends over, at least.
FEWEST, NARROWEST, SLIGHTEST = 10, 3, 0.18
SHARES: Mapping[str, float] = {name: kind.share for name, kind in KINDS.items()}


class Scene(NamedTuple):
    """Hold a synthetic image (row, column) float32, the truth (row, column) bool of its one target, and its kind."""

    image: NDArray[np.float32]
    truth: Inside
    kind: str


def drawn(generator: np.random.Generator) -> Scene:
    """Return a scene of a kind as common as its share in KINDS; the same state of `generator` gives the same scene."""
    return drawn_as(chosen(generator, SHARES), generator)


def drawn_as(name: str, generator: np.random.Generator) -> Scene:
    """Return a scene of the kind `name`, drawn again until its target has pixels enough to be seen."""
    while True:
        scene = _attempt(name, KINDS[name], generator)
        if scene is not None and _is_seen(scene.truth):
            return scene


def _attempt(name: str, kind: Kind, generator: np.random.Generator) -> Scene | None:
    found = fitted(kind.subject(generator))
    if found is None:
        return None
    subject, wide, tall = found
    layout = laid_out(generator, wide, tall, kind.taking)
    target = subject.target(*layout.grid) > 0
    truth = averaged(target.astype(np.float32), layout.factors) > 0.5
    if not truth.any():
        return None
    image = _painted(generator, kind, layout, subject, target)
    pixels = sampled(image, layout.factors, _spread(generator, kind, layout))
    return Scene(kind.degraded(generator, pixels, truth).astype(np.float32), truth, name)


def _painted(generator: np.random.Generator, kind: Kind, layout: Layout, subject: Subject, target: Inside) -> Field:
    """Return the fine image (row, column) float32 in the units of the kind's palette."""
    palette = kind.palette(generator)
    work = canvas(layout.grid, subject, target, palette.muscle)
    grounded(generator, work, palette, body=kind.taking.edge)
    kind.painted(generator, work, palette)
    return work.textured(generator)


def _spread(generator: np.random.Generator, kind: Kind, layout: Layout) -> tuple[float, float]:
    """Return the point spread in (row, column) samples, at least half a pixel where no finer samples soften edges."""
    pixels = generator.uniform(*kind.taking.spread)
    down, across = (max(pixels, 0.5) if factor == 1 else pixels * factor for factor in layout.factors)
    return down, across


def _is_seen(truth: Inside) -> bool:
    """Return whether the target has pixels enough, and is not lost in its image."""
    if np.count_nonzero(truth) < FEWEST:
        return False
    return all(_is_long(np.any(truth, axis=axis)) for axis in (0, 1))


def _is_long(line: Inside) -> bool:
    places = np.flatnonzero(line)
    extent = int(places[-1] - places[0]) + 1
    return extent >= NARROWEST and extent >= SLIGHTEST * len(line)
