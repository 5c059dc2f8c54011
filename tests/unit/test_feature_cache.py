"""What is kept of images, how much of it, and under which key."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import ModelIdentity
from dicomnode.inference.feature_cache import FeatureCache, key_of
from tests.fakes import FillsTheBox

MODEL = FillsTheBox().identity
ONE, TWO = (np.full((2, 3), value, np.float32) for value in (1, 2))


def test_what_was_put_is_found_under_its_key() -> None:
    cache = FeatureCache(100)
    cache.put(b"a", ["features"], 10)
    assert cache.get(b"a") == ["features"]
    assert cache.get(b"b") is None


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    cache = FeatureCache(30)
    for key in (b"a", b"b", b"c"):
        cache.put(key, [key], 10)
    cache.get(b"a")
    cache.put(b"d", [b"d"], 20)
    assert [key for key in (b"a", b"b", b"c", b"d") if cache.get(key)] == [b"a", b"d"]


def test_what_is_larger_than_the_bound_or_has_no_size_is_not_kept() -> None:
    cache = FeatureCache(30)
    cache.put(b"a", ["a"], 20)
    cache.put(b"b", ["b"], 31)
    cache.put(b"c", ["c"], 0)
    assert [key for key in (b"a", b"b", b"c") if cache.get(key)] == [b"a"]


def test_what_is_put_twice_counts_once() -> None:
    cache = FeatureCache(30)
    for _ in range(3):
        cache.put(b"a", ["a"], 15)
    cache.put(b"b", ["b"], 15)
    assert cache.get(b"a")
    assert cache.get(b"b")


def test_memory_is_given_back() -> None:
    cache = FeatureCache(30)
    cache.put(b"a", ["a"], 30)
    cache.clear()
    assert cache.get(b"a") is None
    cache.put(b"b", ["b"], 30)
    assert cache.get(b"b")


@pytest.mark.parametrize(
    ("model", "images", "spacing"),
    [
        (MODEL, [TWO, ONE], (1.0, 1.0)),
        (MODEL, [ONE], (1.0, 1.0)),
        (MODEL, [ONE, TWO, TWO], (1.0, 1.0)),
        (MODEL, [ONE, TWO], (1.0, 2.0)),
        (MODEL, [ONE, TWO.reshape(3, 2)], (1.0, 1.0)),
        (replace(MODEL, source="other weights"), [ONE, TWO], (1.0, 1.0)),
        (replace(MODEL, parameters=(("precision", "bf16"),)), [ONE, TWO], (1.0, 1.0)),
    ],
)
def test_a_key_stands_for_the_model_and_the_whole_batch(
    model: ModelIdentity, images: list[NDArray[np.float32]], spacing: tuple[float, float]
) -> None:
    assert key_of(MODEL, [ONE.copy(), TWO.copy()], (1.0, 1.0)) == key_of(MODEL, [ONE, TWO], (1.0, 1.0))
    assert key_of(model, images, spacing) != key_of(MODEL, [ONE, TWO], (1.0, 1.0))


def test_a_key_is_of_the_values_however_they_lie_in_memory() -> None:
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert key_of(MODEL, [whole[:, ::2]], (1.0, 1.0)) == key_of(MODEL, [whole[:, ::2].copy()], (1.0, 1.0))
