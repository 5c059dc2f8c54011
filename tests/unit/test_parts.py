import time

import numpy as np
import pytest

from dicomnode.dicom.prompts.parts import between, components, widest_gap
from dicomnode.domain import Box

HEIGHTS = np.linspace(0.0, 47.5, 20)


def box(x0: float, y0: float, side: float = 4.0) -> Box:
    return Box(x0=x0, y0=y0, x1=x0 + side, y1=y0 + side)


def filled(extents: dict[int, tuple[Box, ...]]) -> dict[int, Box]:
    return between(extents, HEIGHTS, widest_gap(extents, HEIGHTS))


def test_islands_are_parts_of_their_own_on_every_plane_they_share() -> None:
    extents = {0: (box(0, 0), box(20, 0)), 1: (box(21, 1), box(1, 1))}
    assert components(extents, 1) == [{0: (box(0, 0),), 1: (box(1, 1),)}, {0: (box(20, 0),), 1: (box(21, 1),)}]


def test_a_hole_belongs_to_the_part_it_lies_in() -> None:
    assert len(components({3: (box(0, 0, 10), box(2, 2, 3))}, 1)) == 1


def test_two_branches_that_join_on_another_plane_are_one_part() -> None:
    assert len(components({0: (box(0, 0), box(10, 0)), 1: (box(0, 0, 14),)}, 1)) == 1


def test_parts_are_not_joined_across_a_gap_that_is_not_filled() -> None:
    drawn = {index: (box(0, 0),) for index in (0, 1, 2, 8, 9, 10)}
    assert [sorted(part) for part in components(drawn, widest_gap(drawn, HEIGHTS))] == [[0, 1, 2], [8, 9, 10]]


@pytest.mark.parametrize(
    ("planes", "widest"),
    [
        ((), 1),
        ((5,), 1),
        ((5, 6), 1),
        ((0, 4), 4),
        ((0, 5), 1),  # 12.5 mm: too far apart to tell
        ((0, 5, 10), 9),
        ((0, 3, 7), 5),  # never on two that follow each other
        ((0, 2, 4, 5, 6), 1),  # of two steps the least
        ((0, 2, 4, 6, 12), 3),
        ((0, 2, 5, 7), 3),
        ((0, 1, 2, 5, 6), 1),  # where all are drawn, what is left out is not meant
    ],
)
def test_how_wide_a_gap_is_filled_is_told_by_how_a_region_is_drawn(planes: tuple[int, ...], widest: int) -> None:
    assert widest_gap(planes, HEIGHTS) == widest


def test_two_planes_alone_are_two_cuts_of_one_thing_up_to_ten_millimetres() -> None:
    heights = np.arange(0.0, 20.0, 2.0)
    assert (widest_gap((0, 5), heights), widest_gap((0, 6), heights)) == (5, 1)


def test_thousands_of_boxes_on_each_other_are_joined_at_once() -> None:
    many = tuple(box(index % 7, index % 5) for index in range(4000))
    apart = tuple(box(10.0 * (index % 50), 10.0 * (index // 50)) for index in range(2000))
    begun = time.process_time()
    assert (len(components({0: many, 1: many}, 1)), len(components({0: apart}, 1))) == (1, 2000)
    assert time.process_time() - begun < 5


def test_planes_between_every_third_are_filled_by_straight_lines() -> None:
    made = filled({0: (box(0, 0),), 3: (box(3, 0),), 6: (box(3, 3),)})
    assert sorted(made) == [1, 2, 4, 5]
    assert (made[1], made[5]) == (box(1, 0), box(3, 2))


def test_planes_are_filled_by_their_heights() -> None:
    assert between({0: (box(0, 0),), 2: (box(4, 0),)}, np.array([0.0, 1.0, 4.0]), 2) == {1: box(1, 0)}


def test_each_part_is_filled_by_itself() -> None:
    made = filled({0: (box(0, 0),), 2: (box(0, 0), box(20, 0)), 4: (box(20, 0),), 6: (box(0, 0), box(20, 0))})
    assert made == {1: box(0, 0), 3: box(20, 0), 5: box(20, 0)}


def test_a_plane_between_has_the_box_round_all_parts() -> None:
    assert filled({0: (box(0, 0), box(8, 0)), 2: (box(0, 0), box(8, 0))}) == {1: Box(x0=0, y0=0, x1=12, y1=4)}


def test_a_wider_gap_than_the_others_is_left_open() -> None:
    assert filled({index: (box(0, 0),) for index in (0, 1, 2, 9, 10)}) == {}
    assert sorted(filled({index: (box(0, 0),) for index in (0, 2, 4, 9)})) == [1, 3]


def test_two_boxes_apart_are_no_two_cuts_of_one_thing() -> None:
    assert filled({0: (box(0, 0),), 4: (box(50, 0),)}) == {}


def test_nothing_is_filled_where_every_plane_is_drawn_or_only_one() -> None:
    assert filled({0: (box(0, 0),), 1: (box(0, 0),)}) == {}
    assert filled({5: (box(0, 0),)}) == {}
