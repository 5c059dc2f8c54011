"""Paint the label map of a real section with values of no patient: anatomy as it is, intensities as nobody chose them.

After Billot and others, "SynthSeg" (Medical Image Analysis, 2023). What no structure covers is parted by its own values
into tissues, so that a body lies about the structures.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.scenes.choosing import chosen, often
from dicomnode.training.scenes.degrading import as_any, as_ct, as_mr
from dicomnode.training.scenes.fields import Field, blurred, white
from dicomnode.training.scenes.palettes import FLESH, Paint, Palette, any_values, ct, mixed, mr
from dicomnode.training.scenes.targets import parted

_Degraded = Callable[[np.random.Generator, Field, NDArray[np.bool_]], Field]

# What a structure may consist of; how often it keeps its own inner contrast, and how strongly (steps of the palette).
STRUCTURES: Mapping[str, float] = {**FLESH, "fat": 0.06, "marrow": 0.08, "cortex": 0.05, "gas": 0.03}
KEPT, KEPT_STEPS = 0.6, 1.0
# How often what is about the structures is parted into tissues, and into how many; otherwise it keeps its values.
PARTED, FEWEST, MOST = 0.7, 3, 7
# The grain of a structure, in steps, and the blur that parts have in common, in pixels, at the most.
GRAIN, SOFTEST = 0.5, 0.9
_LOOKS: Mapping[tuple[Paint, _Degraded], float] = {(ct, as_ct): 0.4, (mr, as_mr): 0.3, (any_values, as_any): 0.3}
_BAND = 0.02  # of the blurred truth: what lies that near to it is about it


def repainted(
    generator: np.random.Generator,
    image: NDArray[np.float32],
    shares: Sequence[NDArray[np.float32]],
    truth: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return `image`, (row, column) float32, with other values in and about its structures, as a scanner shows them.

    `shares` say how much of each pixel lies in each structure, 0..1, that of the object last; `truth` is where the
    object is.
    """
    paint, degraded = chosen(generator, _LOOKS)
    palette = paint(generator)
    value, grain = _ground(generator, image, palette), np.zeros(image.shape, np.float32)
    for share in shares[:-1]:
        _fill(generator, (value, grain), (image, share), palette, mixed(generator, palette, STRUCTURES))
    own = parted(generator, mixed(generator, palette, STRUCTURES), _about(value, truth), palette)
    _fill(generator, (value, grain), (image, shares[-1]), palette, own)
    texture = blurred(white(generator, image.shape), *[generator.uniform(0.05, 1.5)] * 2)
    soft = generator.uniform(0, SOFTEST)
    found = blurred(value + grain * texture / max(float(texture.std()), 1e-6), soft, soft)
    return np.asarray(degraded(generator, found, truth), np.float32)


def _ground(generator: np.random.Generator, image: NDArray[np.float32], palette: Palette) -> Field:
    """Return a value for each pixel, (row, column) float32, alike where those of `image` are alike."""
    soft = blurred(image, *[generator.uniform(0.3, 1.5)] * 2)
    if not often(generator, PARTED):
        spread = float(soft.std())
        return palette.muscle + soft * np.float32(palette.step * generator.normal(0, 3) / max(spread, 1e-6))
    levels = np.quantile(soft, np.sort(generator.uniform(0.02, 0.98, generator.integers(FEWEST, MOST + 1) - 1)))
    values = np.array([mixed(generator, palette) for _ in range(len(levels) + 1)], np.float32)
    return values[np.searchsorted(levels, soft)]


def _fill(
    generator: np.random.Generator,
    painted: tuple[Field, Field],
    seen: tuple[NDArray[np.float32], NDArray[np.float32]],
    palette: Palette,
    own: float,
) -> None:
    """Lay a structure with its `own` value, and what it keeps of the image's contrast in it, over what is `painted`."""
    (value, grain), (image, share) = painted, seen
    total = float(share.sum())
    inner = np.full(image.shape, own, np.float32)
    if total > 0 and often(generator, KEPT):
        apart = image - np.float32((image * share).sum() / total)
        spread = float(np.sqrt((apart * apart * share).sum() / total))
        inner += np.clip(apart / max(spread, 1e-6), -3, 3) * np.float32(generator.normal(0, KEPT_STEPS) * palette.step)
    value += share * (inner - value)
    grain += share * (np.float32(palette.step * GRAIN * generator.random()) - grain)


def _about(value: Field, truth: NDArray[np.bool_]) -> float:
    """Return the mean of `value`, (row, column), near `truth` but outside of it."""
    near = blurred(truth.astype(np.float32), *(max(side / 24, 1.5) for side in truth.shape)) > _BAND
    band = near & ~truth
    return float(value[band].mean()) if band.any() else float(value.mean())
