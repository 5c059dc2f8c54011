"""Stand-ins that behave: a model that fills its boxes, one that ends its process, a small PACS on a free port."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Code, ModelIdentity, Stack, Strategy
from dicomnode.inference.runtime import AsShown, Decoded
from dicomnode.network.loopback import Loopback

__all__ = ["BRIGHT", "EndsTheProcess", "FillsTheBox", "FindsBright", "Loopback", "Size", "WaitsAtTheGate"]

BRIGHT = 100  # the least value of what is bright

_IDENTITY = ModelIdentity(
    name="fills the box",
    version="1",
    family=Code(value="123110", scheme="DCM", meaning="Artificial Intelligence"),
    source="a test",
    parameters=(),
)


class Size(NamedTuple):
    """All that a model without interest in values knows of an image."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class FillsTheBox:
    """A model for which everything in a box belongs to the object."""

    identity: ModelIdentity = _IDENTITY
    least_side: float = 1.0
    box_strategy: Strategy = Strategy.PROPAGATE
    fits = False
    batch: int = 1

    def look(self, stack: Stack, window: str, *, reference: bool) -> AsShown:  # noqa: ARG002
        """Return the look at planes as they are shown."""
        return AsShown()

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:  # noqa: ARG002
        """Return the images' sizes."""
        return [Size(*image.shape[:2]) for image in images]

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        """Return the logit 1 where a pixel's centre is in the box, -1 elsewhere."""
        y, x = np.mgrid[: features.rows, : features.columns]
        inside = [(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1) for x0, y0, x1, y1 in boxes]
        logits = np.where(np.stack(inside), np.float32(1), np.float32(-1))
        return Decoded(logits=logits, quality=np.full(len(boxes), np.nan, np.float32))

    def size_of(self, features: Size) -> int:  # noqa: ARG002
        """Return what is no memory worth saving."""
        return 16


@dataclass(frozen=True, slots=True)
class FindsBright(FillsTheBox):
    """A model for which what is bright in a box belongs to the object; it remembers what it was asked.

    Its quality is how much of all that is bright on the image the box shows; `encoded` has the first value of each
    image, `decoded` that of the image, and the boxes of each call.
    """

    encoded: list[float] = field(default_factory=list)
    decoded: list[tuple[float, list[list[float]]]] = field(default_factory=list)

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Any:  # noqa: ANN401, ARG002
        """Return the images themselves."""
        self.encoded.extend(float(image.flat[0]) for image in images)
        return list(images)

    def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
        """Return the logit 1 where a pixel is bright and in the box, -1 elsewhere."""
        self.decoded.append((float(features.flat[0]), boxes.tolist()))
        size = Size(*features.shape[:2])
        filled = FillsTheBox().decode(size, boxes).logits > 0
        bright = features >= BRIGHT
        inside = filled & bright
        quality = inside.sum(axis=(1, 2)) / max(1, np.count_nonzero(bright))
        return Decoded(logits=np.where(inside, 1, -1).astype(np.float32), quality=quality.astype(np.float32))

    def size_of(self, features: Any) -> int:  # noqa: ANN401
        """Return the bytes of the image."""
        return int(features.nbytes)


@dataclass(frozen=True, slots=True)
class EndsTheProcess(FillsTheBox):
    """A model that kills the process it runs in, as a crash in a decoder does."""

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:  # noqa: ARG002
        """End the process."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class WaitsAtTheGate(FillsTheBox):
    """A model that says in `folder` which process waits, and goes on once there is a file `open` in there."""

    folder: Path = Path()

    def __call__(self) -> "WaitsAtTheGate":
        """Return the model: it is its own loader."""
        return self

    @property
    def waiting(self) -> set[int]:
        """Return the processes that came to the gate."""
        return {int(path.name) for path in self.folder.glob("[0-9]*")}

    def let_go(self) -> None:
        """Open the gate."""
        (self.folder / "open").touch()

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:
        """Wait at the gate."""
        (self.folder / str(os.getpid())).touch()
        while not (self.folder / "open").exists():
            time.sleep(0.02)
        return FillsTheBox.encode(self, images, spacing)
