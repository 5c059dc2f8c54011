"""Sections of real label maps that are painted with values of no patient."""

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.repainting import repainted

SHAPE = (48, 64)
IMAGE = np.random.default_rng(5).normal(0, 1, SHAPE).astype(np.float32).cumsum(axis=0)


def box(rows: slice, columns: slice) -> NDArray[np.bool_]:
    inside = np.zeros(SHAPE, np.bool_)
    inside[rows, columns] = True
    return inside


OBJECT, NEIGHBOUR = box(slice(14, 34), slice(16, 40)), box(slice(14, 34), slice(42, 60))


def painted(seed: int, *structures: NDArray[np.bool_], image: NDArray[np.float32] = IMAGE) -> NDArray[np.float32]:
    shares = [one.astype(np.float32) for one in structures]
    return repainted(np.random.default_rng(seed), image, shares, structures[-1])


def apart(found: NDArray[np.float32], inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> float:
    """Return how far the middles of two regions are apart, in their deviations."""
    one, other = found[inside], found[outside]
    return abs(float(np.median(one) - np.median(other))) / max(float(one.std()), float(other.std()), 1e-6)


def test_a_section_is_painted_the_same_for_the_same_generator() -> None:
    for seed in range(10):
        found = painted(seed, NEIGHBOUR, OBJECT)
        assert np.array_equal(found, painted(seed, NEIGHBOUR, OBJECT))
        assert found.shape == SHAPE
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_another_generator_paints_other_values() -> None:
    assert not np.array_equal(painted(0, OBJECT), painted(1, OBJECT))


def test_most_objects_can_be_told_from_what_is_beside_them() -> None:
    beside = box(slice(8, 40), slice(10, 46)) & ~OBJECT
    far = [apart(painted(seed, OBJECT), OBJECT, beside) for seed in range(60)]
    assert np.mean(np.array(far) > 0.3) > 0.7


def test_neighbours_get_values_of_their_own() -> None:
    far = [apart(painted(seed, NEIGHBOUR, OBJECT), OBJECT, NEIGHBOUR) for seed in range(60)]
    assert np.mean(np.array(far) > 0.3) > 0.5


def test_an_image_without_contrast_is_painted_as_well() -> None:
    for seed in range(10):
        assert np.isfinite(painted(seed, OBJECT, image=np.full(SHAPE, 7, np.float32))).all()
