"""Paint a plane with what was found on it, and a strip below that says what it is."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicomnode.dicom.results.colours import BOX_COLOUR, Colour
from dicomnode.dicom.results.marks import NOTICE, Mark
from dicomnode.dicom.results.outlines import outlines_of
from dicomnode.domain import Box

Picture = NDArray[np.uint8]

_LONGER_SIDE, _LEAST_WIDTH = 512, 320  # pixels: smaller pictures have no room for text
_SMALLEST_TEXT, _WIDTH_OF_A_LETTER = 13, 1 / 40  # of the picture's width
_WORDS, _WARNING = (225, 225, 225), (110, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Canvas:
    """How planes of `shape`, (row, column), become pictures, which all have one size.

    Each pixel becomes a square of `factor` pixels; lines are `line` pixels wide; `strip` rows below hold the words.
    """

    shape: tuple[int, int]
    factor: int
    line: int
    strip: int
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont = field(repr=False)

    def paint(self, shown: Picture, marks: Sequence[Mark], words: str) -> Picture:
        """Return the picture of a plane that looks like `shown`, (row, column, 3), with `marks` and `words`.

        Lines go round boxes and masks on the outside: the line of a mask hides nothing that is in it.
        """
        image = shown.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        for mark in marks:
            if mark.box:
                image[self._round_box(mark.box) & ~self._inside(mark)] = BOX_COLOUR
        for mark in marks:
            if mark.inside is not None:
                image[self._round_mask(mark.inside) & ~self._inside(mark)] = mark.colour
        return np.concatenate([image, self._strip(_legend(marks), words)])

    def _inside(self, mark: Mark) -> NDArray[np.bool_]:
        inside = np.zeros(self.shape, dtype=bool) if mark.inside is None else mark.inside
        return inside.repeat(self.factor, axis=0).repeat(self.factor, axis=1)

    def _round_mask(self, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the line round `inside` and in its holes, on the outer side of the pixels' sides."""
        line = np.zeros((self.shape[0] * self.factor, self.shape[1] * self.factor), dtype=bool)
        for outline in outlines_of(inside):
            for loop in (outline.edge, *outline.holes):
                corners = np.rint((loop + 0.5) * self.factor).astype(int)
                for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                    _draw_beside(line, (int(x0), int(y0), int(x1), int(y1)), self.line)
        return line

    def _round_box(self, box: Box) -> NDArray[np.bool_]:
        """Return the line round `box`; where the box ends with the image the line is on the last pixels of that."""
        line = np.zeros((self.shape[0] * self.factor, self.shape[1] * self.factor), dtype=bool)
        corners = np.rint((np.array([(box.x0, box.y0), (box.x1, box.y1)]) + 0.5) * self.factor).astype(int)
        (x0, y0), (x1, y1) = np.clip(corners, self.line, np.array(line.shape[::-1]) - self.line).tolist()
        line[y0 - self.line : y1 + self.line, x0 - self.line : x1 + self.line] = True
        line[y0:y1, x0:x1] = False
        return line

    def _strip(self, legend: Sequence[tuple[str, Colour]], words: str) -> Picture:
        """Return the strip, (row, column, 3), with the notice, `words` and the names that belong to colours."""
        strip = Image.new("RGB", (self.shape[1] * self.factor, self.strip), "black")
        pen, step = ImageDraw.Draw(strip), _step(self.font)
        pen.rectangle((0, 0, strip.width, step - 1), fill=_WARNING)
        for row, text in enumerate((NOTICE, words)):
            middle = (step // 3, (row + 0.5) * step)
            pen.text(middle, _fitted(text, self.font, strip.width - step), fill="white", font=self.font, anchor="lm")
        for left, row, name, colour in _placed(legend, self.font, strip.width):
            top, size = (row + 2) * step, step // 2
            pen.rectangle((left, top + size // 2, left + size, top + size // 2 + size), fill=colour)
            pen.text((left + size * 1.5, top + size), name, fill=_WORDS, font=self.font, anchor="lm")
        return np.array(strip)


def canvas_for(shape: tuple[int, int], marks: Mapping[int, Sequence[Mark]]) -> Canvas:
    """Return a canvas for planes of `shape`, (row, column), on which there is room for the words of all `marks`."""
    rows, columns = shape
    factor = max(1, -(-_LONGER_SIDE // max(rows, columns)), -(-_LEAST_WIDTH // columns))
    font = ImageFont.load_default(max(_SMALLEST_TEXT, round(columns * factor * _WIDTH_OF_A_LETTER)))
    lines = [
        max((row for _, row, _, _ in _placed(_legend(one), font, columns * factor)), default=0)
        for one in marks.values()
    ]
    return Canvas(
        shape=shape,
        factor=factor,
        line=max(1, round(max(rows, columns) * factor / _LONGER_SIDE), min(2, factor // 2)),
        strip=(max(lines) + 3) * _step(font),
        font=font,
    )


def _legend(marks: Sequence[Mark]) -> list[tuple[str, Colour]]:
    box = [("box", BOX_COLOUR)] if any(mark.box for mark in marks) else []
    return [*box, *((_name(mark), mark.colour) for mark in marks)]


def _name(mark: Mark) -> str:
    """Return the number and label of a mask in the letters that the font has, which are those of ASCII."""
    parts = unicodedata.normalize("NFKD", mark.prompt.label)
    label = "".join(letter if letter.isascii() else "?" for letter in parts if not unicodedata.combining(letter))
    named = f"{mark.number} {label}" if any(letter.isalnum() for letter in label) else f"mask {mark.number}"
    return named if mark.inside is not None else f"{named}: nothing found here"


def _draw_beside(line: NDArray[np.bool_], side: tuple[int, int, int, int], width: int) -> None:
    """Draw in `line` along the left of `side`, which goes from x0, y0 to x1, y1 along an axis."""
    x0, y0, x1, y1 = side
    if y0 == y1:
        rows = (y0 - width, y0) if x1 > x0 else (y0, y0 + width)
        columns = (min(x0, x1), max(x0, x1))
    else:
        rows = (min(y0, y1), max(y0, y1))
        columns = (x0, x0 + width) if y1 > y0 else (x0 - width, x0)
    line[max(rows[0], 0) : rows[1], max(columns[0], 0) : columns[1]] = True


def _placed(
    legend: Iterable[tuple[str, Colour]], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> Iterator[tuple[int, int, str, Colour]]:
    """Yield where each name of `legend` begins, how many lines down, what fits of it, and its colour."""
    step = _step(font)
    left, row = step // 3, 0
    for name, colour in legend:
        fitted = _fitted(name, font, width - 2 * step)
        needed = round(font.getlength(fitted)) + step * 3 // 2
        if left + needed > width and left > step // 3:
            left, row = step // 3, row + 1
        yield left, row, fitted, colour
        left += needed


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return as much of `text` as is no wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    ends = (text[:length].rstrip() + "..." for length in range(len(text), 0, -1))
    return next((end for end in ends if font.getlength(end) <= width), "")


def _step(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    """Return the height of a line of text in pixels."""
    return round(font.getbbox("Ag")[3] * 1.4)
