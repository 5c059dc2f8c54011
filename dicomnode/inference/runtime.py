"""What the segmenter asks of a model, and the table of the models that come with the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import ModelIdentity, Plane, Stack, Strategy
from dicomnode.inference.engines import EngineWish

RUNTIMES = {  # model -> its module, whose `load` gives the model; importing this imports no engine
    "box-unet": "dicomnode.inference.box_unet",
    "classical": "dicomnode.inference.classical",
}
DEFAULT = "box-unet"  # what is used where nobody names a model


class Decoded(NamedTuple):
    """What a model found in some boxes of one image.

    `logits` are (box, row, column) float32, inside where > 0; `quality` is the overlap with the truth that the model
    predicts (IoU), (box,) float32, NaN where it predicts none.
    """

    logits: NDArray[np.float32]
    quality: NDArray[np.float32]


class Look(Protocol):
    """How a model sees a stack: chosen once for all of its planes, from all of their values."""

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Return pairs of name and value that say what was chosen, such as the window."""
        ...

    def image(self, plane: Plane) -> NDArray[np.float32]:
        """Return what `encode` takes of a plane, (row, column) or (row, column, 3) float32; any thread may ask."""
        ...


@dataclass(frozen=True, slots=True)
class AsShown:
    """The look of models that make what they need of the values themselves: a plane is what is shown of it."""

    parameters: tuple[tuple[str, str], ...] = ()

    def image(self, plane: Plane) -> NDArray[np.float32]:
        """Return the plane as it is shown, (row, column) or (row, column, 3) float32."""
        return plane.shown().astype(np.float32, copy=False)


class Runtime(Protocol):
    """Turns an image into features once, and boxes on it into masks as often as wanted.

    One thread encodes while another decodes.
    """

    @property
    def identity(self) -> ModelIdentity:
        """Return which algorithm this is."""
        ...

    @property
    def least_side(self) -> float:
        """Return the least side of a box in pixels that it sees something in; narrower ones are grown for it."""
        ...

    @property
    def box_strategy(self) -> Strategy:
        """Return what is best done with a 3-D box where nothing is asked for."""
        ...

    @property
    def fits(self) -> bool:
        """Return whether what it finds in a box that was drawn about an object on its image is to reach its sides."""
        ...

    @property
    def batch(self) -> int:
        """Return how many images it takes at once."""
        ...

    def look(self, stack: Stack, window: str, *, reference: bool) -> Look:
        """Return how it sees `stack` through `window`: auto, a preset or LEVEL/WIDTH; a model may need none.

        `reference` asks for the arithmetic of the model's reference implementation where there is one.
        """
        ...

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Sequence[Any]:
        """Return for each of `images` what the model knows of it before a box is given: its features.

        `images` are what its look gives, or sections through that, all of one shape, at most `batch`; `spacing`
        (between rows, between columns) in mm.
        """
        ...

    def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401 - the engine's own
        """Return what is in `boxes` of the image with `features`.

        `boxes` is (box, 4) float64: x0, y0, x1, y1 in continuous pixel-centre coordinates.
        """
        ...

    def size_of(self, features: Any) -> int:  # noqa: ANN401
        """Return how many bytes `features` take; 0 where they are made again as fast as found, and not to be kept."""
        ...


def load_built_in(name: str, wish: EngineWish | None = None) -> Runtime:
    """Return the model `name` of those that come with the package, on the engine that is wished for if it needs one."""
    runtime: Runtime = import_module(RUNTIMES[name]).load(wish or EngineWish())
    return runtime
