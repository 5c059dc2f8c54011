"""Hold the image in work: the value and the grain of every sample, and what lies near the target."""

from dataclasses import dataclass

import numpy as np

from dicomnode.training.scenes.anatomy import Subject
from dicomnode.training.scenes.fields import Field, Grid, Inside, blurred, white
from dicomnode.training.scenes.shapes import Shape


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Canvas:
    """Hold `value` and `grain` (deviation of the texture), painted in place, the target, its like and its spaces."""

    grid: Grid
    target: Inside
    others: Inside
    spaces: Inside
    value: Field
    grain: Field

    def fill(self, inside: Inside, value: float | Field, grain: float) -> None:
        """Paint `inside` (row, column) bool with `value`, one or (row, column), and `grain`."""
        np.copyto(self.value, value, where=inside)
        np.copyto(self.grain, np.float32(grain), where=inside)

    def near(self, units: float) -> Field:
        """Return how much of the target lies about a sample, 0..1: 0.5 at its edge, 0.84 one `units` inside."""
        rows, columns = self.grid.pitch
        return blurred(self.target.astype(np.float32), units / rows, units / columns)

    def soft(self, image: Field, units: float) -> Field:
        """Return `image` under a Gaussian of `units`."""
        rows, columns = self.grid.pitch
        return blurred(image, units / rows, units / columns)

    def textured(self, generator: np.random.Generator) -> Field:
        """Return the values with their grain: fine or coarse, as one texture over all tissues."""
        texture = self.soft(white(generator, self.grid.shape), float(generator.uniform(0.01, 0.12)))
        found: Field = self.value + self.grain * texture / np.float32(max(float(texture.std()), 1e-6))
        return found


def canvas(grid: Grid, subject: Subject, target: Inside, value: float) -> Canvas:
    """Return a canvas of one value without grain."""
    return Canvas(
        grid=grid,
        target=target,
        others=_inside_any(grid, subject.others),
        spaces=_inside_any(grid, subject.spaces),
        value=np.full(grid.shape, value, np.float32),
        grain=np.zeros(grid.shape, np.float32),
    )


def _inside_any(grid: Grid, shapes: tuple[Shape, ...]) -> Inside:
    found = np.zeros(grid.shape, np.bool_)
    for shape in shapes:
        found |= shape(grid.x, grid.y) > 0
    return found
