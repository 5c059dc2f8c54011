"""Train `box-unet`: what it is shown, what it is told of its answers, and how well it does on what it was not shown."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dicomnode.inference.crops import BOX
from dicomnode.inference.networks.box_unet import BoxUnet
from dicomnode.training.objects import Objects
from dicomnode.training.samples import Samples
from dicomnode.training.scenes import drawn

# What counts outside the box, of 1 inside: there the answer is not used, but the way to it is the same.
OUTSIDE_WEIGHT = 0.1
QUALITY_WEIGHT = 0.3
VALIDATION_COUNT = 768
_VALIDATION = 1 << 40  # a step that no training comes to


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxUnetTask:
    """Boxes on drawn scenes, of which `real` takes the place of `real_share` where there are some."""

    network: BoxUnet
    seed: int
    size: int
    real: Objects | None = None
    real_share: float = 0.0
    _validation: list[Samples] = field(default_factory=list)

    def batch(self, step: int) -> Samples:
        """Return the samples of `step`, the same at every call."""
        return self._samples(step, self.size)

    def losses(self, network: torch.nn.Module, batch: Samples) -> dict[str, Tensor]:
        """Return the loss of `batch`, and its parts."""
        crops, truths = (torch.from_numpy(one).to(_device(network)) for one in batch)
        logits, quality = network(crops)
        weights = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * crops[:, BOX]
        return _losses(logits.float(), quality.float(), truths, weights)

    def validate(self, network: torch.nn.Module) -> dict[str, float]:
        """Return the loss and the mean Dice of the masks on scenes of their own."""
        if not self._validation:
            self._validation.append(self._samples(_VALIDATION, VALIDATION_COUNT))
        crops, truths = (torch.from_numpy(one).to(_device(network)) for one in self._validation[0])
        answers = [network(part) for part in crops.split(self.size)]
        logits, quality = torch.cat([one[0] for one in answers]).float(), torch.cat([one[1] for one in answers]).float()
        box = crops[:, BOX]
        found, inside = (logits > 0) * box, (truths > 0.5) * box  # noqa: PLR2004 - half of a pixel
        dice = 2 * (found * inside).sum((1, 2)) / (found + inside).sum((1, 2)).clamp(min=1)
        weights = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * box
        losses = _losses(logits, quality, truths, weights)
        return {name: float(value) for name, value in losses.items()} | {"mean_dice": float(dice.mean())}

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


def _losses(logits: Tensor, quality: Tensor, truths: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Return cross entropy, Dice loss, the squared error of the quality, and the loss that they make."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truths, weights)
    shares, inside = logits.sigmoid() * weights, truths * weights
    dice = (1 - (2 * (shares * inside).sum((1, 2)) + 1) / ((shares**2 + inside**2).sum((1, 2)) + 1)).mean()
    found, true = logits.detach() > 0, truths > 0.5  # noqa: PLR2004
    overlap = (found & true).sum((1, 2)) / (found | true).sum((1, 2)).clamp(min=1)
    error = functional.mse_loss(quality, overlap)
    return {"loss": entropy + dice + QUALITY_WEIGHT * error, "entropy": entropy, "dice": dice, "quality": error}


def _device(network: torch.nn.Module) -> torch.device:
    return next(network.parameters()).device
