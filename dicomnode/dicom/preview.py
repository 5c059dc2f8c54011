"""Draw what SEGs show: planes of its images with the box, the contour a person drew, and the mask's outline."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicomnode.dicom.results.colours import BOX_COLOUR, colour_of
from dicomnode.dicom.results.outlines import outlines_of
from dicomnode.dicom.results.seg_reading import read_frames
from dicomnode.dicom.shades import rgb, window_of
from dicomnode.domain import Box, Plane, Prompt, Stack

_TILE = 320  # pixels of a tile's longer side
_COLUMNS = 4
_MOST_TILES = 12
_CONTEXT = 0.5  # of the boxes' extent is shown round them on every side
_DRAWN = (0, 190, 255)
_LEGEND = 22


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """The part of a plane that a tile shows, in pixels, and its scale in tile pixels for a pixel (x, y)."""

    x0: int
    y0: int
    x1: int
    y1: int
    scale: tuple[float, float]

    def place(self, points: NDArray[np.float64]) -> list[tuple[float, float]]:
        """Return `points`, (point, 2) x, y in pixel-centre coordinates, as tile pixels."""
        placed = (points + 0.5 - (self.x0, self.y0)) * self.scale
        return [(float(x), float(y)) for x, y in placed]

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the tile."""
        return round((self.x1 - self.x0) * self.scale[0]), round((self.y1 - self.y0) * self.scale[1])


def draw(stack: Stack, prompts: Sequence[Prompt], contents: Iterable[bytes], path: Path) -> None:
    """Write the montage of the SEGs `contents`, read back as a stranger would, over `stack` to `path`."""
    masks: dict[int, dict[str, NDArray[np.bool_]]] = defaultdict(dict)
    for content in contents:
        for frame in read_frames(content, stack, str(path)):
            masks[frame.plane][frame.tracking_uid] = frame.inside
    montage(stack, prompts, masks).save(path, optimize=True)


def montage(
    stack: Stack, prompts: Sequence[Prompt], masks: Mapping[int, Mapping[str, NDArray[np.bool_]]]
) -> Image.Image:
    """Return a picture of up to 12 prompted planes, evenly chosen.

    `masks` maps plane index -> tracking UID of a prompt -> (row, column) bool.
    """
    index_of = {plane.key: index for index, plane in enumerate(stack.planes)}
    prompted = sorted({index_of[key] for prompt in prompts for key in prompt.boxes})
    chosen = [
        prompted[i] for i in np.unique(np.linspace(0, len(prompted) - 1, min(_MOST_TILES, len(prompted))).astype(int))
    ]
    view = _view(stack.planes[0], [box for prompt in prompts for box in prompt.boxes.values()])
    width, height = view.size
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height + _LEGEND), "black")
    for number, index in enumerate(chosen):
        tile = _tile(stack, index, prompts, masks.get(index, {}), view)
        sheet.paste(tile, (number % columns * width, number // columns * height))
    _write_legend(ImageDraw.Draw(sheet), prompts, rows * height)
    return sheet


def _view(plane: Plane, boxes: Iterable[Box]) -> _View:
    """Return the boxes' extent and half as much round it, cut at the image's edges."""
    corners = np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes])
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    margin = np.maximum((high - low) * _CONTEXT, 4)
    rows, columns = plane.stored.shape[:2]
    x0, y0 = np.maximum(np.floor(low - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + margin) + 1, (columns, rows)).astype(int)
    longer = max((x1 - x0) * plane.spacing[1], (y1 - y0) * plane.spacing[0])
    scale = (_TILE * plane.spacing[1] / longer, _TILE * plane.spacing[0] / longer)
    return _View(x0=int(x0), y0=int(y0), x1=int(x1), y1=int(y1), scale=scale)


def _tile(
    stack: Stack, index: int, prompts: Sequence[Prompt], masks: Mapping[str, NDArray[np.bool_]], view: _View
) -> Image.Image:
    plane = stack.planes[index]
    values = plane.shown()
    part = rgb(values, window_of([values]))[view.y0 : view.y1, view.x0 : view.x1]
    tile = Image.fromarray(part).resize(view.size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(tile)
    for number, prompt in enumerate(prompts, start=1):
        for drawn in prompt.outlines.get(plane.key, ()):
            pen.line(view.place(np.vstack([drawn, drawn[:1]])), fill=_DRAWN, width=1)
        if box := prompt.boxes.get(plane.key):
            pen.rectangle(view.place(np.array([(box.x0, box.y0), (box.x1, box.y1)])), outline=BOX_COLOUR)
        if prompt.tracking_uid in masks:
            for outline in outlines_of(masks[prompt.tracking_uid]):
                for loop in (outline.edge, *outline.holes):
                    pen.line(view.place(np.vstack([loop, loop[:2]])), fill=colour_of(number, prompt), width=2)
    pen.text((4, 3), f"plane {index}", fill="white")
    return tile


def _write_legend(pen: ImageDraw.ImageDraw, prompts: Sequence[Prompt], top: int) -> None:
    entries = [("box", BOX_COLOUR), ("contour as drawn", _DRAWN)]
    entries += [(f"mask: {prompt.label}", colour_of(number, prompt)) for number, prompt in enumerate(prompts, start=1)]
    left = 4.0
    for text, colour in entries:
        pen.text((left, top + 5), text, fill=colour)
        left += pen.textlength(text) + 14
