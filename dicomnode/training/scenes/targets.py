"""Paint a target into its surroundings: its bed, its own tissue, and what it holds inside."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import chosen, log_uniform, often
from dicomnode.training.scenes.fields import TURN, Field, waves
from dicomnode.training.scenes.palettes import FLESH, SOFT, Palette, mixed
from dicomnode.training.scenes.shapes import spot, tube, turned
from dicomnode.training.scenes.surroundings import boned, neighboured, vesselled

Part = Callable[[np.random.Generator, Canvas, Palette, float], None]
SEVERAL = 0.45
GRAINS: Mapping[str, float] = {"cortex": 0.3, "gas": 0.15, "fluid": 0.3, "fat": 0.25}


class Company(NamedTuple):
    """Hold how often what lies about a target is like it, how often there is bone, and how often it has a bed."""

    alike: float
    bone: float
    bed: float


def organ(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint an organ: flesh, fluid or fat, among neighbours that often look alike and touch it."""
    own = parted(generator, mixed(generator, palette, {**FLESH, "fat": 0.06}), host(canvas), palette)
    among(generator, canvas, palette, own, Company(alike=0.5, bone=0.25, bed=0.4))


def lesion(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint a lesion: a little or much brighter or darker than its host, two in five nearly as bright."""
    difference = log_uniform(generator, 0.1, 1.0) if often(generator, 0.42) else log_uniform(generator, 0.8, 5)
    own = host(canvas) + difference * palette.step * (1 if often(generator, 0.5) else -1)
    among(generator, canvas, palette, own, Company(alike=0.25, bone=0.3, bed=0.2))


def among(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float, company: Company) -> None:
    """Paint what lies about a target, and then the target with its `own` value."""
    neighboured(generator, canvas, palette, own, company.alike)
    vesselled(generator, canvas, palette)
    if often(generator, company.bone):
        boned(generator, canvas, palette)
    bedded(generator, canvas, palette, company.bed)
    filled(generator, canvas, palette, own)


def hollow(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint a hollow organ: a wall about gas, fluid or contrast medium, whole in the truth."""
    neighboured(generator, canvas, palette, palette.muscle, 0.4)
    vesselled(generator, canvas, palette)
    bedded(generator, canvas, palette, 0.4)
    canvas.fill(canvas.target, mixed(generator, palette, {"muscle": 0.6, "organ": 0.4}), palette.step * 0.2)
    lumen = (canvas.near(0.1) > generator.uniform(0.7, 0.98)) & canvas.target
    canvas.fill(
        lumen, mixed(generator, palette, {"gas": 0.4, "fluid": 0.25, "vessel": 0.2, "organ": 0.15}), palette.step * 0.2
    )
    if often(generator, 0.5):
        level = generator.uniform(-0.5, 0.7)
        side = canvas.grid.y * np.float32(1 if often(generator, 0.8) else -1) > level + 0 * canvas.grid.x
        canvas.fill(
            lumen & side, mixed(generator, palette, {"fluid": 0.4, "organ": 0.4, "vessel": 0.2}), palette.step * 0.5
        )


def skeleton(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint bones: cortex about marrow, the others like the target."""
    neighboured(generator, canvas, palette, palette.muscle, 0.1)
    vesselled(generator, canvas, palette, 1)
    space = mixed(generator, palette, {"fluid": 0.5, "muscle": 0.25, "fat": 0.25})
    canvas.fill(canvas.spaces, space, palette.step * 0.2)
    thick, low = generator.uniform(0.015, 0.14), generator.uniform(0.6, 0.97)
    marrow = palette.marrow + generator.normal(0, 0.5) * palette.step
    cortex = _cortex(generator, canvas, palette.cortex, marrow)
    grain = abs(palette.cortex - palette.marrow) * generator.uniform(0.02, 0.25)
    for inside in (canvas.others & ~canvas.target, canvas.target):
        canvas.fill(inside, cortex, 0)
        deep = canvas.soft(inside.astype(np.float32), thick) > low
        canvas.fill(deep & inside, marrow, grain)


def parted(generator: np.random.Generator, own: float, other: float, palette: Palette) -> float:
    """Return `own`, moved away from `other` where the two could not be told apart, nine times in ten."""
    if abs(own - other) > 0.7 * palette.step or often(generator, 0.1):
        return own
    return other + palette.step * generator.uniform(0.7, 3) * (1 if own > other else -1)


def host(canvas: Canvas) -> float:
    """Return the mean value in a band about the target."""
    near = canvas.near(0.15)
    band = (near > 0.03) & ~canvas.target
    return float(canvas.value[band].mean()) if band.any() else float(canvas.value.mean())


def bedded(generator: np.random.Generator, canvas: Canvas, palette: Palette, share: float) -> None:
    """Paint fat, a capsule or an oedema about the target, as often as `share`."""
    if not often(generator, share):
        return
    near = canvas.near(generator.uniform(0.04, 0.2))
    if often(generator, 0.3):
        near = near * (1 + np.float32(0.8) * waves(generator, 1.2, 6).at(*canvas.grid))
    canvas.fill(
        near > generator.uniform(0.02, 0.3), mixed(generator, palette, {"fat": 0.7, "fluid": 0.15, "muscle": 0.15}), 0
    )


def filled(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float) -> None:
    """Paint the target with its `own` value, nearly half of them with one or two things inside."""
    grain = palette.step * generator.uniform(0, 0.6) if often(generator, 0.6) else 0.0
    canvas.fill(canvas.target, own, grain)
    if often(generator, 0.3):
        slope = waves(generator, 4, 4).at(*canvas.grid) * np.float32(palette.step * generator.uniform(0.1, 0.6))
        np.add(canvas.value, slope, out=canvas.value, where=canvas.target)
    if often(generator, SEVERAL):
        for _ in range(1 if often(generator, 0.65) else 2):
            chosen(generator, PARTS)(generator, canvas, palette, own)


def patches(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float) -> None:
    """Paint patches of a second tissue."""
    field = waves(generator, generator.uniform(0.5, 2.5), 8).at(*canvas.grid)
    canvas.fill(
        (field > generator.uniform(-0.3, 1.2)) & canvas.target, _second(generator, palette, own), palette.step * 0.3
    )


def core(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float) -> None:
    """Paint a core, as necrosis or a hot centre is, off the middle, with an uneven edge."""
    near = canvas.near(generator.uniform(0.12, 0.35)) + waves(generator, 1.2, 6).at(*canvas.grid) * np.float32(
        generator.uniform(0, 0.12)
    )
    canvas.fill(
        (near > generator.uniform(0.6, 0.95)) & canvas.target, _second(generator, palette, own), palette.step * 0.3
    )


def rim(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float) -> None:
    """Paint a rim, whole or in part, as enhancement or a capsule is."""
    near = canvas.near(generator.uniform(0.03, 0.15))
    edge = near < generator.uniform(0.65, 0.95)
    if often(generator, 0.4):
        edge &= waves(generator, 2.5, 5).at(*canvas.grid) > -0.4
    canvas.fill(edge & canvas.target, _second(generator, palette, own), 0)


def halves(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float) -> None:
    """Paint one side of a line with a second tissue."""
    angle = generator.uniform(0, TURN)
    depth = canvas.grid.x * np.float32(np.cos(angle)) + canvas.grid.y * np.float32(np.sin(angle))
    depth = depth + waves(generator, 2, 5).at(*canvas.grid) * np.float32(generator.uniform(0, 0.12))
    canvas.fill(
        (depth > generator.uniform(-0.5, 0.5)) & canvas.target, _second(generator, palette, own), palette.step * 0.2
    )


def fissures(generator: np.random.Generator, canvas: Canvas, palette: Palette, _own: float) -> None:
    """Paint thin lines through the target: fissures, septa, vessels of a liver."""
    value = mixed(generator, palette, {"fat": 0.45, "vessel": 0.35, "fluid": 0.2})
    for _ in range(generator.integers(1, 4)):
        line = turned(generator, tube(generator))(*canvas.grid)
        width = generator.uniform(0.02, 0.09)
        canvas.fill((line > line.max() - width) & canvas.target, value, 0)


def spots(generator: np.random.Generator, canvas: Canvas, palette: Palette, own: float) -> None:
    """Paint one to five spots: chalk, gas, cysts, clips."""
    for _ in range(generator.integers(1, 6)):
        inside = spot(generator, 0.8, 0.06, 0.3)(*canvas.grid) > 0
        value = mixed(generator, palette, GRAINS) if often(generator, 0.6) else _second(generator, palette, own)
        canvas.fill(inside & canvas.target, value, 0)


def peak(generator: np.random.Generator, canvas: Canvas, palette: Palette, _own: float) -> None:
    """Paint a smooth rise or fall towards a point of the target, so that a bright core lies in a dimmer rest."""
    x, y = generator.uniform(-0.5, 0.5, 2).astype(np.float32)
    width = generator.uniform(0.25, 0.8)
    rise = np.exp(((canvas.grid.x - x) ** 2 + (canvas.grid.y - y) ** 2) * np.float32(-0.5 / width**2))
    rise *= np.float32(palette.step * generator.uniform(0.8, 5) * (1 if often(generator, 0.65) else -1))
    np.add(canvas.value, rise, out=canvas.value, where=canvas.target)


PARTS: Mapping[Part, float] = {patches: 0.24, core: 0.2, rim: 0.14, halves: 0.1, fissures: 0.12, spots: 0.1, peak: 0.1}


def _cortex(generator: np.random.Generator, canvas: Canvas, cortex: float, marrow: float) -> float | Field:
    """Return the value of the cortex, two in five times (row, column) float32, fading into marrow in places."""
    if often(generator, 0.6):
        return cortex
    faint = 1 / (1 + np.exp(waves(generator, 1.2, 6).at(*canvas.grid) * np.float32(3)))
    found: Field = cortex + np.float32(marrow - cortex) * faint
    return found


def _second(generator: np.random.Generator, palette: Palette, own: float) -> float:
    if often(generator, 0.25):
        return mixed(generator, palette, SOFT)
    return own + palette.step * log_uniform(generator, 0.6, 4) * (1 if often(generator, 0.5) else -1)
