"""The axes, area and intensity of masks, against brute force and cases worked out by hand."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicomnode.dicom.results.measuring import area_of, axes_of, intensities
from tests.values import mask, stack_of

SMALL = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=5, max_size=5)
SPACINGS = st.tuples(st.sampled_from((0.5, 1.0, 3.0)), st.sampled_from((0.7, 1.0)))


def drawn(*rows: str) -> NDArray[np.bool_]:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def pieces(inside: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    """Return the pixels of each piece that is joined by sides, by filling from pixel to pixel."""
    left = set(map(tuple, np.argwhere(inside).tolist()))
    found = []
    while left:
        piece, waiting = set(), [min(left)]
        while waiting:
            row, column = waiting.pop()
            if (row, column) in left:
                left.remove((row, column))
                piece.add((row, column))
                waiting += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        found.append(piece)
    return found


def corners(piece: set[tuple[int, int]], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Return all corners of all pixels, (corner, 2) float64 x, y in mm."""
    found = {(column + right, row + down) for row, column in piece for right in (0, 1) for down in (0, 1)}
    return np.array(sorted(found), dtype=np.float64) * (spacing[1], spacing[0])


def farthest(points: NDArray[np.float64]) -> float:
    return max(float(np.linalg.norm(one - other)) for one, other in combinations(points, 2))


def across(points: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """Return the longest cut at a right angle to `direction` through the hull of `points`.

    Every edge of the hull joins two of the points, and the longest cut goes through a point: where the line through it
    meets the lines between all pairs is the hull's cut.
    """
    along, aside = points @ direction, points @ (-direction[1], direction[0])
    longest = 0.0
    for place in along:
        met = [aside[np.isclose(along, place)]]
        for one, other in combinations(range(len(points)), 2):
            low, high = sorted((one, other), key=lambda index: along[index])
            if along[low] < place < along[high]:
                part = (place - along[low]) / (along[high] - along[low])
                met.append(np.array([aside[low] + part * (aside[high] - aside[low])]))
        all_met = np.concatenate(met)
        longest = max(longest, float(all_met.max() - all_met.min()))
    return longest


@given(SMALL, SPACINGS)
def test_the_long_axis_is_the_greatest_distance_of_two_corners_of_one_piece(
    pixels: list[list[bool]], spacing: tuple[float, float]
) -> None:
    inside = np.array(pixels)
    found = axes_of({0: inside}, spacing)
    wanted = max((farthest(corners(piece, spacing)) for piece in pieces(inside)), default=None)
    assert (found and found.long) == (wanted and pytest.approx(wanted))


@given(SMALL.filter(lambda pixels: any(map(any, pixels))), SPACINGS)
def test_the_short_axis_is_the_longest_cut_of_the_hull_at_a_right_angle(
    pixels: list[list[bool]], spacing: tuple[float, float]
) -> None:
    inside = np.array(pixels)
    found = axes_of({0: inside}, spacing)
    assert found
    allowed = []
    for piece in pieces(inside):
        points = corners(piece, spacing)
        for one, other in combinations(points, 2):
            if np.linalg.norm(other - one) == pytest.approx(found.long):  # several may be as long
                allowed.append(across(points, (other - one) / np.linalg.norm(other - one)))
    assert any(found.short == pytest.approx(one) for one in allowed)


def test_the_axes_of_a_bar_are_its_diagonal_and_the_cut_across_it() -> None:
    bar = drawn("......", ".####.", ".####.", "......")
    found = axes_of({3: bar}, (1.5, 1.0))  # 4 mm x 3 mm: the diagonal is 5, the cut across it through its middle 15/4
    assert found == pytest.approx((5.0, 3.75, 3))


def test_one_pixel_is_as_long_as_its_diagonal() -> None:
    assert axes_of({0: drawn("#")}, (1.0, 1.0)) == pytest.approx((2**0.5, 2**0.5, 0))


def test_a_staircase_is_as_long_as_the_diagonal_and_three_half_pixels_wide() -> None:
    line = np.eye(10, dtype=bool) | np.eye(10, k=1, dtype=bool)
    found = axes_of({0: line}, (1.0, 1.0))
    assert found
    assert found.long == pytest.approx(10 * 2**0.5)
    assert found.short == pytest.approx(1.5 * 2**0.5)  # one pixel above the diagonal, two below it


def test_the_plane_with_the_greatest_long_axis_counts_and_of_equal_ones_the_first() -> None:
    small, large = drawn("##..", "...."), drawn("###.", "....")
    found = axes_of({7: large, 2: small, 5: large, 1: np.zeros((2, 4), dtype=bool)}, (1.0, 1.0))
    assert found
    assert found.plane == 5
    assert found.long == pytest.approx(10**0.5)


def test_two_pieces_on_a_plane_are_not_measured_across_what_lies_between() -> None:
    found = axes_of({0: drawn("##......#", "##.......")}, (1.0, 1.0))
    assert found
    assert found.long == pytest.approx(8**0.5)


def test_a_mask_without_a_pixel_has_no_axes() -> None:
    assert axes_of({0: drawn("..", "..")}, (1.0, 1.0)) is None
    assert axes_of({}, (1.0, 1.0)) is None


def test_the_area_is_that_of_the_pixels() -> None:
    assert area_of(drawn("##.", ".#."), (0.5, 2.0)) == pytest.approx(3.0)


def test_mean_and_deviation_are_of_the_modalitys_values_on_all_planes() -> None:
    stack = stack_of(np.array([[1, 2]]), np.array([[3, 50]]), slope=2.0, intercept=-10.0)
    (found,) = intensities([mask({0: drawn("##"), 1: drawn("#.")})], stack)
    assert found
    assert found.mean == pytest.approx(-6.0)  # of -8, -6 and -4
    assert found.deviation == pytest.approx((8 / 3) ** 0.5)


def test_what_is_shown_darkest_for_padding_is_not_measured() -> None:
    stack = stack_of(np.array([[5, 7, -2000, -1999]]), padding=(-2000, -1999))
    (part, nothing) = intensities([mask({0: drawn("####")}), mask({0: drawn("..##")})], stack)
    assert part
    assert part == pytest.approx((6.0, 1.0))
    assert nothing is None


def test_values_of_inverted_images_are_the_modalitys_not_those_shown() -> None:
    (found,) = intensities([mask({0: drawn("##")})], stack_of(np.array([[10, 20]]), inverted=True))
    assert found
    assert found.mean == pytest.approx(15.0)


def test_colours_and_empty_masks_have_no_intensity() -> None:
    stack = stack_of(np.array([[1, 2]]))
    colours = tuple(replace(plane, stored=np.zeros((1, 2, 3), dtype=np.uint8)) for plane in stack.planes)
    assert intensities([mask({0: drawn("##")})], replace(stack, planes=colours)) == (None,)
    assert intensities([mask({0: drawn("..")}), mask({})], stack) == (None, None)
