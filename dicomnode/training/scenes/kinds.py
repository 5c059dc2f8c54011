"""List the kinds of scene: how often each is drawn, and what draws its parts."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from typing import NamedTuple

from dicomnode.training.scenes.anatomy import Subject, bone, pair, plates, vertebra
from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import chosen
from dicomnode.training.scenes.degrading import as_any, as_ct, as_mr, as_pet
from dicomnode.training.scenes.fields import Field, Inside
from dicomnode.training.scenes.palettes import Paint, Palette, any_values, ct, mr, pet
from dicomnode.training.scenes.shapes import LESIONS, ORGANS, Draw, bent, ellipse, shape
from dicomnode.training.scenes.targets import hollow, lesion, organ, skeleton
from dicomnode.training.scenes.ultrasound import as_ultrasound, echoes, head, nodule
from dicomnode.training.scenes.uptake import hot

Painter = Callable[[np.random.Generator, Canvas, Palette], None]
Taken = Callable[[np.random.Generator, Field, Inside], Field]


class Kind(NamedTuple):
    """Hold what draws one kind of scene: its share, the subject, the values, the target's painter and the scanner."""

    share: float
    subject: Callable[[np.random.Generator], Subject]
    palette: Paint
    painted: Painter
    taken: Taken
    #: pixels of the target's longer side, point spread in pixels, how often a border cuts it, how often the body's edge shows
    sizes: tuple[float, float] = (16, 96)
    spread: tuple[float, float] = (0.3, 0.9)
    cut: float = 0.04
    edge: float = 0.3


def _single(generator: np.random.Generator, shares: Mapping[Draw, float]) -> Subject:
    return Subject(shape(generator, shares))


def _round(generator: np.random.Generator) -> Subject:
    """Return a nearly perfect ellipse, as a fetal head is outlined."""
    aspect = generator.uniform(1, 1.6)
    angle = generator.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return Subject(lambda x, y: 1 - np.sqrt((x * c + y * s) ** 2 + ((y * c - x * s) * np.float32(aspect)) ** 2))


def _parts(generator: np.random.Generator) -> Subject:
    return chosen(generator, {vertebra: 0.7, plates: 0.15, pair: 0.15})(generator)


_organ: Callable[[np.random.Generator], Subject] = partial(_single, shares=ORGANS)
_lesion: Callable[[np.random.Generator], Subject] = partial(_single, shares=LESIONS)

KINDS: Mapping[str, Kind] = {
    "ct-organ": Kind(0.18, _organ, ct, organ, as_ct),
    "ct-lesion": Kind(0.13, _lesion, ct, lesion, as_ct),
    "ct-hollow": Kind(0.05, _organ, ct, hollow, as_ct),
    "ct-bone": Kind(0.08, bone, ct, skeleton, as_ct),
    "ct-parts": Kind(0.06, _parts, ct, skeleton, as_ct, cut=0.25, edge=0.1),
    "mr-organ": Kind(0.10, _organ, mr, organ, as_mr),
    "mr-lesion": Kind(0.08, _lesion, mr, lesion, as_mr),
    "mr-parts": Kind(0.05, _parts, mr, skeleton, as_mr, cut=0.25, edge=0.1),
    "pet": Kind(0.07, _lesion, pet, hot, as_pet, sizes=(6, 32), spread=(0.5, 1.3)),
    "us-head": Kind(0.05, _round, echoes, head, as_ultrasound, sizes=(40, 96), cut=0.1, edge=0.0),
    "us-nodule": Kind(0.03, _lesion, echoes, nodule, as_ultrasound, sizes=(24, 96), edge=0.0),
    "plain-organ": Kind(0.06, _organ, any_values, organ, as_any),
    "plain-lesion": Kind(0.06, _lesion, any_values, lesion, as_any),
}
