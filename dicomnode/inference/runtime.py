"""What the segmenter asks of a model, and the table of the models there are."""

from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import ModelIdentity
from dicomnode.errors import SettingsError

RUNTIMES = {  # model -> (module, class); importing this imports no engine
    "classical": ("dicomnode.inference.classical", "ClassicalRuntime"),
}


class Runtime(Protocol):
    """Turns an image into features once, and boxes on it into masks as often as wanted."""

    @property
    def identity(self) -> ModelIdentity:
        """Return which algorithm this is."""
        ...

    @property
    def least_side(self) -> float:
        """Return the least side of a box in pixels that it sees something in; narrower ones are grown for it."""
        ...

    def encode(self, image: NDArray[np.float32], spacing: tuple[float, float]) -> Any:  # noqa: ANN401 - the engine's own
        """Return what the model knows of `image` before a box is given.

        `image` is (row, column) float32 in the modality's units, or (row, column, 3) float32 red, green and blue in
        0..255, of which the model makes what it needs; `spacing` (between rows, between columns) in mm.
        """

    def decode(self, features: Any, boxes: NDArray[np.float64]) -> NDArray[np.float32]:  # noqa: ANN401
        """Return logits, (box, row, column) float32, inside where > 0.

        `boxes` is (box, 4) float64: x0, y0, x1, y1 in continuous pixel-centre coordinates.
        """
        ...


def load_runtime(name: str) -> Runtime:
    """Return the model called `name`."""
    if name not in RUNTIMES:
        raise SettingsError(f"model {name!r}", f"there is no such model; there are: {', '.join(sorted(RUNTIMES))}")
    module, attribute = RUNTIMES[name]
    runtime: Runtime = getattr(import_module(module), attribute)()
    return runtime
