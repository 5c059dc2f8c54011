"""Say what pictures show of findings on each plane, and in which colours."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.results.colours import Colour, colour_of
from dicomnode.dicom.results.findings import Findings
from dicomnode.domain import Box, Prompt

NOTICE = "For visual check only - not for diagnosis"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mark:
    """What is to be seen of mask `number`, counted from 1, on one plane: its box, its pixels, or both.

    `inside` is (row, column) bool, with a pixel inside.
    """

    number: int
    prompt: Prompt
    box: Box | None
    inside: NDArray[np.bool_] | None = field(repr=False)

    @property
    def colour(self) -> Colour:
        """Return the colour of the mask."""
        return colour_of(self.number, self.prompt)


def marks_of(findings: Findings) -> Mapping[int, tuple[Mark, ...]]:
    """Return what there is to see on each plane that has a box or a mask, by the plane's index, ascending."""
    index_of = {plane.key: index for index, plane in enumerate(findings.stack.planes)}
    found: dict[int, list[Mark]] = defaultdict(list)
    for number, mask in enumerate(findings.masks, start=1):
        boxes = {index_of[key]: box for key, box in mask.prompt.boxes.items() if key in index_of}
        planes = {index: inside for index, inside in mask.planes.items() if inside.any()}
        for index in boxes.keys() | planes.keys():
            found[index].append(Mark(number=number, prompt=mask.prompt, box=boxes.get(index), inside=planes.get(index)))
    return {index: tuple(found[index]) for index in sorted(found)}
