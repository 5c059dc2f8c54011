"""The losses that masks are learnt by."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_SMOOTH = 1e-5  # an empty mask that is found empty is no error


class Weights(NamedTuple):
    """How much each part of the loss counts: cross entropy, Dice, and the error of the predicted overlap."""

    entropy: float = 1.0
    dice: float = 1.0
    quality: float = 1.0


def mask_losses(logits: Tensor, quality: Tensor, truth: Tensor, weights: Weights) -> dict[str, Tensor]:
    """Return the weighted sum as `loss`, and its parts.

    `logits` and `truth`, 0 or 1, are (mask, row, column); `quality` is the predicted overlap (IoU), (mask,). They are
    the losses of LiteMedSAM (bowang-lab/MedSAM, branch LiteMedSAM): binary cross entropy over all pixels, one minus the
    Dice coefficient with squared denominator of each mask, and the squared error of the predicted overlap.
    """
    logits, quality, truth = logits.float(), quality.float(), truth.float()
    parts = {
        "entropy": functional.binary_cross_entropy_with_logits(logits, truth),
        "dice": (1 - _dice(logits.sigmoid(), truth)).mean(),
        "quality": functional.mse_loss(quality, overlap(logits, truth)),
    }
    total = sum((getattr(weights, name) * part for name, part in parts.items()), logits.new_zeros(()))
    return {"loss": total, **parts}


def overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the intersection over union of `logits` above 0 with `truth`, (mask,) without gradient; 1 of two empty."""
    found, there = logits.detach() > 0, truth > 0
    either = (found | there).sum((-2, -1))
    both = (found & there).sum((-2, -1))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def _dice(shares: Tensor, truth: Tensor) -> Tensor:
    both = (shares * truth).sum((-2, -1))
    either = shares.square().sum((-2, -1)) + truth.square().sum((-2, -1))
    return (2 * both + _SMOOTH) / (either + _SMOOTH)
