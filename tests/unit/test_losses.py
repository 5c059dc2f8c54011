"""The losses of masks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dicomnode.training.losses import Weights, mask_losses, overlap  # noqa: E402 - needs torch


def test_the_parts_are_cross_entropy_dice_with_squared_denominator_and_the_error_of_the_overlap() -> None:
    logits = torch.tensor([[[2.0, -1.0], [0.5, -3.0]]])
    truth = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    shares, inside = 1 / (1 + np.exp(-logits.numpy()[0])), truth.numpy()[0]
    entropy = -(inside * np.log(shares) + (1 - inside) * np.log(1 - shares)).mean()
    dice = 1 - 2 * (shares * inside).sum() / ((shares**2).sum() + (inside**2).sum())
    found = mask_losses(logits, torch.tensor([0.75]), truth, Weights(entropy=1, dice=2, quality=0.5))
    assert float(found["entropy"]) == pytest.approx(entropy, abs=1e-6)
    assert float(found["dice"]) == pytest.approx(dice, abs=1e-5)
    assert float(found["quality"]) == pytest.approx((0.75 - 1 / 3) ** 2, abs=1e-6)
    assert float(found["loss"]) == pytest.approx(entropy + 2 * dice + 0.5 * (0.75 - 1 / 3) ** 2, abs=1e-5)


def test_two_empty_masks_overlap_wholly_and_cost_no_dice() -> None:
    logits, truth = torch.full((1, 4, 4), -20.0), torch.zeros(1, 4, 4)
    assert overlap(logits, truth).tolist() == [1.0]
    assert float(mask_losses(logits, torch.ones(1), truth, Weights())["loss"]) == pytest.approx(0, abs=1e-6)
