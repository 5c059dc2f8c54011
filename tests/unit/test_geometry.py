from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Fact, Stack
from dicomnode.geometry import affine_of, facts_of, local_gaps, slab_depths, spacing_of
from tests.values import stack_at

UP = np.array([0.0, 0.0, 1.0])


def along_z(*heights: float) -> NDArray[np.float64]:
    return np.array([(0.0, 0.0, height) for height in heights])


def facts(positions: NDArray[np.float64], *thicknesses: float) -> frozenset[Fact]:
    return facts_of(positions, UP, np.array(thicknesses or [np.nan] * len(positions)))


def test_even_gaps_are_regular() -> None:
    assert facts(along_z(0, 2.5, 5, 7.5)) == {Fact.REGULAR}


@pytest.mark.parametrize("origin", [0.0, -137.5, 333.3, -1024.7])
@pytest.mark.parametrize("step", [0.5, 0.625, 1.25, 5 / 3, 1.9])
def test_positions_rounded_to_a_tenth_are_regular_wherever_they_lie(origin: float, step: float) -> None:
    heights = [round(origin + index * step, 1) for index in range(200)]
    assert facts(along_z(*heights)) == {Fact.REGULAR}


def test_gaps_a_twentieth_to_both_sides_of_their_median_are_regular() -> None:
    assert facts(along_z(*np.cumsum([0, *[5.25, 4.75] * 9]))) == {Fact.REGULAR}


def test_gaps_that_differ_by_less_than_a_twentieth_are_regular() -> None:
    heights = np.cumsum([0, 6.959, 7.071, 7.0, 6.98, 7.05])
    assert facts(along_z(*heights)) == {Fact.REGULAR}


def test_a_gap_of_two_steps_is_a_missing_slice() -> None:
    assert Fact.MISSING_SLICES in facts(along_z(0, 2.5, 5, 10, 12.5))
    assert Fact.REGULAR not in facts(along_z(0, 2.5, 5, 10, 12.5))


def test_of_three_planes_the_wider_gap_of_two_steps_is_a_missing_slice() -> None:
    assert Fact.MISSING_SLICES in facts(along_z(0, 2.5, 7.5))
    assert Fact.MISSING_SLICES in facts(along_z(0, 5, 7.5))


def test_gaps_that_are_no_multiple_are_irregular_and_nothing_is_missing() -> None:
    assert facts(along_z(0, 4.2, 8.4, 12.6, 20.0, 27.4)) == {Fact.IRREGULAR}


def test_a_scan_that_goes_on_in_thicker_slices_lacks_none() -> None:
    thicknesses = (5, 5, 5, 5, 10, 10, 10)
    heights = (0, 5, 10, 15, 22.5, 32.5, 42.5)
    assert facts(along_z(*heights), *thicknesses) == {Fact.IRREGULAR}
    assert slab_depths(stack_at(*heights, thicknesses=thicknesses)).tolist() == [5, 5, 5, 6.25, 8.75, 10, 10]


def test_a_missing_one_of_overlapping_slices_is_missing_though_the_gap_is_as_wide_as_they_are_thick() -> None:
    assert Fact.MISSING_SLICES in facts(along_z(0, 2.5, 5, 10, 12.5), 5, 5, 5, 5, 5)


def test_planes_that_step_aside_are_sheared() -> None:
    tilted = along_z(0, 2.5, 5, 7.5) + np.arange(4)[:, None] * np.array([0, 2.5 * np.tan(np.radians(15)), 0])
    assert facts(tilted) == {Fact.SHEARED}


def test_a_step_aside_of_less_than_half_a_degree_is_rounding() -> None:
    tilted = along_z(0, 2.5, 5, 7.5) + np.arange(4)[:, None] * np.array([0, 2.5 * np.tan(np.radians(0.4)), 0])
    assert facts(tilted) == {Fact.REGULAR}


def test_one_plane_is_a_single_plane() -> None:
    assert facts(along_z(3)) == {Fact.SINGLE_PLANE}


def test_the_local_gaps_are_the_distances_below_and_above_each_plane() -> None:
    assert local_gaps(np.array([0.0, 4.0, 10.0]), np.full(3, np.nan)).tolist() == [[4, 4], [4, 6], [6, 6]]


def test_beside_a_missing_slice_a_plane_stands_for_its_own_slice_only() -> None:
    gaps = local_gaps(np.array([0, 2.5, 5, 10, 12.5]), np.full(5, 2.5))
    assert np.allclose(gaps, 2.5)


@pytest.mark.parametrize(("thickness", "gap"), [(3.0, 3.0), (None, 1.0), (0.0, 1.0)])
def test_a_single_plane_is_as_thick_as_its_slice_or_one_millimetre(thickness: float | None, gap: float) -> None:
    assert local_gaps(np.array([7.0]), np.array([thickness], dtype=float)).tolist() == [[gap, gap]]


def test_slabs_reach_half_the_way_to_each_neighbour() -> None:
    assert slab_depths(stack_at(0, 4, 10)).tolist() == [4, 5, 6]


def test_a_missing_slice_belongs_to_no_slab() -> None:
    assert slab_depths(stack_at(0, 2.5, 5, 10, 12.5)).tolist() == pytest.approx([2.5] * 5)


def test_the_spacing_is_between_planes_rows_and_columns() -> None:
    assert spacing_of(stack_at(0, 2.5, 5, spacing=(0.5, 0.75))) == (2.5, 0.5, 0.75)


@pytest.mark.parametrize("heights", [(0.0,), (0.0, 2.5, 5.0, 10.0), (0.0, 4.2, 8.4, 15.8, 23.2)])
def test_planes_that_are_single_missing_or_uneven_have_no_spacing_between_them(heights: tuple[float, ...]) -> None:
    assert spacing_of(stack_at(*heights, spacing=(0.5, 0.75))) == (None, 0.5, 0.75)


def test_the_spacing_of_a_sheared_stack_is_measured_along_its_normal() -> None:
    assert spacing_of(sheared()) == (2.5, 1.0, 1.0)


def test_frames_without_a_place_have_no_spacing_between_them() -> None:
    facts = frozenset({Fact.CINE, Fact.NO_FRAME_OF_REFERENCE})
    frames = replace(stack_at(0, 1), frame_of_reference_uid=None, facts=facts)
    assert spacing_of(frames) == (None, 1.0, 1.0)
    assert affine_of(frames) is None


def test_the_affine_takes_column_row_and_plane_to_the_patient() -> None:
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)  # its normal points to the back
    affine = affine_of(stack_at(10, 12, 14, orientation=coronal, spacing=(0.5, 0.75)))
    assert affine is not None
    assert (affine @ (4, 6, 2, 1)).tolist() == [4 * 0.75, 10 + 2 * 2, -6 * 0.5, 1]


def test_the_affine_of_rounded_positions_meets_the_first_and_the_last_plane() -> None:
    affine = affine_of(stack_at(*(round(index * 5 / 3, 1) for index in range(20))))
    assert affine is not None
    assert (affine @ (0, 0, 0, 1)).tolist() == [0, 0, 0, 1]
    assert (affine @ (0, 0, 19, 1)).tolist() == pytest.approx([0, 0, 31.7, 1])


@pytest.mark.parametrize("heights", [(0.0,), (0.0, 2.5, 5.0, 10.0), (0.0, 4.2, 8.4, 15.8, 23.2)])
def test_only_a_regular_stack_has_an_affine(heights: tuple[float, ...]) -> None:
    assert affine_of(stack_at(*heights)) is None
    assert affine_of(sheared()) is None


def sheared() -> Stack:
    """Return four planes 2.5 mm apart, each of which steps 1 mm aside."""
    straight = stack_at(0, 2.5, 5, 7.5)
    planes = [replace(one, position=(index, 0.0, 2.5 * index)) for index, one in enumerate(straight.planes)]
    return replace(straight, planes=tuple(planes), facts=frozenset({Fact.SHEARED}))
