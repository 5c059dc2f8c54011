"""The built-in model `box-unet`: a small network, trained for dicomnode, that looks at a crop about each box.

Its weights come with the package. A crop is of one box on one plane, and shows as much of what is around it as half of
the box's width and height, so that the size of the image does not matter.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Stack, Strategy
from dicomnode.inference.boxes import clipped
from dicomnode.inference.crops import OUTSIDE, SIDE, crops_of, placed
from dicomnode.inference.engines import Answers, EngineWish, Network, open_network
from dicomnode.inference.grey import grey_of
from dicomnode.inference.learnt import check_numbers, identity_of
from dicomnode.inference.library import check_files, shipped_model
from dicomnode.inference.runtime import AsShown, Decoded

NAME = "box-unet"
MOST_CROPS = 32  # that are run together, of each of which the network holds about 2 MiB
LIFTED = np.float32(1e-3)  # the logit of the likeliest pixel of a box in which none is likely

Grey = NDArray[np.float32]


class BoxUnetRuntime:
    """The built-in network on an engine; `weights` is the sha256 of its weights."""

    least_side = 2.0
    box_strategy = Strategy.THREE_VIEW
    fits = True
    batch = 1  # an image is encoded by hardly more than keeping it

    def __init__(self, weights: str, network: Network) -> None:
        self.identity = identity_of(NAME, weights, network.identity)
        self._network = network

    def look(self, stack: Stack, window: str, *, reference: bool) -> AsShown:  # noqa: ARG002 - it needs no window
        """Return how planes are looked at: as they are shown, as each crop has its own range of values."""
        return AsShown()

    def encode(self, images: Sequence[Grey], spacing: tuple[float, float]) -> list[Grey]:  # noqa: ARG002 - a box is resampled to a square, whatever its shape
        """Return the grey values of `images`, which are as `grey_of` takes them."""
        return [grey_of(image) for image in images]

    def decode(self, features: Grey, boxes: NDArray[np.float64]) -> Decoded:
        """Return what is in `boxes`, clipped to the image; logits that are no numbers are refused as BAD_MODEL."""
        within = clipped(boxes, features.shape)
        logits, quality = self._answers(features, within)
        found = placed(logits, within, (features.shape[0], features.shape[1]))
        for plane in found:
            _lift(plane)
        return Decoded(found, quality)

    def size_of(self, features: Grey) -> int:  # noqa: ARG002
        """Return 0: features are the image, and not worth keeping."""
        return 0

    def _answers(self, image: Grey, boxes: NDArray[np.float64]) -> Answers:
        """Return what the network says of the crops about `boxes`: (box, 64, 64) float32 logits, and qualities."""
        logits, quality = np.empty((len(boxes), SIDE, SIDE), np.float32), np.empty(len(boxes), np.float32)
        for start in range(0, len(boxes), MOST_CROPS):
            part = slice(start, start + MOST_CROPS)
            logits[part], quality[part] = self._network.run(crops_of(image, boxes[part]))
        return check_numbers((logits, quality), NAME, self._network.identity)


def load(wish: EngineWish) -> BoxUnetRuntime:
    """Return the model on the engine that is wished for; a file of it that is missing or has changed is refused."""
    model = shipped_model(NAME)
    check_files(model)
    return BoxUnetRuntime(model.lineage.weights_sha256, open_network(wish, model.folder))


def _lift(logits: Grey) -> None:
    """Let the likeliest pixel of a box, whose `logits` on the image these are, be inside: a box is a promise.

    The others keep what is said of them, as it is added up where sections of several directions are.
    """
    said = logits[logits != OUTSIDE] if logits.max() <= 0 else None
    if said is not None and said.size:
        logits[logits == said.max()] = LIFTED
