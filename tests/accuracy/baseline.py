"""The model to be better than: `--model tests.accuracy.baseline:FillsTheEllipse` measures it as any other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.runtime import Decoded
from tests.accuracy.shapes import filled
from tests.fakes import FillsTheBox, Size


@dataclass(frozen=True, slots=True)
class FillsTheEllipse(FillsTheBox):
    """A model for which all that is in the ellipse inscribed in a box belongs to the object."""

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        """Return the logit 1 where a pixel's centre is in the ellipse, -1 elsewhere."""
        extents = [np.array([(y0, x0), (y1, x1)]) for x0, y0, x1, y1 in boxes]
        inside = np.stack([filled(extent, tuple(features)) for extent in extents])
        logits = np.where(inside, np.float32(1), np.float32(-1))
        return Decoded(logits=logits, quality=np.full(len(boxes), np.nan, np.float32))
