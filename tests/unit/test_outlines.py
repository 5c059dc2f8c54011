"""Edges of masks enclose just the pixels of the mask."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.results.outlines import Outline, outlines_of


def drawn(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in row] for row in rows])


def signed_area(polygon: NDArray[np.float64]) -> float:
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def area(outline: Outline) -> float:
    return signed_area(outline.edge) + sum(map(signed_area, outline.holes))


def test_one_pixel_is_a_square_round_its_centre() -> None:
    ((edge, holes),) = outlines_of(drawn("...", ".#.", "..."))
    assert edge.tolist() == [[0.5, 0.5], [1.5, 0.5], [1.5, 1.5], [0.5, 1.5]]
    assert holes == ()


def test_nothing_has_no_outline() -> None:
    assert outlines_of(drawn("..", "..")) == ()


def test_corners_in_line_are_left_out() -> None:
    ((edge, _),) = outlines_of(drawn("###", "###"))
    assert edge.tolist() == [[-0.5, -0.5], [2.5, -0.5], [2.5, 1.5], [-0.5, 1.5]]


def test_pixels_that_touch_with_a_corner_are_two_pieces() -> None:
    assert [len(edge) for edge, _ in outlines_of(drawn("#.", ".#"))] == [4, 4]


def test_holes_that_touch_with_a_corner_are_one_way_round() -> None:
    ((edge, holes),) = outlines_of(drawn("####", "#.##", "##.#", "####"))
    assert signed_area(edge) == 16
    assert sum(map(signed_area, holes)) == -2


def test_an_island_in_a_hole_is_a_piece_of_its_own() -> None:
    found = outlines_of(drawn("#####", "#...#", "#.#.#", "#...#", "#####"))
    assert [(len(one.edge), len(one.holes)) for one in found] == [(4, 1), (4, 0)]
    assert [area(one) for one in found] == [16, 1]


def test_every_hole_belongs_to_the_piece_it_is_in() -> None:
    rows = (
        "#########",
        "#.#.##..#",
        "#.#.#.#.#",
        "#...#...#",
        "#########",
        ".........",
        "###......",
        "#.#......",
        "###......",
    )
    assert [len(one.holes) for one in outlines_of(drawn(*rows))] == [2, 0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_filled_again_the_outlines_are_the_mask(seed: int) -> None:
    inside = np.random.default_rng(seed).random((17, 23)) < (0.3 + 0.03 * seed)
    found = outlines_of(inside)
    assert sum(map(area, found)) == np.count_nonzero(inside)
    again = np.zeros_like(inside)
    for polygon in (polygon for outline in found for polygon in (outline.edge, *outline.holes)):
        again ^= filled(polygon, inside.shape)
    assert np.array_equal(again, inside)


def filled(polygon: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie in `polygon`, by the number of sides to the left of each."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if x0 == x1:
            inside ^= (min(y0, y1) < y) & (y < max(y0, y1)) & (x0 < x)
    return inside
