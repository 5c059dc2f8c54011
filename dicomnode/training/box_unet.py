"""Train `box-unet`: what it is shown, what it is told of its answers, and how well it does on other samples."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dicomnode.inference.crops import BOX
from dicomnode.inference.networks.box_unet import BoxUnet
from dicomnode.training.objects import Objects
from dicomnode.training.samples import Samples
from dicomnode.training.scenes import drawn
from dicomnode.training.schedule import Setting

# What counts outside the box, of 1 inside: there the answer is not used, but the way to it is the same.
OUTSIDE_WEIGHT = 0.1
QUALITY_WEIGHT = 0.3
VALIDATION_COUNT = 768
HALF = 0.5  # of a pixel is inside
_VALIDATION = 1 << 40  # a step that no training comes to


class Shown(NamedTuple):
    """Samples as tensors, on the network's device."""

    crops: Tensor
    truths: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxUnetTask:
    """Boxes on drawn scenes, of which `real` takes the place of `real_share` where there are some."""

    network: BoxUnet
    seed: int
    size: int
    real: Objects | None = None
    real_share: float = 0.0
    _validation: list[Samples] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Setting]:
        """Return what decides what is learnt."""
        known = self.real.digest if self.real else None
        return {
            "task": "box-unet",
            "seed_of_samples": self.seed,
            "batch": self.size,
            "real": known,
            "real_share": self.real_share,
        }

    def batch(self, step: int) -> Samples:
        """Return the samples of `step`, the same at every call."""
        return self._samples(step, self.size)

    def losses(self, network: torch.nn.Module, batch: Shown) -> dict[str, Tensor]:
        """Return the loss of `batch`, and its parts."""
        logits, quality = network(batch.crops)
        return _losses(logits.float(), quality.float(), batch)

    def validate(self, network: torch.nn.Module) -> dict[str, float]:
        """Return the loss and the mean Dice of the masks, in their boxes, on samples that no step shows.

        Those of `real` are of the same cases as in training, so that they say nothing of other patients.
        """
        if not self._validation:
            self._validation.append(self._samples(_VALIDATION, VALIDATION_COUNT))
        device = next(network.parameters()).device
        shown = Shown(*(torch.from_numpy(one).to(device) for one in self._validation[0]))
        answers = [network(part) for part in torch.split(shown.crops, self.size)]
        logits, quality = (torch.cat(parts).float() for parts in zip(*answers, strict=True))
        box = shown.crops[:, BOX]
        found, inside = (logits > 0) * box, (shown.truths > HALF) * box
        dice = 2 * (found * inside).sum((1, 2)) / (found + inside).sum((1, 2)).clamp(min=1)
        losses = {name: float(value) for name, value in _losses(logits, quality, shown).items()}
        return losses | {"mean_dice": float(dice.mean())}

    def _samples(self, step: int, count: int) -> Samples:
        generator = np.random.default_rng((self.seed, step))
        samples = Samples.empty(count)
        for number in range(count):
            if self.real is not None and generator.random() < self.real_share:
                image, truth = self.real.drawn(generator)
            else:
                image, truth, _ = drawn(generator)
            samples.put(number, image, truth, generator)
        return samples


def _losses(logits: Tensor, quality: Tensor, shown: Shown) -> dict[str, Tensor]:
    """Return cross entropy, Dice loss, the squared error of the quality, and the loss that they make."""
    weights = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * shown.crops[:, BOX]
    entropy = functional.binary_cross_entropy_with_logits(logits, shown.truths, weights)
    shares, inside = logits.sigmoid() * weights, shown.truths * weights
    dice = (1 - (2 * (shares * inside).sum((1, 2)) + 1) / ((shares**2 + inside**2).sum((1, 2)) + 1)).mean()
    box = shown.crops[:, BOX] > 0  # what is found outside of it is no part of the answer
    found, true = (logits.detach() > 0) & box, (shown.truths > HALF) & box
    overlap = (found & true).sum((1, 2)) / (found | true).sum((1, 2)).clamp(min=1)
    error = functional.mse_loss(quality, overlap)
    return {"loss": entropy + dice + QUALITY_WEIGHT * error, "entropy": entropy, "dice": dice, "quality": error}
