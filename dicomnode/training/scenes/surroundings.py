"""Paint what lies about a target: label maps of tissues, the edge of the body, neighbours, vessels and bones."""

from collections.abc import Callable, Mapping

import numpy as np

from dicomnode.training.scenes.canvas import Canvas
from dicomnode.training.scenes.choosing import chosen, log_uniform, often
from dicomnode.training.scenes.fields import TURN, Field, waves
from dicomnode.training.scenes.palettes import FLESH, SOFT, Palette, mixed
from dicomnode.training.scenes.shapes import ROUND, Shape, moved, shape, tube, turned

Ground = Callable[[np.random.Generator, Canvas, Palette], None]


def grounded(generator: np.random.Generator, canvas: Canvas, palette: Palette, *, body: float = 0.3) -> None:
    """Paint a whole ground of tissues, as often as `body` with the body's edge and the air outside in it."""
    chosen(generator, GROUNDS)(generator, canvas, palette)
    if often(generator, body):
        edged(generator, canvas, palette)


def cells(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint the cells of a Voronoi diagram with wavy borders, half of them parted by fat."""
    x, y = _pushed(generator, canvas)
    count = int(generator.integers(5, 15))
    reach = canvas.grid.x[0, -1] - canvas.grid.x[0, 0], canvas.grid.y[-1, 0] - canvas.grid.y[0, 0]
    first = np.full(canvas.grid.shape, np.inf, np.float32)
    second, owner = first.copy(), np.zeros(canvas.grid.shape, np.int8)
    for index, (u, v) in enumerate(generator.uniform(-0.05, 1.05, (count, 2)).astype(np.float32)):
        far = (x - canvas.grid.x[0, 0] - u * reach[0]) ** 2 + (y - canvas.grid.y[0, 0] - v * reach[1]) ** 2
        closer = far < first
        np.minimum(second, np.maximum(first, far), out=second)
        np.copyto(first, far, where=closer)
        np.copyto(owner, np.int8(index), where=closer)
    values = np.array([mixed(generator, palette) for _ in range(count)], np.float32)
    grains = _grains(generator, palette, count)
    canvas.value[:], canvas.grain[:] = values[owner], grains[owner]
    if often(generator, 0.5):
        gap = np.float32(generator.uniform(0.03, 0.16))
        canvas.fill(np.sqrt(second) - np.sqrt(first) < gap, palette.fat, float(grains[0]))


def clouds(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint bands of tissue between the levels of one or two smooth random fields."""
    for _ in range(generator.integers(1, 4)):
        field = waves(generator, log_uniform(generator, 0.6, 3)).at(canvas.grid.x, canvas.grid.y)
        low = generator.uniform(-1.2, 0.4)
        canvas.fill(field > low, mixed(generator, palette), _grain(generator, palette))
        canvas.fill(field > low + generator.uniform(0.4, 1.2), mixed(generator, palette), _grain(generator, palette))


def planes(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint one tissue that thin fat planes run through, as muscle and liver show."""
    canvas.value[:], canvas.grain[:] = mixed(generator, palette, FLESH), _grain(generator, palette)
    for _ in range(generator.integers(0, 4)):
        field = waves(generator, log_uniform(generator, 0.8, 3), 6).at(canvas.grid.x, canvas.grid.y)
        canvas.fill(
            np.abs(field) < generator.uniform(0.02, 0.12), mixed(generator, palette, {"fat": 0.7, "vessel": 0.3}), 0
        )
    if often(generator, 0.4):
        field = waves(generator, 2.5).at(canvas.grid.x, canvas.grid.y)
        canvas.fill(field > generator.uniform(0.4, 1.4), mixed(generator, palette), _grain(generator, palette))


def layers(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint curved layers one above the other, as skin, fat, muscle and organs lie."""
    angle = generator.uniform(0, TURN)
    depth = canvas.grid.x * np.float32(np.cos(angle)) + canvas.grid.y * np.float32(np.sin(angle))
    depth = depth + waves(generator, 3, 6).at(canvas.grid.x, canvas.grid.y) * np.float32(generator.uniform(0.03, 0.25))
    for level in np.sort(generator.uniform(-2, 2, generator.integers(2, 7))):
        canvas.fill(depth > level, mixed(generator, palette), _grain(generator, palette))


def edged(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint the outside of the body over a side of the image: air, perhaps a table, skin and the fat below it."""
    angle, far = generator.uniform(0, TURN), generator.uniform(0.85, 1.7)
    depth = canvas.grid.x * np.float32(np.cos(angle)) + canvas.grid.y * np.float32(np.sin(angle))
    bow = np.float32(generator.uniform(0, 0.25))
    across = canvas.grid.y * np.float32(np.cos(angle)) - canvas.grid.x * np.float32(np.sin(angle))
    depth = depth + bow * across * across + waves(generator, 4, 5).at(canvas.grid.x, canvas.grid.y) * np.float32(0.08)
    fat = generator.uniform(0, 0.5)
    canvas.fill(depth > far - fat, palette.fat, _grain(generator, palette))
    canvas.fill(depth > far - 0.06, palette.muscle, 0)
    canvas.fill(depth > far, palette.outside, 0)
    if often(generator, 0.3):
        gap = far + generator.uniform(0.02, 0.3)
        canvas.fill(
            (depth > gap) & (depth < gap + generator.uniform(0.04, 0.2)),
            mixed(generator, palette, {"fat": 0.5, "lung": 0.5}),
            0,
        )


def neighboured(generator: np.random.Generator, canvas: Canvas, palette: Palette, value: float, alike: float) -> None:
    """Paint up to four round things about the target, as often as `alike` with nearly its `value`."""
    for _ in range(generator.integers(0, 5)):
        size = log_uniform(generator, 0.25, 1.3)
        round_one = beside(generator, shape(generator, ROUND), size, generator.uniform(0.6, 1.15))
        own = (
            value + generator.normal(0, 0.25) * palette.step
            if often(generator, alike)
            else mixed(generator, palette, FLESH)
        )
        level = round_one(canvas.grid.x, canvas.grid.y)
        if often(generator, 0.35):
            canvas.fill(level > -generator.uniform(0.03, 0.1), mixed(generator, palette, {"fat": 0.8, "organ": 0.2}), 0)
        canvas.fill(level > 0, own, _grain(generator, palette))
        if often(generator, 0.15):
            canvas.fill(level > size * generator.uniform(0.1, 0.5), mixed(generator, palette, SOFT), 0)


def vesselled(generator: np.random.Generator, canvas: Canvas, palette: Palette, most: int = 3) -> None:
    """Paint a few vessels, along or across the plane."""
    for _ in range(generator.integers(0, most + 1)):
        size = generator.uniform(0.5, 1.6) if often(generator, 0.4) else generator.uniform(0.05, 0.2)
        drawn = tube(generator) if size > 0.3 else shape(generator, ROUND)
        width = generator.uniform(0.0, 0.15) if size > 0.3 else 0.0
        level = beside(generator, turned(generator, drawn), size, generator.uniform(0.5, 1.4))(
            canvas.grid.x, canvas.grid.y
        )
        canvas.fill(level > width, palette.vessel + generator.normal(0, 0.3) * palette.step, 0)


def boned(generator: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    """Paint a bone near the target: a bright cortex about marrow."""
    size = log_uniform(generator, 0.2, 0.9)
    level = beside(generator, shape(generator, ROUND), size, generator.uniform(0.85, 1.3))(canvas.grid.x, canvas.grid.y)
    canvas.fill(level > 0, palette.cortex, 0)
    canvas.fill(
        level > size * generator.uniform(0.12, 0.5), palette.marrow, abs(palette.marrow - palette.cortex) * 0.08
    )


def beside(generator: np.random.Generator, inner: Shape, size: float, near: float) -> Shape:
    """Return `inner` of `size` beside the target: at `near` 1 the two about touch."""
    angle = generator.uniform(0, TURN)
    far = (1 + size * generator.uniform(0.7, 1.0)) * near
    return moved(inner, far * float(np.cos(angle)), far * float(np.sin(angle)), size)


GROUNDS: Mapping[Ground, float] = {cells: 0.34, clouds: 0.2, planes: 0.3, layers: 0.16}


def _pushed(generator: np.random.Generator, canvas: Canvas) -> tuple[Field, Field]:
    height = np.float32(generator.uniform(0.02, 0.2))
    x, y = canvas.grid
    return x + waves(generator, 1.5, 6).at(x, y) * height, y + waves(generator, 1.5, 6).at(x, y) * height


def _grain(generator: np.random.Generator, palette: Palette) -> float:
    return float(palette.step * generator.uniform(0, 0.35)) if often(generator, 0.6) else 0.0


def _grains(generator: np.random.Generator, palette: Palette, count: int) -> Field:
    return np.array([_grain(generator, palette) for _ in range(count)], np.float32)
