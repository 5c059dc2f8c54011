"""Give tissues the values that a modality shows them with."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from dicomnode.training.scenes.choosing import chosen, often


class Palette(NamedTuple):
    """Hold the values of tissues, and `step`, a difference between two tissues that is well seen."""

    step: float
    outside: float
    fat: float
    muscle: float
    organ: float
    fluid: float
    vessel: float
    marrow: float
    cortex: float
    gas: float
    lung: float


Paint = Callable[[np.random.Generator], Palette]
SOFT: Mapping[str, float] = {
    "fat": 0.3,
    "muscle": 0.24,
    "organ": 0.24,
    "fluid": 0.07,
    "vessel": 0.05,
    "lung": 0.05,
    "gas": 0.05,
}
FLESH: Mapping[str, float] = {"organ": 0.55, "muscle": 0.25, "fluid": 0.1, "vessel": 0.1}
STEPS: Mapping[str, float] = {"fat": 0.4, "gas": 1.0, "lung": 2.5, "cortex": 6.0, "marrow": 2.0}


def mixed(generator: np.random.Generator, palette: Palette, shares: Mapping[str, float] = SOFT) -> float:
    """Return the value of one tissue of `shares`, a little off its mean."""
    name = chosen(generator, shares)
    value: float = getattr(palette, name)
    return value + float(generator.normal(0, 0.4)) * palette.step * STEPS.get(name, 1.0)


def ct(generator: np.random.Generator) -> Palette:
    """Return Hounsfield units, with contrast medium in half of them."""
    contrast = often(generator, 0.5)
    return Palette(
        step=28,
        outside=-1000,
        fat=generator.normal(-102, 10),
        muscle=generator.normal(55, 8),
        organ=generator.normal(95 if contrast else 55, 22),
        fluid=generator.normal(8, 8),
        vessel=generator.uniform(110, 330) if contrast else generator.normal(42, 8),
        marrow=30 + 350 * generator.random() ** 1.6,
        cortex=generator.uniform(380, 1400),
        gas=generator.uniform(-1000, -900),
        lung=generator.normal(-810, 60),
    )


def mr(generator: np.random.Generator) -> Palette:
    """Return the values of a T1, T2, fat-suppressed or unknown weighting, 0 to about 1."""
    weightings = {_T1: 0.4, _T2: 0.3, _SUPPRESSED: 0.15, None: 0.15}
    means = chosen(generator, weightings)
    values = (
        generator.uniform(0.03, 1, len(_T1))
        if means is None
        else np.array(means) * np.exp(generator.normal(0, 0.22, len(_T1)))
    )
    return Palette(0.1, 0.01, *(float(value) for value in values))


def any_values(generator: np.random.Generator) -> Palette:
    """Return values from nowhere: uniform, or in a few clusters."""
    values = generator.uniform(0, 1, 10)
    if often(generator, 0.5):
        values = generator.uniform(0, 1, 4)[generator.integers(0, 4, 10)] + generator.normal(0, 0.04, 10)
    return Palette(0.12, *(float(value) for value in values))


def pet(generator: np.random.Generator) -> Palette:
    """Return uptakes: tissues low, the hottest about 1."""
    values = np.exp(generator.normal(np.log(0.09), 0.7, 10))
    return Palette(0.05, 0.005, *(float(min(value, 0.6)) for value in values[1:]))


#: fat, muscle, organ, fluid, vessel, marrow, cortex, gas, lung
_T1 = (0.9, 0.32, 0.42, 0.16, 0.3, 0.62, 0.04, 0.015, 0.06)
_T2 = (0.62, 0.16, 0.36, 1.0, 0.25, 0.42, 0.04, 0.015, 0.06)
_SUPPRESSED = (0.12, 0.3, 0.42, 0.85, 0.6, 0.16, 0.04, 0.015, 0.06)
