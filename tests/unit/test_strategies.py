"""Which course a prompt takes: by its boxes, the options and their rules."""

from dataclasses import replace

import pytest

from dicomnode.domain import FOLLOW, Box, JobOptions, Prompt, Rule, Stack, Strategy
from dicomnode.inference.classical import ClassicalRuntime
from dicomnode.inference.propagation import AsReference, Beyond, InBox
from dicomnode.inference.sections import Region, Section, Through
from dicomnode.inference.strategies import Course, Means, course_of, wanted_window
from tests.values import prompt, solid, stack_at

LEFT, RIGHT = Box(x0=0.5, y0=0.5, x1=3.5, y1=4.5), Box(x0=2.5, y0=1.5, x1=6.5, y1=5.5)
BOTH = Box(x0=0.5, y0=0.5, x1=6.5, y1=5.5)


def on(stack: Stack, boxes: dict[int, Box], label: str = "organ") -> Prompt:
    return prompt({stack.planes[index].key: box for index, box in boxes.items()}, label)


def course(stack: Stack, asked: Prompt, **options: object) -> Course:
    return course_of(asked, Means(stack, JobOptions(**options), 1.0, Strategy.PROPAGATE))  # type: ignore[arg-type]


def planes(found: Course) -> dict[int, Box]:
    """Return the boxes on planes that are known from the start."""
    return {section.number: box for section, box in found.boxes.items() if section.through is Through.PLANE}


def test_boxes_drawn_plane_by_plane_stay_on_their_planes() -> None:
    stack = stack_at(*range(9))
    found = course(stack, on(stack, {2: LEFT, 5: RIGHT}))
    assert found.strategy is Strategy.PER_PLANE
    assert planes(found) == {2: LEFT, 5: RIGHT}
    assert (len(found.up), len(found.down)) == (0, 0)


def test_a_box_on_a_range_of_planes_is_followed_from_its_middle() -> None:
    stack = stack_at(*range(9))
    found = course(stack, solid(stack, 1, 6, LEFT))
    assert found.strategy is Strategy.PROPAGATE
    assert planes(found) == {3: LEFT}
    assert (list(found.up), list(found.down)) == ([4, 5, 6], [2, 1])
    assert isinstance(found.follow, InBox)
    assert found.follow.fallback == LEFT


def test_what_is_best_done_with_a_3_d_box_is_the_models() -> None:
    stack = stack_at(*range(9))
    best = Means(stack, JobOptions(), 1.0, ClassicalRuntime().box_strategy)
    assert course_of(solid(stack, 1, 6, LEFT), best).strategy is Strategy.STATIC
    assert course_of(on(stack, {1: LEFT}), best).strategy is Strategy.PER_PLANE


def test_a_range_of_frames_without_a_place_is_no_3_d_box() -> None:
    film = replace(stack_at(*range(4)), frame_of_reference_uid=None)
    assert course(film, solid(film, 0, 3, LEFT)).strategy is Strategy.PER_PLANE


def test_a_box_on_one_plane_can_be_propagated() -> None:
    stack = stack_at(*range(3))
    found = course(stack, on(stack, {1: LEFT}), strategy=Strategy.PROPAGATE)
    assert (planes(found), list(found.up), list(found.down)) == ({1: LEFT}, [], [])


def test_boxes_that_differ_make_a_3_d_box_round_all_of_them() -> None:
    stack = stack_at(*range(9))
    drawn = on(stack, {2: LEFT, 6: RIGHT})
    assert planes(course(stack, drawn, strategy=Strategy.STATIC)) == dict.fromkeys(range(2, 7), BOTH)
    assert planes(course(stack, drawn, strategy=Strategy.PROPAGATE)) == {4: BOTH}
    assert planes(course(stack, on(stack, {2: LEFT, 4: RIGHT, 6: LEFT}), strategy=Strategy.PROPAGATE)) == {4: RIGHT}


def test_the_reference_follows_without_a_guard() -> None:
    stack = stack_at(*range(9))
    assert course(stack, solid(stack, 1, 6, LEFT), reference=True).follow == AsReference(fallback=LEFT)


@pytest.mark.parametrize(
    ("reach", "up", "down"),
    [(0, [], []), (2, [7, 8], [3, 2]), (9, [7, 8], [3, 2, 1, 0]), (FOLLOW, [7, 8], [3, 2, 1, 0])],
)
def test_an_object_is_followed_beyond_its_first_and_last_plane_as_far_as_asked(
    reach: int, up: list[int], down: list[int]
) -> None:
    stack = stack_at(*range(9))
    found = course(stack, on(stack, {4: LEFT, 6: RIGHT}), propagate=reach)
    assert (list(found.up), list(found.down)) == (up, down)
    assert isinstance(found.follow, Beyond)
    assert (found.open_ended, found.follow.until_lost) == (reach == FOLLOW, reach == FOLLOW)
    assert found.parameters == (() if not reach else (("propagate", "auto" if reach == FOLLOW else str(reach)),))


@pytest.mark.parametrize(
    "strategy", [Strategy.PROPAGATE, Strategy.STATIC, Strategy.TRIPLANAR_VOTE, Strategy.THREE_VIEW]
)
def test_where_a_strategy_follows_nothing_beyond_drawn_planes_a_note_says_so(strategy: Strategy) -> None:
    stack = stack_at(*range(9))
    drawn = on(stack, {4: LEFT, 6: RIGHT})
    (note,) = course(stack, drawn, strategy=strategy, propagate=FOLLOW).notes
    assert note == f"followed nowhere beyond the drawn planes: propagate auto is for per-plane, and this is {strategy}"
    assert course(stack, drawn, strategy=strategy).notes == ()
    assert course(stack, drawn, propagate=2).notes == ()
    assert course(stack, solid(stack, 1, 6, LEFT), strategy=strategy, propagate=2).notes == ()


def test_a_vote_needs_sections_through_rows_and_columns_of_the_box() -> None:
    stack = stack_at(*range(9))
    found = course(stack, solid(stack, 2, 5, LEFT), strategy=Strategy.TRIPLANAR_VOTE)
    assert planes(found) == dict.fromkeys(range(2, 6), LEFT)
    assert found.fusion is not None
    assert found.fusion().region == Region(range(2, 6), range(8), range(10))
    assert {section.number for section in found.boxes if section.through is Through.ROW} == {1, 2, 3, 4}
    assert {section.number for section in found.boxes if section.through is Through.COLUMN} == {1, 2, 3}
    assert found.boxes[Section(Through.ROW, 2)] == Box(x0=0.5, y0=1.5, x1=3.5, y1=5.5)
    assert found.boxes[Section(Through.COLUMN, 2)] == Box(x0=0.5, y0=1.5, x1=4.5, y1=5.5)


def test_without_a_regular_stack_there_is_no_vote_and_a_note_says_so() -> None:
    stack = stack_at(0, 1, 2, 4, 5, 6, 7)
    found = course(stack, solid(stack, 2, 4, LEFT), strategy=Strategy.TRIPLANAR_VOTE)
    assert (found.strategy, found.fusion) == (Strategy.STATIC, None)
    assert found.notes == ("triplanar-vote needs a regular stack and this is IRREGULAR, MISSING_SLICES: static",)


def test_of_each_wish_the_first_rule_that_fits_and_has_it_counts() -> None:
    stack = replace(stack_at(*range(9)), body_part="CHEST")
    rules = (
        Rule(modality=("MR",), strategy=Strategy.STATIC),
        Rule(body_part=("ABDOMEN",), strategy=Strategy.STATIC),
        Rule(modality=("CT", "PT"), window="lung"),
        Rule(roi="lesion.*|7", strategy=Strategy.PROPAGATE),
        Rule(modality=("CT",), body_part=("HEAD", "CHEST"), strategy=Strategy.PER_PLANE, propagate=2),
        Rule(propagate=FOLLOW, window="bone"),
    )
    lesion, other = on(stack, {4: LEFT}, "Lesion 2"), on(stack, {4: LEFT}, "big lesion")
    assert course(stack, lesion, rules=rules).strategy is Strategy.PROPAGATE
    assert course(stack, replace(other, source_item="7"), rules=rules).strategy is Strategy.PROPAGATE
    assert course(stack, other, rules=rules, strategy=Strategy.STATIC).strategy is Strategy.PER_PLANE
    assert list(course(stack, other, rules=rules, propagate=1).up) == [5, 6]
    assert wanted_window(stack, JobOptions(rules=rules)) == "lung"
    assert wanted_window(replace(stack, modality="MR"), JobOptions(rules=rules)) == "bone"


def test_without_a_rule_that_fits_the_options_count() -> None:
    stack = stack_at(*range(9))
    options = JobOptions(rules=(Rule(modality=("MR",), window="1/2"), Rule(roi="x", propagate=1)), window="40/400")
    assert wanted_window(stack, options) == "40/400"
    assert not course_of(on(stack, {4: LEFT}), Means(stack, options, 1.0, Strategy.PROPAGATE)).up
