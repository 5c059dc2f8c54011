"""Draw the learning curve of a training."""

from collections.abc import Mapping, Sequence
from math import floor, isfinite, log10
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from dicomnode.training.history import STEP

CURVE_NAME = "curve.png"

_SIZE = (900, 540)
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 44, 870, 480  # of the axes
_TICK, _GAP = 6, 10
_COLOURS = {"train": (31, 119, 180), "validation": (214, 85, 20)}
_INK, _GRID = (40, 40, 40), (225, 225, 225)
_FONT = ImageFont.load_default(14)
_INTERVALS = 6  # at the most, between the ticks of an axis

Lines = Mapping[str, Sequence[tuple[float, float]]]


class _Axis(NamedTuple):
    """The ticks of an axis, and the pixels that its ends lie at."""

    ticks: tuple[float, ...]
    start: int
    end: int

    def at(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def draw_curve(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the train and the validation loss of `rows` over their steps into a PNG file, with axes and a legend."""
    lines = {
        name: [(row[STEP], row[f"{name}_loss"]) for row in rows if isfinite(row[f"{name}_loss"])] for name in _COLOURS
    }
    picture = Image.new("RGB", _SIZE, "white")
    pen = ImageDraw.Draw(picture)
    across = _Axis(_ticks([x for line in lines.values() for x, _ in line]), _LEFT, _RIGHT)
    up = _Axis(_ticks([y for line in lines.values() for _, y in line]), _BOTTOM, _TOP)
    _draw_axes(pen, across, up)
    for number, (name, line) in enumerate(lines.items()):
        places = [(across.at(x), up.at(y)) for x, y in line]
        pen.line(places, fill=_COLOURS[name], width=2, joint="curve")
        for x, y in places if len(places) <= _MARKED else ():
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_COLOURS[name])
        _draw_legend(pen, number, name, line)
    part = path.with_name(f".{path.name}.part")
    picture.save(part, format="PNG")
    part.replace(path)


_MARKED = 60  # points of a line, up to which each has a mark


def _draw_axes(pen: ImageDraw.ImageDraw, across: _Axis, up: _Axis) -> None:
    for tick in across.ticks:
        x = across.at(tick)
        pen.line((x, _TOP, x, _BOTTOM + _TICK), fill=_GRID)
        pen.text((x, _BOTTOM + _GAP), f"{tick:g}", fill=_INK, font=_FONT, anchor="mt")
    for tick in up.ticks:
        y = up.at(tick)
        pen.line((_LEFT - _TICK, y, _RIGHT, y), fill=_GRID)
        pen.text((_LEFT - _GAP, y), f"{tick:g}", fill=_INK, font=_FONT, anchor="rm")
    pen.line((_LEFT, _TOP, _LEFT, _BOTTOM, _RIGHT, _BOTTOM), fill=_INK)
    pen.text(((_LEFT + _RIGHT) / 2, _SIZE[1] - _GAP), STEP, fill=_INK, font=_FONT, anchor="mb")
    pen.text((_LEFT - _GAP, _TOP - _GAP), "loss", fill=_INK, font=_FONT, anchor="rb")


def _draw_legend(pen: ImageDraw.ImageDraw, number: int, name: str, line: Sequence[tuple[float, float]]) -> None:
    """Write the name of a line and its least value above the axes."""
    x, y = _LEFT + 40 + number * 300, _TOP / 2
    pen.line((x, y, x + 30, y), fill=_COLOURS[name], width=3)
    least = f", least {min(y for _, y in line):.4g}" if line else ""
    pen.text((x + 40, y), f"{name}{least}", fill=_INK, font=_FONT, anchor="lm")


def _ticks(values: Sequence[float]) -> tuple[float, ...]:
    """Return round numbers at even distances, from below the least of `values` to above the greatest."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / _INTERVALS
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))
