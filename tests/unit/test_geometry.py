import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Fact
from dicomnode.geometry import facts_of, local_gaps, slab_depths
from tests.values import stack_at

UP = np.array([0.0, 0.0, 1.0])


def along_z(*heights: float) -> NDArray[np.float64]:
    return np.array([(0.0, 0.0, height) for height in heights])


def test_even_gaps_are_regular() -> None:
    assert facts_of(along_z(0, 2.5, 5, 7.5), UP) == {Fact.REGULAR}


def test_gaps_of_five_thirds_rounded_to_a_tenth_are_regular() -> None:
    heights = [round(index * 5 / 3, 1) for index in range(20)]
    assert facts_of(along_z(*heights), UP) == {Fact.REGULAR}


def test_gaps_that_differ_by_less_than_a_twentieth_are_regular() -> None:
    heights = np.cumsum([0, 6.959, 7.071, 7.0, 6.98, 7.05])
    assert facts_of(along_z(*heights), UP) == {Fact.REGULAR}


def test_a_gap_of_two_steps_is_a_missing_slice() -> None:
    assert Fact.MISSING_SLICES in facts_of(along_z(0, 2.5, 5, 10, 12.5), UP)
    assert Fact.REGULAR not in facts_of(along_z(0, 2.5, 5, 10, 12.5), UP)


def test_of_three_planes_the_wider_gap_of_two_steps_is_a_missing_slice() -> None:
    assert Fact.MISSING_SLICES in facts_of(along_z(0, 2.5, 7.5), UP)
    assert Fact.MISSING_SLICES in facts_of(along_z(0, 5, 7.5), UP)


def test_gaps_that_are_no_multiple_are_irregular_and_nothing_is_missing() -> None:
    assert facts_of(along_z(0, 4.2, 8.4, 12.6, 20.0, 27.4), UP) == {Fact.IRREGULAR}


def test_planes_that_step_aside_are_sheared() -> None:
    tilted = along_z(0, 2.5, 5, 7.5) + np.arange(4)[:, None] * np.array([0, 2.5 * np.tan(np.radians(15)), 0])
    assert facts_of(tilted, UP) == {Fact.SHEARED}


def test_a_step_aside_of_less_than_half_a_degree_is_rounding() -> None:
    tilted = along_z(0, 2.5, 5, 7.5) + np.arange(4)[:, None] * np.array([0, 2.5 * np.tan(np.radians(0.4)), 0])
    assert facts_of(tilted, UP) == {Fact.REGULAR}


def test_one_plane_is_a_single_plane() -> None:
    assert facts_of(along_z(3), UP) == {Fact.SINGLE_PLANE}


def test_the_local_gaps_are_the_distances_below_and_above_each_plane() -> None:
    assert local_gaps(np.array([0.0, 4.0, 10.0]), None).tolist() == [[4, 4], [4, 6], [6, 6]]


def test_beside_a_missing_slice_a_plane_stands_for_its_own_slice_only() -> None:
    gaps = local_gaps(np.array([0, 2.5, 5, 10, 12.5]), None)
    assert np.allclose(gaps, 2.5)


@pytest.mark.parametrize(("thickness", "gap"), [(3.0, 3.0), (None, 1.0), (0.0, 1.0)])
def test_a_single_plane_is_as_thick_as_its_slice_or_one_millimetre(thickness: float | None, gap: float) -> None:
    assert local_gaps(np.array([7.0]), thickness).tolist() == [[gap, gap]]


def test_slabs_reach_half_the_way_to_each_neighbour() -> None:
    assert slab_depths(stack_at(0, 4, 10)).tolist() == [4, 5, 6]


def test_a_missing_slice_belongs_to_no_slab() -> None:
    assert slab_depths(stack_at(0, 2.5, 5, 10, 12.5)).tolist() == pytest.approx([2.5] * 5)
