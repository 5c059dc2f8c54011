import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.prompts.matching import match_planes
from dicomnode.domain import Orientation, Stack
from tests.values import stack_at

OBLIQUE: Orientation = (0.8660254037844387, 0.0, -0.5, 0.0, 1.0, 0.0)


def contour_at(stack: Stack, *heights: float) -> NDArray[np.float64]:
    """Return a point (row, column) = (n, n) at each of `heights` along the normal of `stack`."""
    row, column = (np.array(stack.planes[0].orientation[start : start + 3]) for start in (0, 3))
    return np.array([stack.normal * height + (row + column) * n for n, height in enumerate(heights)])


def flat(stack: Stack, height: float) -> NDArray[np.float64]:
    return contour_at(stack, height, height, height, height)


@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), OBLIQUE])
def test_a_contour_on_a_plane_belongs_to_it(orientation: Orientation) -> None:
    stack = stack_at(0, 2.5, 5, 7.5, orientation=orientation)
    assert [match_planes(flat(stack, height), stack).planes for height in (0, 2.5, 5, 7.5)] == [(0,), (1,), (2,), (3,)]


def test_a_contour_half_a_gap_off_belongs_to_the_lower_plane() -> None:
    stack = stack_at(0, 2.5, 5, 7.5)
    match = match_planes(flat(stack, 3.75), stack)
    assert (match.planes, match.distance, match.oblique) == ((1,), 1.25, False)


def test_a_contour_half_a_gap_beyond_the_ends_is_taken_and_farther_off_dropped() -> None:
    stack = stack_at(0, 2.5, 5, 7.5)
    assert match_planes(flat(stack, 7.5 + 1.25), stack).planes == (3,)
    assert match_planes(flat(stack, -1.25), stack).planes == (0,)
    assert match_planes(flat(stack, 7.5 + 0.51 * 2.5), stack).planes == ()
    assert match_planes(flat(stack, -0.51 * 2.5), stack).planes == ()


@pytest.mark.parametrize("heights", [(0, 2.5, 5, 10, 12.5), (0, 2.5, 5, 10)])
def test_a_contour_of_a_missing_slice_lands_on_no_neighbour(heights: tuple[float, ...]) -> None:
    stack = stack_at(*heights)
    assert match_planes(flat(stack, 7.5), stack).planes == ()


def test_a_contour_of_a_missing_slice_of_three_lands_on_no_neighbour() -> None:
    stack = stack_at(0, 2.5, 7.5)
    assert match_planes(flat(stack, 5.0), stack).planes == ()


def test_a_contour_of_a_plane_that_could_not_be_read_lands_on_no_neighbour() -> None:
    assert match_planes(flat(stack_at(0, 5), 2.5), stack_at(0, 5)).planes == (0,)
    assert match_planes(flat(stack_at(0, 5), 2.5), stack_at(0, 5, lost=[2.5])).planes == ()
    assert match_planes(flat(stack_at(0, 5), 0.5), stack_at(0, 5, lost=[2.5])).planes == (0,)


def test_each_gap_has_its_own_reach() -> None:
    stack = stack_at(0, 4.2, 8.4, 12.6, 20, 27.4)
    assert match_planes(flat(stack, 12.6 + 3.6), stack).planes == (3,)
    assert match_planes(flat(stack, 12.6 - 1.9), stack).planes == (3,)
    assert match_planes(flat(stack, 27.4 + 3.8), stack).planes == ()


def test_a_contour_across_planes_belongs_to_each_it_crosses() -> None:
    stack = stack_at(0, 2.5, 5, 7.5)
    match = match_planes(contour_at(stack, 2.4, 2.5, 6.0, 6.0), stack)
    assert (match.planes, match.oblique) == ((1, 2), True)


def test_a_contour_that_leans_between_two_planes_belongs_to_the_nearer() -> None:
    stack = stack_at(0, 2.5, 5, 7.5)
    match = match_planes(contour_at(stack, 2.6, 2.6, 4.4, 4.4), stack)
    assert (match.planes, match.oblique) == ((1,), False)


@pytest.mark.parametrize(("height", "planes"), [(1.4, (0,)), (1.6, ())])
def test_the_only_plane_reaches_half_its_thickness(height: float, planes: tuple[int, ...]) -> None:
    stack = stack_at(0, thickness=3.0)
    assert match_planes(flat(stack, height), stack).planes == planes
