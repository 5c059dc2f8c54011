"""Paint scenes as ultrasound shows them: echoes times speckle, shadows, a sector, and heads within a bright ring."""

import numpy as np

from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import log_uniform, often
from dicomnode.training.scenes.fields import TURN, Field, Inside, blurred, waves, white
from dicomnode.training.scenes.palettes import Palette
from dicomnode.training.scenes.shapes import along, spot


def echoes(generator: np.random.Generator) -> Palette:
    """Return the mean echoes of tissues, 0..1: fluid and gas black, bone white."""
    low = generator.uniform(0.0, 0.06)
    values = generator.uniform(0.15, 0.75, 3)
    return Palette(0.14, low, float(values[0]), float(values[1]), float(values[2]), low, low, 0.3, 0.95, low, low)


def head(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint a head: a bright ring, strongest where the beam meets it squarely, about dim tissue with structures."""
    if often(generator, 0.6):
        field = waves(generator, 3, 5).at(*canvas.grid) + np.float32(generator.uniform(-0.3, 0.6))
        near = canvas.near(generator.uniform(0.1, 0.5)) > 0.02
        canvas.fill((field > 0) & near, palette.fluid, 0.02)
    canvas.fill(canvas.target, generator.uniform(0.05, 0.4), 0.08)
    uneven = np.exp(
        waves(generator, generator.uniform(0.3, 1.2), 12).at(*canvas.grid) * np.float32(generator.uniform(0.1, 0.7))
    )
    np.multiply(canvas.value, uneven, out=canvas.value, where=canvas.target)
    for _ in range(generator.integers(0, 5)):
        field = waves(generator, generator.uniform(0.4, 1.2), 6).at(*canvas.grid)
        low = generator.uniform(0.3, 1.2)
        canvas.fill((field > low) & canvas.target, generator.uniform(0.0, 0.7), 0.05)
    _structures(generator, canvas)
    _skull(generator, canvas)


def nodule(generator: np.random.Generator, canvas: Canvas, _palette: Palette) -> None:
    """Paint a cyst or a nodule, some with a rim, some with a bright wall."""
    own = generator.uniform(0.0, 0.12) if often(generator, 0.45) else generator.uniform(0.1, 0.9)
    host = float(canvas.value[canvas.near(0.15) > 0.03].mean())
    if abs(own - host) < 0.12:
        own = host + 0.2 if host < 0.5 else host - 0.2
    canvas.fill(canvas.target, own, 0.05)
    if often(generator, 0.4):
        field = waves(generator, generator.uniform(0.5, 1.5), 6).at(*canvas.grid)
        canvas.fill((field > generator.uniform(0.3, 1.2)) & canvas.target, own + generator.normal(0, 0.15), 0.05)
    if often(generator, 0.35):
        near = canvas.near(generator.uniform(0.03, 0.08))
        canvas.fill(
            (near < 0.85) & (near > generator.uniform(0.15, 0.5)),
            generator.uniform(0.4, 1) if often(generator, 0.6) else 0.05,
            0,
        )


def as_ultrasound(generator: np.random.Generator, image: Field, _truth: Inside) -> Field:
    """Return `image` as log-compressed speckle under shadows and gain, grey levels 0..255."""
    deep, wide = generator.uniform(0.5, 1.1), generator.uniform(0.6, 2.0)
    real, imaginary = (blurred(white(generator, image.shape), deep, wide) for _ in range(2))
    power = real * real + imaginary * imaginary
    speckle = np.sqrt(power / np.float32(max(float(power.mean()), 1e-6)))
    rough = np.float32(log_uniform(generator, 0.12, 0.75))
    echoed = np.maximum(image, 0) * _gain(generator, image.shape)
    found: Field = echoed * (1 + rough * (speckle - 1)) + speckle * rough * np.float32(0.03)
    found = np.clip(found, 0, 1.2) ** np.float32(generator.uniform(0.6, 1.3))
    if often(generator, 0.35):
        found = np.where(_sector(generator, image.shape), found, 0)
    grey: Field = np.round(np.minimum(found * np.float32(generator.uniform(140, 300)), 255))
    return grey


def _structures(generator: np.random.Generator, canvas: Canvas) -> None:
    """Paint the midline, and arcs as of plexus and ventricles."""
    angle = generator.uniform(0, TURN)
    toward = np.array([np.cos(angle), np.sin(angle)])
    if often(generator, 0.6):
        ends = np.outer([-0.8, -0.3, 0.3, 0.8], toward) + generator.normal(0, 0.03, (4, 2))
        line = along(ends, 0.03, 0.03, 5)(*canvas.grid) > generator.uniform(-0.01, 0.015)
        canvas.fill(line & canvas.target, generator.uniform(0.4, 0.95), 0.1)
    for _ in range(generator.integers(0, 4)):
        inside = spot(generator, 0.5, 0.08, 0.35)(*canvas.grid) > 0
        canvas.fill(inside & canvas.target, generator.uniform(0, 0.9), 0.1)


def _skull(generator: np.random.Generator, canvas: Canvas) -> None:
    thick = generator.uniform(0.025, 0.09)
    near = canvas.near(thick)
    ring = np.exp(((near - np.float32(generator.uniform(0.5, 0.8))) / np.float32(0.28)) ** 2 * np.float32(-1))
    tilt = generator.normal(0, 0.4)
    radius = np.sqrt(canvas.grid.x**2 + canvas.grid.y**2) + np.float32(1e-3)
    square = np.abs(canvas.grid.y * np.float32(np.cos(tilt)) + canvas.grid.x * np.float32(np.sin(tilt))) / radius
    faint = np.float32(generator.uniform(0.0, 0.9))
    gaps = 1 / (1 + np.exp(-4 * (waves(generator, 1.5, 6).at(*canvas.grid) + np.float32(generator.uniform(0.2, 2.5)))))
    bright = ring * (faint + (1 - faint) * square**2) * gaps * np.float32(generator.uniform(0.5, 1.1))
    np.maximum(canvas.value, canvas.value * (1 - bright) + bright, out=canvas.value)


def _gain(generator: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return (row, column) float32 factors: a gain over depth, slow changes across, and up to three shadows."""
    x = np.linspace(-2, 2, shape[1], dtype=np.float32).reshape(1, -1)
    y = np.linspace(-2, 2, shape[0], dtype=np.float32).reshape(-1, 1)
    found = np.exp(y * np.float32(generator.normal(0, 0.12)) + waves(generator, 3, 4).at(x, y) * np.float32(0.2))
    for _ in range(generator.integers(0, 4)):
        middle, slant, width = generator.uniform(-2, 2), generator.normal(0, 0.25), generator.uniform(0.08, 0.45)
        across = (x - np.float32(middle) - y * np.float32(slant)) / np.float32(width)
        begin = 1 / (1 + np.exp((np.float32(generator.uniform(-2, 1)) - y) * 8))
        found *= 1 - np.float32(generator.uniform(0.2, 0.85)) * np.exp(-0.5 * across * across) * begin
    return found


def _sector(generator: np.random.Generator, shape: tuple[int, int]) -> Inside:
    """Return (row, column) bool: where the fan of beams reaches, a corner or a side left out."""
    x = np.linspace(-1, 1, shape[1], dtype=np.float32).reshape(1, -1)
    y = np.linspace(-1, 1, shape[0], dtype=np.float32).reshape(-1, 1)
    side, slope = (1 if often(generator, 0.5) else -1), generator.uniform(-0.6, 0.6)
    found: Inside = x * np.float32(side) + y * np.float32(slope) < np.float32(generator.uniform(0.8, 1.3))
    return found
