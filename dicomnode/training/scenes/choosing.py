"""Choose one thing of a table of shares."""

from collections.abc import Mapping
from itertools import accumulate
from typing import TypeVar

import numpy as np

Thing = TypeVar("Thing")


def chosen(generator: np.random.Generator, shares: Mapping[Thing, float]) -> Thing:
    """Return one key of `shares`, as often as its share of their sum."""
    at = generator.random() * sum(shares.values())
    passed = accumulate(shares.values())
    return next((thing for thing, until in zip(shares, passed, strict=True) if at < until), next(reversed([*shares])))


def often(generator: np.random.Generator, probability: float) -> bool:
    """Return whether an event of this probability happens."""
    return bool(generator.random() < probability)


def log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """Return a number between `low` and `high` whose logarithm is uniform."""
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))
