"""Paint targets as PET shows them: hot, uneven, some dark in the middle, a few with hot organs beside them."""

import numpy as np

from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import log_uniform, often
from dicomnode.training.scenes.fields import waves
from dicomnode.training.scenes.palettes import Palette
from dicomnode.training.scenes.shapes import ROUND, shape
from dicomnode.training.scenes.surroundings import beside
from dicomnode.training.scenes.targets import halves, host


def hot(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint a lesion 1.5 to 20 times as hot as what surrounds it."""
    own = max(host(canvas), 0.02) * log_uniform(generator, 1.6, 20)
    if often(generator, 0.3):
        near = beside(generator, shape(generator, ROUND), generator.uniform(0.3, 1), generator.uniform(0.9, 1.4))
        canvas.fill(near(*canvas.grid) > 0, own * generator.uniform(0.3, 1.3), 0)
    canvas.fill(canvas.target, own, own * 0.1)
    if often(generator, 0.6):
        uneven = np.exp(
            waves(generator, generator.uniform(0.6, 2.5), 8).at(*canvas.grid) * np.float32(generator.uniform(0.1, 0.5))
        )
        np.multiply(canvas.value, uneven, out=canvas.value, where=canvas.target)
    if often(generator, 0.25):
        cold = canvas.near(generator.uniform(0.12, 0.35)) + waves(generator, 1.4, 6).at(*canvas.grid) * np.float32(
            generator.uniform(0, 0.15)
        )
        canvas.fill((cold > generator.uniform(0.7, 0.95)) & canvas.target, own * generator.uniform(0.05, 0.6), 0)
    if often(generator, 0.12):
        halves(generator, canvas, palette._replace(step=own * 0.25), own)
