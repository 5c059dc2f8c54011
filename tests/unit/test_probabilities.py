"""Probabilities say the same as the mask where they are cut at a half."""

import numpy as np
import pytest

from dicomnode.domain import Box, JobOptions, Mask, SegType, Strategy
from dicomnode.inference.probabilities import from_logits, from_votes
from tests.fakes import FillsTheBox
from tests.values import masks_of, prompt, stack_at

LOGITS = np.array([-1000, -20, -1, -1e-9, 0, 1e-9, 1, np.log(3), 20, 1000], np.float32)


def test_logits_are_log_odds() -> None:
    assert from_logits(LOGITS).tolist() == [0, 0, 69, 127, 127, 128, 186, 191, 255, 255]


def test_more_than_a_half_is_what_is_inside() -> None:
    logits = np.random.default_rng(0).normal(0, 1e-3, 10_000).astype(np.float32)
    assert np.array_equal(from_logits(logits) >= 128, logits > 0)


def test_votes_are_shares() -> None:
    assert from_votes(np.arange(4, dtype=np.uint8), 3, 2).tolist() == [0, 85, 170, 255]


def masks(strategy: Strategy, *seg_types: SegType) -> tuple[Mask, ...]:
    stack = stack_at(*range(6))
    boxes = {plane.key: Box(x0=1.5, y0=1.5, x1=6.5, y1=5.5) for plane in stack.planes[1:5]}
    return masks_of(stack, [prompt(boxes)], FillsTheBox(), JobOptions(strategy=strategy, seg_types=seg_types))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_strategy_gives_probabilities_of_its_mask(strategy: Strategy) -> None:
    (mask,) = masks(strategy, SegType.BINARY, SegType.FRACTIONAL)
    assert mask.voxels
    assert mask.probabilities.keys() == mask.planes.keys()
    for index, inside in mask.planes.items():
        assert np.array_equal(mask.probabilities[index] >= 128, inside)
    assert len({int(value) for plane in mask.probabilities.values() for value in np.unique(plane)}) > 1


def test_nobody_asks_for_probabilities_where_no_fractional_seg_is_made() -> None:
    (mask,) = masks(Strategy.PER_PLANE, SegType.BINARY, SegType.LABELMAP)
    assert mask.probabilities == {}
