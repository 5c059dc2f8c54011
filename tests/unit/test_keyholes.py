"""A polygon with keyholes encloses just the pixels of a piece, and its channels touch nothing."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.results.keyholes import keyhole
from dicomnode.dicom.results.outlines import outlines_of
from tests.polygons import drawn, filled, signed_area

Corner = tuple[float, float]


def polygons(inside: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    return [keyhole(outline) for outline in outlines_of(inside)]


def steps(polygon: NDArray[np.float64]) -> Iterator[tuple[Corner, Corner]]:
    """Yield the way round `polygon` in steps of one pixel."""
    for (x0, y0), (x1, y1) in zip(polygon.tolist(), np.roll(polygon, -1, axis=0).tolist(), strict=True):
        count = round(abs(x1 - x0) + abs(y1 - y0))
        dx, dy = (x1 - x0) / count, (y1 - y0) / count
        for step in range(count):
            yield (x0 + step * dx, y0 + step * dy), (x0 + (step + 1) * dx, y0 + (step + 1) * dy)


def test_without_holes_it_is_the_edge() -> None:
    (outline,) = outlines_of(drawn("##", "##"))
    assert np.array_equal(keyhole(outline), outline.edge)


def test_a_hole_hangs_on_the_edge_by_a_channel_to_the_left() -> None:
    (polygon,) = polygons(drawn("####", "##.#", "####"))
    way = [tuple(corner) for corner in polygon.tolist()]
    assert way.count((-0.5, 0.5)) == way.count((1.5, 0.5)) == 2
    assert signed_area(polygon) == 11


def test_a_hole_behind_a_hole_hangs_on_that() -> None:
    (polygon,) = polygons(drawn("########", "#.##.#.#", "########"))
    assert signed_area(polygon) == 21
    # each hole has its first corner twice; the edge gets a door, twice, and two holes have a corner that is one
    assert len(polygon) == 4 + 3 * (4 + 1) + 2 + 1 + 1


def test_a_door_in_a_corner_of_the_edge_is_this_corner() -> None:
    (polygon,) = polygons(drawn(".###", "##.#", "####"))
    assert signed_area(polygon) == 10
    assert len(polygon) == 6 + 4 + 2


@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_mask_it_encloses_its_pixels_and_no_channel_touches_anything(seed: int) -> None:
    inside = np.random.default_rng(seed).random((23, 31)) < 0.55 + 0.017 * seed
    again = np.zeros_like(inside)
    for outline in outlines_of(inside):
        polygon = keyhole(outline)
        sides = {side for loop in (outline.edge, *outline.holes) for side in steps(loop)}
        taken = Counter(steps(polygon))
        channels = Counter({side: count for side, count in taken.items() if side not in sides})
        assert set(taken) >= sides
        assert max(taken.values()) == 1
        assert all((end, begin) in channels and (end, begin) not in sides for begin, end in channels)
        on_sides = {corner for side in sides for corner in side}
        ways = Counter(begin for begin, _ in channels)
        assert all(count == (1 if corner in on_sides else 2) for corner, count in ways.items())
        assert signed_area(polygon) == pytest.approx(np.count_nonzero(filled(polygon, inside.shape)))
        again ^= filled(polygon, inside.shape)
    assert np.array_equal(again, inside)
