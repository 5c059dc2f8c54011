"""List the kinds of scene: how often each is drawn, and what draws its parts."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from dicomnode.training.scenes.anatomy import Subject, bone, pair, plates, vertebra
from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import chosen
from dicomnode.training.scenes.degrading import as_any, as_ct, as_mr, as_pet
from dicomnode.training.scenes.fields import Field, Inside
from dicomnode.training.scenes.layout import Taking
from dicomnode.training.scenes.palettes import Paint, Palette, any_values, ct, mr, pet
from dicomnode.training.scenes.shapes import LESIONS, ORGANS, Draw, shape
from dicomnode.training.scenes.targets import hollow, lesion, organ, skeleton
from dicomnode.training.scenes.ultrasound import as_ultrasound, echoes, head, nodule
from dicomnode.training.scenes.uptake import hot

Painter = Callable[[np.random.Generator, Canvas, Palette], None]
Degraded = Callable[[np.random.Generator, Field, Inside], Field]


class Kind(NamedTuple):
    """Hold a kind's share of all scenes, and what draws its subject, its values, its target, its flaws and its size."""

    share: float
    subject: Callable[[np.random.Generator], Subject]
    palette: Paint
    painted: Painter
    degraded: Degraded
    taking: Taking = Taking()


def _single(generator: np.random.Generator, shares: Mapping[Draw, float], rough: float) -> Subject:
    return Subject(shape(generator, shares, rough))


def _round(generator: np.random.Generator) -> Subject:
    """Return a nearly perfect ellipse, as a fetal head is outlined."""
    aspect = generator.uniform(1, 1.6)
    angle = generator.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return Subject(lambda x, y: 1 - np.sqrt((x * c + y * s) ** 2 + ((y * c - x * s) * np.float32(aspect)) ** 2))


def _parts(generator: np.random.Generator) -> Subject:
    return chosen(generator, {vertebra: 0.7, plates: 0.15, pair: 0.15})(generator)


_organ: Callable[[np.random.Generator], Subject] = partial(_single, shares=ORGANS, rough=0.16)
_lesion: Callable[[np.random.Generator], Subject] = partial(_single, shares=LESIONS, rough=0.09)

SPINE = Taking(cut=0.25, edge=0.1)
COARSE = Taking(sizes=(5, 28), small=0, spread=(0.6, 1.5), thick=0.1)
PROBE = Taking(sizes=(36, 108), small=0.03, spread=(0.4, 1.2), thick=0.0, cut=0.03, edge=0.0)

# Half of all scenes look like CT, as half of the work does; those of no modality keep the network from relying on one.
KINDS: Mapping[str, Kind] = {
    "ct-organ": Kind(0.18, _organ, ct, organ, as_ct),
    "ct-lesion": Kind(0.13, _lesion, ct, lesion, as_ct),
    "ct-hollow": Kind(0.05, _organ, ct, hollow, as_ct),
    "ct-bone": Kind(0.08, bone, ct, skeleton, partial(as_ct, easiest=25)),
    "ct-parts": Kind(0.06, _parts, ct, skeleton, partial(as_ct, easiest=15), SPINE),
    "mr-organ": Kind(0.10, _organ, mr, organ, as_mr),
    "mr-lesion": Kind(0.08, _lesion, mr, lesion, as_mr),
    "mr-parts": Kind(0.05, _parts, mr, skeleton, partial(as_mr, easiest=12), SPINE),
    "pet": Kind(0.07, _lesion, pet, hot, as_pet, COARSE),
    "us-head": Kind(0.05, _round, echoes, head, as_ultrasound, PROBE),
    "us-nodule": Kind(0.03, _lesion, echoes, nodule, as_ultrasound, PROBE),
    "plain-organ": Kind(0.06, _organ, any_values, organ, as_any),
    "plain-lesion": Kind(0.06, _lesion, any_values, lesion, as_any),
}
