"""Take images as scanners do: bias, noise, streaks, windows and units."""

import numpy as np

from dicomnode.training.scenes.choosing import log_uniform, often
from dicomnode.training.scenes.fields import TURN, Field, Inside, blurred, correlated, stripes, waves, white

HARDEST, EASIEST = 1.2, 40.0


def contrast(image: Field, truth: Inside) -> float:
    """Return the difference of the mean in `truth` and near it, at least a 50th of the spread of the image."""
    near = blurred(truth.astype(np.float32), max(truth.shape[0] / 24, 1.5), max(truth.shape[1] / 24, 1.5)) > 0.02
    around = near & ~truth
    spread = 0.02 * float(image[near].max() - image[near].min())
    if not around.any():
        return max(spread, 1e-6)
    return max(abs(float(image[truth].mean()) - float(image[around].mean())), spread, 1e-6)


def as_ct(generator: np.random.Generator, image: Field, truth: Inside, easiest: float = EASIEST) -> Field:
    """Return `image` in Hounsfield units with noise, sometimes streaks, sometimes windowed to grey levels."""
    deviation = min(max(contrast(image, truth) / log_uniform(generator, HARDEST, easiest), 1.5), 110.0)
    found: Field = image + noise(generator, image.shape, 0.7) * np.float32(deviation)
    if often(generator, 0.15):
        found += streaks(generator, image.shape) * np.float32(deviation * generator.uniform(0.5, 2))
    if often(generator, 0.35):
        return windowed(generator, found, truth)
    if often(generator, 0.5):
        found = np.round(np.maximum(found, -1024))
    return found


def as_mr(generator: np.random.Generator, image: Field, truth: Inside, easiest: float = EASIEST) -> Field:
    """Return `image` under a bias field with Rician noise in arbitrary units."""
    biased = image * bias(generator, image.shape, 0.25)
    deviation = min(contrast(biased, truth) / log_uniform(generator, HARDEST, easiest), 0.2)
    real = biased + noise(generator, image.shape, 0.2) * np.float32(deviation)
    imaginary = white(generator, image.shape) * np.float32(deviation)
    found: Field = np.sqrt(real * real + imaginary * imaginary)
    if often(generator, 0.2):
        found = found ** np.float32(generator.uniform(0.7, 1.5))
    found *= np.float32(log_uniform(generator, 50, 4000))
    return found


def as_pet(generator: np.random.Generator, image: Field, truth: Inside) -> Field:
    """Return `image` as uptake with noise that grows with it."""
    deviation = contrast(image, truth) / log_uniform(generator, 3, EASIEST)
    rough = (
        np.sqrt(np.maximum(image, 0.02) / max(float(image.max()), 0.1))
        if often(generator, 0.7)
        else np.ones_like(image)
    )
    spread = generator.uniform(0.5, 1.1)
    found = image + correlated(generator, image.shape, spread, spread) * rough * np.float32(deviation)
    return np.maximum(found, 0) * np.float32(log_uniform(generator, 2, 25))


def as_any(generator: np.random.Generator, image: Field, truth: Inside) -> Field:
    """Return `image` with any bias, noise, gamma and inversion, in any units."""
    found = image * bias(generator, image.shape, 0.2) if often(generator, 0.4) else image
    deviation = contrast(found, truth) / log_uniform(generator, HARDEST, EASIEST)
    rough = noise(generator, image.shape, 0.4) * np.float32(deviation)
    if often(generator, 0.25):
        rough *= np.maximum(found, 0.05) / np.float32(max(float(found.mean()), 0.05))
    found = found + rough
    if often(generator, 0.3):
        low, high = float(found.min()), float(found.max())
        found = ((found - low) / max(high - low, 1e-6)) ** np.float32(np.exp(generator.normal(0, 0.35)))
    if often(generator, 0.3):
        found = -found
    if often(generator, 0.2):
        return windowed(generator, found, truth)
    return found * np.float32(log_uniform(generator, 1, 2000)) + np.float32(generator.normal(0, 300))


def noise(generator: np.random.Generator, shape: tuple[int, int], share: float) -> Field:
    """Return (row, column) float32 noise of deviation 1, as often as `share` correlated: soft, or sharp."""
    found = white(generator, shape)
    if not often(generator, share):
        return found
    spread = generator.uniform(0.4, 1.4)
    soft = blurred(found, spread, spread * generator.uniform(0.8, 1.25))
    if often(generator, 0.2):
        soft = found - soft
    return soft / np.float32(max(float(soft.std()), 1e-6))


def streaks(generator: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return (row, column) float32 streaks of deviation 1 along one direction, stronger in a part of the image."""
    x, y = _lines(shape)
    lines = stripes(generator, generator.uniform(0.08, 0.3), generator.uniform(0, TURN)).at(x, y)
    found: Field = lines * np.abs(waves(generator, 3, 5).at(x, y))
    return found


def bias(generator: np.random.Generator, shape: tuple[int, int], height: float) -> Field:
    """Return (row, column) float32 factors about 1 that change slowly."""
    x, y = _lines(shape)
    found: Field = np.exp(
        waves(generator, generator.uniform(2.5, 6), 4).at(x, y) * np.float32(height * generator.random())
    )
    return found


def windowed(generator: np.random.Generator, image: Field, truth: Inside) -> Field:
    """Return `image` clipped to a window about the target, as whole grey levels 0..255."""
    middle = float(image[truth].mean())
    reach = max(contrast(image, truth), float(image[truth].std())) * log_uniform(generator, 1.5, 12)
    low = middle - reach * generator.uniform(0.6, 1.4)
    high = middle + reach * generator.uniform(0.6, 1.4)
    found: Field = np.round(np.clip((image - np.float32(low)) * np.float32(255 / (high - low)), 0, 255))
    return found


def _lines(shape: tuple[int, int]) -> tuple[Field, Field]:
    x = np.linspace(-2, 2, shape[1], dtype=np.float32).reshape(1, -1)
    return x, np.linspace(-2, 2, shape[0], dtype=np.float32).reshape(-1, 1)
