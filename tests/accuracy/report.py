"""Say what was measured: a table, a file of all objects, JSON."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from tests.accuracy.bars import BARS, MOST_LOSS
from tests.accuracy.measuring import Found, Result
from tests.accuracy.shapes import Variant

WIDTH = 18


def table(results: Sequence[Result], model: str) -> str:
    """Return the tables of planes and of 3-D boxes."""
    parts = [_planes(results, model), *_solids(results, model), *_quality(results), _cases(results)]
    return "\n\n".join(parts) + "\n"


def means(found: Sequence[Found], variant: Variant) -> tuple[float, float]:
    """Return the mean Dice of the model and of the filled shape over objects, NaN over none."""
    if not found:
        return math.nan, math.nan
    scores = [one.scores[variant] for one in found]
    return fmean(score.model.dice for score in scores), fmean(score.shape.dice for score in scores)


def write_objects(path: Path, results: Sequence[Result]) -> None:
    """Write a line for each object and kind of box."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "case", "label", "3-D box", "planes", "voxels", "box", "dice", "ellipse", "quality"])
        for result in results:
            for one in (*result.objects, *result.solids):
                writer.writerows(_lines(one))


def as_json(results: Sequence[Result], model: str) -> str:
    """Return the means of each set by kind of box, with the cases that were judged."""
    sets = {
        result.set: {
            "cases": result.cases,
            "objects": len(result.objects),
            "planes": sum(one.planes for one in result.objects),
            "per_plane": _means_by_variant(result.objects),
            "solid": _means_by_variant(result.solids),
        }
        for result in results
    }
    return json.dumps({"model": model, "sets": sets}, indent=2) + "\n"


def _planes(results: Sequence[Result], model: str) -> str:
    head = ["objects", "planes", model[:11], "ellipse", "bar", "", "10 % large", "loss", "ellipse", "20 %", "shifted"]
    lines = [_line("a box a plane", head)]
    for result in results:
        found, bar = result.objects, BARS[result.set]
        exact, ellipse = means(found, Variant.EXACT)
        loose, loose_ellipse = means(found, Variant.LOOSE_10)
        cells = [str(len(found)), str(sum(one.planes for one in found)), _figure(exact), _figure(ellipse)]
        cells += [_figure(bar.planes), _verdict(exact, bar.planes)]
        cells += [_figure(loose), _figure(exact - loose) + ("" if exact - loose <= MOST_LOSS else "!")]
        cells += [_figure(loose_ellipse)]
        cells += [_figure(means(found, variant)[0]) for variant in (Variant.LOOSE_20, Variant.SHIFTED)]
        lines.append(_line(result.set, cells))
    judged = [result for result in results if BARS[result.set].planes is not None and result.objects]
    exact, ellipse = (
        fmean(means(one.objects, Variant.EXACT)[k] for one in judged) if judged else math.nan for k in (0, 1)
    )
    lines.append(_line("mean with a bar", [str(len(judged)), "", _figure(exact), _figure(ellipse)]))
    return "\n".join(lines)


def _solids(results: Sequence[Result], model: str) -> Iterator[str]:
    """Yield the table of 3-D boxes; nothing where none was measured."""
    measured = [result for result in results if result.solids]
    if not measured:
        return
    lines = [
        _line("one 3-D box", ["objects", "planes", model[:11], "ellipsoid", "bar", "", "10 % large", "", "ellipsoid"])
    ]
    for result in measured:
        found, bar = result.solids, BARS[result.set]
        exact, ellipsoid = means(found, Variant.EXACT)
        loose, loose_ellipsoid = means(found, Variant.LOOSE_10)
        cells = [str(len(found)), str(sum(one.planes for one in found)), _figure(exact), _figure(ellipsoid)]
        cells += [_figure(bar.solid), _verdict(exact, bar.solid), _figure(loose), "", _figure(loose_ellipsoid)]
        lines.append(_line(result.set, cells))
    yield "\n".join(lines)


def _quality(results: Sequence[Result]) -> Iterator[str]:
    """Yield a sentence on how far the predicted overlaps (IoU) of planes are the true ones; nothing without any."""
    scores = [score for result in results for one in result.objects for score in one.by_plane]
    known = [(score.quality, score.model.overlap) for score in scores if not math.isnan(score.quality)]
    if len(known) > 1:
        said, true = np.array(known).T
        r = np.corrcoef(said, true)[0, 1] if np.ptp(said) and np.ptp(true) else math.nan
        error = np.abs(said - true).mean()
        yield f"predicted overlap: r = {r:.2f} to the true one on {len(known)} planes, off by {error:.3f} in the mean"


def _cases(results: Sequence[Result]) -> str:
    lines = (f"{result.set:<{WIDTH}}  {', '.join(result.cases) or 'none'}" for result in results)
    return "\n".join(["judged on", *lines])


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<{WIDTH}}" + "".join(f"{cell:>12}" for cell in cells).rstrip()


def _figure(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _verdict(value: float, bar: float | None) -> str:
    """Return whether the bar is met, as it is printed: to three digits."""
    if bar is None or math.isnan(value):
        return ""
    return "met" if round(value, 3) >= bar else f"{value - bar:+.3f}"


def _lines(one: Found) -> Iterator[list[object]]:
    for variant, score in one.scores.items():
        dices = (f"{score.model.dice:.4f}", f"{score.shape.dice:.4f}", f"{score.quality:.3f}")
        yield [one.set, one.case, one.label, int(one.solid), one.planes, score.model.true, variant.value, *dices]


def _means_by_variant(found: Sequence[Found]) -> dict[str, dict[str, float]]:
    variants = found[0].scores if found else ()
    pairs = {variant: means(found, variant) for variant in variants}
    return {variant.value: {"model": round(one, 4), "ellipse": round(two, 4)} for variant, (one, two) in pairs.items()}
