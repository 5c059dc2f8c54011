"""Values are counted exactly, in a small part of the memory that they would take as floats."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.inference.histograms import extent_of, quantiles_of, tally_of
from tests.values import stack_of

SHARES = (0.0, 0.005, 0.25, 0.5, 0.777, 0.995, 1.0)


def noise(seed: int, low: int = -300, high: int = 4000, dtype: type[np.integer] = np.int16) -> NDArray[np.integer]:
    return np.random.default_rng(seed).integers(low, high, (20, 30), dtype)


def values_of(stack: Stack) -> NDArray[np.float64]:
    return np.concatenate([plane.shown().ravel() for plane in stack.planes]).astype(np.float64)


@pytest.mark.parametrize(
    "stack",
    [
        stack_of(noise(1), noise(2), noise(3)),
        stack_of(noise(1), noise(2), slope=0.37, intercept=-1024.5),
        stack_of(noise(1), noise(2), inverted=True),
        stack_of(noise(1, 0, 255, np.uint8), slope=-2.0),
        stack_of(noise(1, 0, 65536, np.uint16), noise(2, 0, 65536, np.uint16)),
        stack_of(noise(1, -32768, 32768), noise(2, -32768, 32768)),
        stack_of(noise(1, -(2**31), 2**31, np.int32), slope=0.001),
        stack_of(noise(1, 7, 8), noise(2, 0, 2)),
    ],
    ids=["whole", "rescaled", "inverted", "bytes, falling", "16 bits", "all of int16", "32 bits", "few"],
)
def test_quantiles_are_those_of_numpy(stack: Stack) -> None:
    values = np.sort(values_of(stack))
    for skipped in (0, 1, 100, values.size - 1):
        wanted = np.percentile(values[skipped:], np.array(SHARES) * 100)
        np.testing.assert_array_equal(quantiles_of(stack, tally_of(stack), SHARES, skipped), wanted)


def test_quantiles_of_planes_with_slopes_of_their_own_are_those_of_numpy() -> None:
    stack = stack_of(*(noise(seed, 0, 32767) for seed in range(6)))
    planes = tuple(replace(plane, slope=0.1 + number / 7) for number, plane in enumerate(stack.planes))
    stack = replace(stack, planes=planes)
    found = quantiles_of(stack, tally_of(stack), SHARES, 0)
    np.testing.assert_array_equal(found, np.percentile(values_of(stack), np.array(SHARES) * 100))


def test_the_tally_says_how_many_are_negative_zero_and_there() -> None:
    tally = tally_of(stack_of(np.array([[-1, 0, 0, 5]], np.int16), np.array([[-2, 0, 7, 8]], np.int16)))
    assert (tally.negative, tally.zero, tally.total) == (2, 3, 8)


def test_zero_turned_round_is_zero() -> None:
    tally = tally_of(stack_of(np.array([[0, 0, 3]], np.int16), inverted=True))
    assert (tally.negative, tally.zero) == (1, 2)


def test_padding_is_not_counted() -> None:
    stack = stack_of(np.array([[-2000, -1990, 10, 20]], np.int16), padding=(-2000, -1990), intercept=-5.0)
    assert extent_of(stack) == (5, 15)
    assert tally_of(stack).total == 2
    assert quantiles_of(stack, tally_of(stack), (0.0, 1.0), 0) == (5, 15)


def test_a_stack_of_padding_alone_has_nothing() -> None:
    stack = stack_of(np.full((4, 5), -2000, np.int16), padding=(-2000, -2000))
    assert extent_of(stack) == (0, 0)
    assert tally_of(stack).total == 0


@pytest.mark.parametrize(
    "stack",
    [
        stack_of(noise(1), noise(2)),
        stack_of(noise(1), noise(2), slope=-0.5, intercept=3.0),
        stack_of(noise(1), noise(2), inverted=True),
    ],
    ids=["whole", "falling", "inverted"],
)
def test_the_extent_is_from_the_least_to_the_greatest_value_shown(stack: Stack) -> None:
    assert extent_of(stack) == (values_of(stack).min(), values_of(stack).max())


def test_counting_takes_much_less_memory_than_the_values_as_floats() -> None:
    stored = np.random.default_rng(1).integers(0, 3000, (256, 256), np.int16)
    stack = stack_of(*[stored] * 100)
    tracemalloc.start()
    quantiles_of(stack, tally_of(stack), (0.005, 0.995), 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 100 * stored.size / 5
