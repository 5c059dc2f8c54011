"""Paint targets as PET shows them: hot, uneven, some dark in the middle, a few with hot organs beside them."""

import numpy as np

from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import log_uniform, often
from dicomnode.training.scenes.fields import Field, waves
from dicomnode.training.scenes.palettes import Palette
from dicomnode.training.scenes.shapes import ROUND, shape
from dicomnode.training.scenes.surroundings import beside
from dicomnode.training.scenes.targets import halves, host


def hot(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint a lesion 1.4 to 14 times as hot as what surrounds it."""
    own = max(host(canvas), 0.02) * log_uniform(generator, 1.4, 14)
    if often(generator, 0.3):
        near = beside(generator, shape(generator, ROUND), generator.uniform(0.3, 1), generator.uniform(0.9, 1.4))
        canvas.fill(near(*canvas.grid) > 0, own * generator.uniform(0.3, 1.3), 0)
    canvas.fill(canvas.target, own, own * 0.1)
    scale = _uneven(generator, canvas) if often(generator, 0.8) else np.ones_like(canvas.value)
    if often(generator, 0.35):
        scale = scale * canvas.near(generator.uniform(0.2, 0.5)) ** np.float32(generator.uniform(0.5, 2))
    if often(generator, 0.3):
        scale = scale * _cold(generator, canvas)
    np.multiply(canvas.value, scale, out=canvas.value, where=canvas.target)
    if often(generator, 0.12):
        halves(generator, canvas, palette._replace(step=own * 0.25), own)


def _uneven(generator: np.random.Generator, canvas: Canvas) -> Field:
    field = waves(generator, generator.uniform(0.6, 2.5), 8).at(*canvas.grid)
    found: Field = np.exp(field * np.float32(generator.uniform(0.15, 0.6)))
    return found


def _cold(generator: np.random.Generator, canvas: Canvas) -> Field:
    """Return factors (row, column) float32 that cool a part of the middle, as necrosis does."""
    middle = canvas.near(generator.uniform(0.12, 0.35))
    middle = middle + waves(generator, 1.4, 6).at(*canvas.grid) * np.float32(generator.uniform(0, 0.25))
    return np.where(middle > generator.uniform(0.65, 0.95), np.float32(generator.uniform(0.05, 0.6)), np.float32(1))
