"""Edges of masks enclose just the pixels of the mask."""

import numpy as np
import pytest

from dicomnode.dicom.results.outlines import Outline, outlines_of
from tests.polygons import drawn, filled, signed_area


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
