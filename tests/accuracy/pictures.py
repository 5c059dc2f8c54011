"""Draw the objects that a model finds worst: sheets of pictures with the truth, what was found, and the box."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicomnode.domain import Strategy
from dicomnode.inference.runtime import Runtime
from tests.accuracy.measuring import Found, Result, asks_of, masks_of, solid_mask
from tests.accuracy.sets import Case, cases_of
from tests.accuracy.shapes import Extent, Mask, Variant, compare, extent_of

TILE, CAPTION, COLUMNS = 240, 28, 6  # pixels, and tiles in a row
SHOWN, NAME = 2, 16  # planes of an object, and characters of a case's name
WIDER = 0.25  # than the box's values
AROUND = 0.5  # of the box is shown on every side of it
TRUTH, FOUND, BOTH, BOX, INK = (60, 255, 60), (255, 70, 70), (255, 255, 255), (255, 210, 0), (230, 230, 230)
LOW, HIGH = 1, 99  # percentiles of the box that are shown black and white


class Worst(NamedTuple):
    """Where pictures go, of how many objects of each set; `solid` is the strategy for one 3-D box."""

    folder: Path
    objects: int
    solid: Strategy = Strategy.AUTO


class View(NamedTuple):
    """One plane of an object: its truth and what was found there, in the box `extent`, (2, row and column)."""

    image: NDArray[np.float32]
    true: Mask
    found: Mask
    extent: Extent
    caption: str


def draw_worst(worst: Worst, runtime: Runtime, results: Sequence[Result], data: Path) -> list[Path]:
    """Draw the worst objects of each set, a sheet a set and one for its 3-D boxes, and return the files.

    Of each object stand side by side its largest plane and the one of its larger half that was found worst.
    """
    worst.folder.mkdir(parents=True, exist_ok=True)
    sheets = []
    for result in results:
        cases = {case.name: case for case in cases_of(result.set, data)}
        for found, name in ((result.objects, "planes"), (result.solids, "solid")):
            first = sorted(found, key=lambda one: one.scores[Variant.EXACT].model.dice)[: worst.objects]
            views = [view for one in first for view in _views(runtime, cases[one.case], one, worst.solid)]
            if views:
                sheets.append(worst.folder / f"{result.set.replace(' ', '-')}-{name}.png")
                sheet(views).save(sheets[-1])
    return sheets


def sheet(views: Sequence[View | None]) -> Image.Image:
    """Return the pictures of `views` in rows; None leaves a place empty."""
    rows = -(-len(views) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)))
    for number, view in enumerate(views):
        if view:
            page.paste(tile(view), ((number % COLUMNS) * TILE, (number // COLUMNS) * (TILE + CAPTION)))
    return page


def tile(view: View) -> Image.Image:
    """Return the picture of one view: truth green, found red, white where they meet; the box is yellow."""
    sides = np.diff(view.extent, axis=0)[0]
    corner = view.extent.mean(axis=0) - sides.max() * (0.5 + AROUND)
    scale = TILE / (sides.max() * (1 + 2 * AROUND))
    places = [np.rint(corner[axis] + (np.arange(TILE) + 0.5) / scale).astype(int) for axis in (0, 1)]
    inside = [(place >= 0) & (place < size) for place, size in zip(places, view.image.shape, strict=True)]
    at = np.ix_(*(np.clip(place, 0, size - 1) for place, size in zip(places, view.image.shape, strict=True)))
    there = np.outer(*inside)
    picture = np.repeat(_grey(view.image[at], view, there)[..., np.newaxis], 3, axis=2)
    true, found = (_edge(mask[at] & there) for mask in (view.true, view.found))
    for edge, colour in ((true, TRUTH), (found, FOUND), (true & found, BOTH)):
        picture[edge] = colour
    drawn = Image.new("RGB", (TILE, TILE + CAPTION))
    drawn.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(drawn)
    (top, left), (bottom, right) = ((view.extent - corner) * scale).tolist()
    pen.rectangle((left, top, right, bottom), outline=BOX)
    pen.multiline_text((2, TILE + 1), view.caption, fill=INK, spacing=1, font_size=11)
    return drawn


def _grey(crop: NDArray[np.float32], view: View, there: Mask) -> NDArray[np.uint8]:
    """Return `crop` of the image, 0..255, in the range of what is in the box, a little wider; black where none is."""
    (top, left), (bottom, right) = np.rint(view.extent).astype(int).clip(0).tolist()
    low, high = np.percentile(view.image[top : bottom + 1, left : right + 1], (LOW, HIGH))
    low, high = low - WIDER * (high - low), high + WIDER * (high - low)
    shown = np.clip((crop - low) / max(high - low, 1e-6), 0, 1) * 255 * there
    return np.asarray(shown, np.uint8)


def _edge(mask: Mask) -> Mask:
    """Return the pixels of `mask` that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~core


def _views(runtime: Runtime, case: Case, one: Found, strategy: Strategy) -> list[View | None]:
    """Return the views of one object: found again, as no mask is kept while measuring."""
    true = case.labels == one.label
    if one.solid:
        whole = extent_of(true)
        mask, _ = solid_mask(runtime, case, whole, strategy)
        masks = {plane: (mask[plane], whole[:, 1:]) for plane in np.flatnonzero(true.any(axis=(1, 2))).tolist()}
    else:
        asks = [ask for ask in asks_of(case, [Variant.EXACT]) if ask.label == one.label]
        masks = {ask.plane: (mask, ask.extent) for ask, mask, _ in masks_of(runtime, case, asks)}
    sizes = {plane: int(np.count_nonzero(true[plane])) for plane in masks}
    scores = {plane: compare(mask, true[plane]).dice for plane, (mask, _) in masks.items()}
    largest = max(sizes, key=lambda plane: sizes[plane])
    large = sorted(sizes, key=lambda plane: -sizes[plane])[: max(1, len(sizes) // 2)]
    shown = dict.fromkeys([largest, min(large, key=lambda plane: scores[plane])])
    score = one.scores[Variant.EXACT]
    name = f"{one.label}: {score.model.dice:.3f}, ellipse {score.shape.dice:.3f}; {case.name[:NAME]}"
    views: list[View | None] = [
        View(
            image=case.image[plane],
            true=true[plane],
            found=masks[plane][0],
            extent=masks[plane][1],
            caption=f"{name}\nplane {plane}: {scores[plane]:.3f}, {sizes[plane]} pixels",
        )
        for plane in shown
    ]
    return views if len(views) == SHOWN else [*views, None]
