"""LiteMedSAM as a model: what its network needs of images and boxes, and what it answers, on any engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Plane, Stack, Strategy
from dicomnode.inference.engines import Engine
from dicomnode.inference.learnt import check_numbers, identity_of
from dicomnode.inference.runtime import Decoded
from dicomnode.inference.transforms import Framing, boxes_to_network, from_network, to_network
from dicomnode.inference.windows import Window, to_byte_range, window_of


class Features(NamedTuple):
    """What an engine knows of an image, and how the image lies in the square that it saw."""

    of_square: Any
    framing: Framing


@dataclass(frozen=True, slots=True)
class Windowed:
    """The look through one window at all planes of a stack."""

    window: Window
    reference: bool

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Return the window's name."""
        return (("window", self.window.text),)

    def image(self, plane: Plane) -> NDArray[np.float32]:
        """Return the grey levels of a plane, (row, column) float32 0..255, or its colours, (row, column, 3)."""
        return to_byte_range(plane.shown().astype(np.float32, copy=False), self.window, reference=self.reference)


class LiteMedSamRuntime:
    """LiteMedSAM on an engine; `reference` repeats the arithmetic of its reference implementation bit for bit."""

    least_side = 3.0
    box_strategy = Strategy.PROPAGATE
    fits = False  # it answers as its reference does

    def __init__(self, name: str, weights: str, engine: Engine, *, reference: bool = False) -> None:
        self.reference = reference
        self.batch = engine.batch
        arithmetic = (("arithmetic", "reference"),) if reference else ()
        self.identity = identity_of(name, weights, engine.identity, *arithmetic)
        self._engine = engine

    def look(self, stack: Stack, window: str, *, reference: bool) -> Windowed:
        """Return the look at `stack` through `window`: auto, a preset or LEVEL/WIDTH.

        A model that is not loaded for `reference`, or for it alone, cannot change its arithmetic: a ValueError.
        """
        if reference is not self.reference:
            raise ValueError(f"the model is loaded with reference={self.reference}, and {reference} is asked for")
        return Windowed(window_of(stack, window, reference=reference), reference)

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Features]:  # noqa: ARG002 - pixels are what it learnt from
        """Return the features of `images`, (row, column) or (row, column, 3) float32 in 0..255."""
        squares, framings = zip(*(to_network(image, reference=self.reference) for image in images), strict=True)
        found = self._engine.encode(np.stack(squares))
        return [Features(of_square, framing) for of_square, framing in zip(found, framings, strict=True)]

    def decode(self, features: Features, boxes: NDArray[np.float64]) -> Decoded:
        """Return what is in `boxes`; logits that are no numbers are refused as BAD_MODEL."""
        in_square = boxes_to_network(boxes, features.framing, reference=self.reference)
        answers = self._engine.decode(features.of_square, in_square)
        logits, quality = check_numbers(answers, self.identity.name, self._engine.identity)
        return Decoded(logits=from_network(logits, features.framing), quality=quality)

    def size_of(self, features: Features) -> int:
        """Return how many bytes `features` take."""
        return self._engine.size_of(features.of_square)
