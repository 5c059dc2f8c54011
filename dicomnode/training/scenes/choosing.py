"""Choose one thing of a table of shares."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Thing = TypeVar("Thing")


def chosen(generator: np.random.Generator, shares: Mapping[Thing, float]) -> Thing:
    """Return one key of `shares`, as often as its share of their sum."""
    left = generator.random() * sum(shares.values())
    for thing, share in shares.items():
        left -= share
        if left < 0:
            return thing
    return next(reversed([*shares]))  # the rest of a rounding


def often(generator: np.random.Generator, probability: float) -> bool:
    """Return whether an event of this probability happens."""
    return bool(generator.random() < probability)


def log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """Return a number between `low` and `high` whose logarithm is uniform."""
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))
