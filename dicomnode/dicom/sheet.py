"""Lay the views of a stack out on one sheet, with the patient's sides beside them and a legend below."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from dicomnode.dicom.views import View, views_of
from dicomnode.domain import Stack

_COLUMNS = 4
_SIDE, _LINE = 36, 18  # pixels: beside a view, for up to three letters; above and below it, and a line of the legend
_FONT = ImageFont.load_default(13)
_LETTER, _WORDS, _EDGE = (255, 210, 0), (200, 200, 200), (70, 70, 70)


def sheet(stack: Stack, legend: Sequence[str]) -> Image.Image:
    """Return the views of `stack`, all of one scale, above the lines of `legend`."""
    tiles = [_framed(view) for view in views_of(stack)]
    rows = [tiles[start : start + _COLUMNS] for start in range(0, len(tiles), _COLUMNS)]
    heights = [max(tile.height for tile in row) for row in rows]
    widths = [sum(tile.width for tile in row) for row in rows]
    written = max(round(_FONT.getlength(line)) for line in legend) + _LINE
    made = Image.new("RGB", (max(*widths, written), sum(heights) + _LINE * (len(legend) + 1)), "black")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for tile in row:
            made.paste(tile, (left, top))
            left += tile.width
        top += height
    pen = ImageDraw.Draw(made)
    for number, line in enumerate(legend):
        pen.text((_LINE // 2, top + _LINE // 2 + number * _LINE), line, fill=_WORDS, font=_FONT)
    return made


def _framed(view: View) -> Image.Image:
    """Return `view` with its caption above, and its letters at its four sides."""
    height, width = view.picture.shape[:2]
    framed = Image.new("RGB", (width + 2 * _SIDE, height + 3 * _LINE), "black")
    framed.paste(Image.fromarray(view.picture), (_SIDE, 2 * _LINE))
    pen = ImageDraw.Draw(framed)
    pen.rectangle((_SIDE - 1, 2 * _LINE - 1, _SIDE + width, 2 * _LINE + height), outline=_EDGE)
    pen.text((_SIDE, _LINE / 2), view.caption, fill=_WORDS, font=_FONT, anchor="lm")
    if view.letters:
        middle, centre = _SIDE + width / 2, 2 * _LINE + height / 2
        places = {
            (_SIDE / 2, centre): view.letters.left,
            (width + 1.5 * _SIDE, centre): view.letters.right,
            (middle, 1.5 * _LINE): view.letters.top,
            (middle, height + 2.5 * _LINE): view.letters.bottom,
        }
        for place, letters in places.items():
            pen.text(place, letters, fill=_LETTER, font=_FONT, anchor="mm")
    return framed
