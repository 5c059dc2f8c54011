"""Stand-ins that behave: a model that fills its boxes, one that ends its process, a small PACS on a free port."""

import os
import signal
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Code, ModelIdentity
from dicomnode.network.loopback import Loopback

__all__ = ["EndsTheProcess", "FillsTheBox", "Loopback"]

_IDENTITY = ModelIdentity(
    name="fills the box",
    version="1",
    family=Code(value="123110", scheme="DCM", meaning="Artificial Intelligence"),
    source="a test",
    parameters=(),
)


@dataclass(frozen=True, slots=True)
class FillsTheBox:
    """A model for which everything in a box belongs to the object."""

    identity: ModelIdentity = _IDENTITY
    least_side: float = 1.0

    def encode(self, image: NDArray[np.float32], spacing: tuple[float, float]) -> tuple[int, int]:  # noqa: ARG002
        """Return the image's (rows, columns)."""
        rows, columns = image.shape[:2]
        return rows, columns

    def decode(self, features: tuple[int, int], boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return (box, row, column) float32: 1 where a pixel's centre is inside, -1 elsewhere."""
        rows, columns = features
        y, x = np.mgrid[:rows, :columns]
        return np.stack(
            [
                np.where((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1), np.float32(1), np.float32(-1))
                for x0, y0, x1, y1 in boxes
            ]
        )


@dataclass(frozen=True, slots=True)
class EndsTheProcess(FillsTheBox):
    """A model that kills the process it runs in, as a crash in a decoder does."""

    def encode(self, image: NDArray[np.float32], spacing: tuple[float, float]) -> tuple[int, int]:  # noqa: ARG002
        """End the process."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")
