"""Truths that are drawn on a coarser grid than their image."""

import numpy as np

from dicomnode.training.scenes.blocks import in_blocks

Y, X = np.mgrid[:60, :80]
DISC = (np.hypot(Y - 30, X - 40) < 18).astype(np.float32)


def test_a_truth_in_blocks_is_about_as_large_and_lies_where_it_was() -> None:
    for seed in range(30):
        found = in_blocks(np.random.default_rng(seed), DISC)
        assert found.shape == DISC.shape
        inside = DISC > 0.5
        assert 2 * np.count_nonzero(found & inside) / (np.count_nonzero(found) + np.count_nonzero(inside)) > 0.85


def test_it_consists_of_blocks() -> None:
    found = in_blocks(np.random.default_rng(1), DISC)
    changes = np.flatnonzero((found[1:] != found[:-1]).any(axis=1))
    assert (np.diff(changes) >= 1).all()
    assert len(changes) < 36  # rows where the disc changes, one by one


def test_it_is_the_same_for_the_same_generator() -> None:
    one, other = (in_blocks(np.random.default_rng(3), DISC) for _ in range(2))
    assert np.array_equal(one, other)


def test_what_is_two_pixels_wide_or_nowhere_stays() -> None:
    thin = np.zeros((20, 20), np.float32)
    assert not in_blocks(np.random.default_rng(0), thin).any()
    thin[8:10, 4:16] = 1
    for seed in range(10):
        assert np.array_equal(in_blocks(np.random.default_rng(seed), thin), thin > 0.5)
