import numpy as np
import pytest

from dicomnode.dicom.naming import tables_of
from dicomnode.dicom.prompts.region import Drawn, Region, Regions
from dicomnode.dicom.prompts.settle import Surroundings, settle
from dicomnode.domain import AnnotationKind, Box, JobOptions, Prompt, Prompts, Stack, Uid
from dicomnode.errors import Reason
from tests.values import annotation, stack_at

STACK = stack_at(0, 2.5, 5, 7.5, 10)  # 8 rows, 10 columns of 1 mm


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def region(name: str = "organ", item: str = "1", **changes: object) -> Region:
    fields: dict[str, object] = {"what": f"item {item}", "item": item, "name": name}
    fields |= {"extents": {2: (box(2, 2, 6, 6),)}} | changes
    return Region(**fields)  # type: ignore[arg-type]


def settled(
    *regions: Region,
    least_side: float = 3.0,
    stack: Stack = STACK,
    kind: AnnotationKind = AnnotationKind.RTSTRUCT,
    **options: object,
) -> Prompts:
    around = Surroundings(
        annotation=annotation(kind=kind),
        stack=stack,
        options=JobOptions(**options),  # type: ignore[arg-type]
        tables=tables_of((), ""),
        least_side=least_side,
    )
    return settle(Regions(regions=regions), around)


def only(found: Prompts) -> Prompt:
    (prompt,) = found.prompts
    assert found.exclusions == ()
    return prompt


def test_a_region_is_a_prompt_with_its_box_on_the_plane_it_was_drawn_on() -> None:
    prompt = only(settled(region()))
    assert prompt.boxes == {STACK.planes[2].key: box(2, 2, 6, 6)}
    assert (prompt.label, prompt.source_item, prompt.margin_mm) == ("organ", "1", 0.0)


def test_one_box_for_a_range_of_planes_stays_one() -> None:
    extents = dict.fromkeys((1, 2), (box(2, 2, 6, 6),))
    assert only(settled(region(extents=extents, solid=True))).solid
    assert not only(settled(region(extents=extents))).solid


def test_several_parts_on_a_plane_are_one_box() -> None:
    prompt = only(settled(region(extents={1: (box(1, 1, 4, 4), box(6, 2, 9, 7))})))
    assert list(prompt.boxes.values()) == [box(1, 1, 9, 7)]


def test_islands_are_prompts_of_their_own_where_that_is_asked_for() -> None:
    found = settled(region(extents={1: (box(0, 1, 3, 4), box(6, 2, 9, 7))}), split_components=True)
    assert [(prompt.label, list(prompt.boxes.values())) for prompt in found.prompts] == [
        ("organ part 1", [box(0, 1, 3, 4)]),
        ("organ part 2", [box(6, 2, 9, 7)]),
    ]
    assert len({prompt.tracking_uid for prompt in found.prompts}) == 2


APART = {1: (box(0, 1, 3, 4), box(6, 2, 9, 7))}


def test_islands_have_tracking_uids_of_their_own_where_their_region_states_one() -> None:
    stated = region(extents=APART, tracking_id="T1", tracking_uid=Uid("2.25.7"))
    first, second = settled(stated, split_components=True).prompts
    assert len({first.tracking_uid, second.tracking_uid, Uid("2.25.7")}) == 3
    assert (first.tracking_id, second.tracking_id) == ("T1 part 1", "T1 part 2")
    assert settled(stated, split_components=True).prompts == (first, second)


def test_regions_that_state_one_tracking_uid_are_told_apart_and_a_note_says_so() -> None:
    found = settled(*(region(item=item, tracking_uid=Uid("2.25.7")) for item in ("1", "2", "3")))
    uids = [prompt.tracking_uid for prompt in found.prompts]
    assert (uids[0], len(set(uids))) == ("2.25.7", 3)
    assert ["2.25.7" in " ".join(prompt.notes) for prompt in found.prompts] == [False, True, True]


def test_regions_of_one_number_are_told_apart() -> None:
    assert len({prompt.tracking_uid for prompt in settled(region("a"), region("b")).prompts}) == 2


@pytest.mark.parametrize(("pattern", "count"), [("organ", 2), ("1", 2), ("1/2", 1), ("organ part 1", 1), ("x", 0)])
def test_islands_are_selected_by_the_name_or_number_of_their_region_too(pattern: str, count: int) -> None:
    assert len(settled(region(extents=APART), split_components=True, roi=pattern).prompts) == count


def test_points_and_outlines_belong_to_the_island_they_lie_in() -> None:
    lines = [np.array([[x, 2.0], [x + 1, 3.0]]) for x in (1.0, 7.0)]
    points = {1: ((7.0, 3.0), (1.0, 2.0), (4.5, 7.0)), 3: ((2.0, 2.0),)}
    found = settled(region(extents=APART, points=points, outlines={1: tuple(lines)}), split_components=True).prompts
    first, third = STACK.planes[1].key, STACK.planes[3].key
    assert [prompt.points for prompt in found] == [
        {first: ((1.0, 2.0),)},
        {first: ((7.0, 3.0),)},
        {first: ((4.5, 7.0),), third: ((2.0, 2.0),)},
    ]
    assert [[line.tolist() for line in prompt.outlines.get(first, ())] for prompt in found] == [
        [lines[0].tolist()],
        [lines[1].tolist()],
        [],
    ]


def test_an_island_is_filled_as_its_region_is_drawn() -> None:
    planes = stack_at(*(2.5 * number for number in range(13)))
    drawn = {index: (box(0, 1, 3, 4),) for index in (0, 6)} | {12: (box(0, 1, 3, 4), box(6, 2, 9, 7))}
    found = settled(region(extents=drawn), stack=planes, split_components=True).prompts
    assert [len(prompt.boxes) for prompt in found] == [13, 1]


def test_planes_between_are_filled_by_their_places() -> None:
    uneven = stack_at(0, 1, 4)
    drawn = region(extents={0: (box(1, 1, 5, 5),), 2: (box(5, 1, 9, 5),)})
    assert only(settled(drawn, stack=uneven)).boxes[uneven.planes[1].key] == box(2, 1, 6, 5)


def test_planes_between_drawn_ones_are_filled_and_a_note_says_so() -> None:
    drawn = region(extents={0: (box(1, 1, 5, 5),), 4: (box(3, 1, 7, 5),)})
    prompt = only(settled(drawn))
    assert prompt.boxes[STACK.planes[2].key] == box(2, 1, 6, 5)
    assert len(prompt.boxes) == 5
    assert any("interpolated" in note for note in prompt.notes)
    assert len(only(settled(drawn, interpolate=False)).boxes) == 2


def test_planes_between_drawn_ones_that_get_no_boxes_are_named() -> None:
    planes = stack_at(*range(30))
    drawn = region(extents={index: (box(1, 1, 5, 5),) for index in (0, 1, 2, 4, 5, 9, 10, 12, 13, 20)})
    prompt = only(settled(drawn, stack=planes))
    assert len(prompt.boxes) == 10
    assert prompt.notes == ("no boxes on planes 3, 6-8, 11 and in 1 more gaps between drawn ones",)
    assert only(settled(drawn, stack=planes, interpolate=False)).notes == ()


def test_a_region_with_more_outlines_on_a_plane_than_anybody_draws_is_refused_and_the_others_are_used() -> None:
    many = region(extents={0: (box(1, 1, 5, 5),) * 20_001})
    found = settled(many, region(extents={0: (box(1, 1, 5, 5),)}))
    assert (len(found.prompts), [one.reason for one in found.exclusions]) == (1, [Reason.LIMIT])


def test_between_the_planes_of_a_mask_nothing_is_filled() -> None:
    drawn = region(extents={0: (box(1, 1, 5, 5),), 2: (box(3, 1, 7, 5),)})
    prompt = only(settled(drawn, kind=AnnotationKind.SEG))
    assert list(prompt.boxes) == [STACK.planes[0].key, STACK.planes[2].key]


def test_between_boxes_that_are_settled_nothing_is_filled() -> None:
    drawn = region(extents={0: (box(1, 1, 5, 5),), 2: (box(3, 1, 7, 5),)}, settled=True)
    assert list(only(settled(drawn)).boxes) == [STACK.planes[0].key, STACK.planes[2].key]


def test_a_box_of_one_pixel_is_grown_to_three_and_a_note_says_so() -> None:
    prompt = only(settled(region(extents={2: (box(3.5, 3.5, 4.5, 4.5),)})))
    assert list(prompt.boxes.values()) == [box(2.5, 2.5, 5.5, 5.5)]
    assert prompt.notes == ("plane 2: grown to 3 pixels",)


def test_a_box_partly_outside_is_clipped_and_one_outside_is_refused() -> None:
    prompt = only(settled(region(extents={2: (box(-4, 2, 6, 6),)})))
    assert list(prompt.boxes.values()) == [box(-0.5, 2, 6, 6)]
    (exclusion,) = settled(region(extents={2: (box(20, 2, 26, 6),)})).exclusions
    assert exclusion.reason is Reason.BOX_OUTSIDE


def test_measurement_lines_are_given_room_and_outlines_are_not() -> None:
    lines = only(settled(region(drawn=Drawn.LINE)))
    assert (lines.margin_mm, list(lines.boxes.values())) == (2.0, [box(0, 0, 8, 7.5)])
    assert only(settled(region(drawn=Drawn.LINE), margin_mm=3.0)).margin_mm == 3.0


def test_boxes_that_have_their_margin_are_not_widened() -> None:
    prompt = only(settled(region(settled=True, drawn=Drawn.LINE), margin_mm=3.0))
    assert (prompt.margin_mm, list(prompt.boxes.values())) == (0.0, [box(2, 2, 6, 6)])


def test_regions_of_one_name_bear_their_numbers() -> None:
    found = settled(region("node", "1"), region("node", "7"), region("liver", "8"))
    assert [prompt.label for prompt in found.prompts] == ["node #1", "node #7", "liver"]


def test_a_region_is_selected_by_its_name_or_number() -> None:
    regions = (region("node", "1"), region("liver", "8"))
    for pattern, label in (("LIV.*", "liver"), ("8", "liver"), ("node", "node")):
        found = settled(*regions, roi=pattern)
        assert [prompt.label for prompt in found.prompts] == [label]
        assert [one.reason for one in found.exclusions] == [Reason.NOT_SELECTED]


def test_points_are_kept_as_points() -> None:
    prompt = only(settled(region(extents={}, points={3: ((1.0, 2.0),)})))
    assert (prompt.boxes, prompt.points) == ({}, {STACK.planes[3].key: ((1.0, 2.0),)})


@pytest.mark.parametrize("point", [(-0.6, 2.0), (9.6, 2.0), (2.0, -0.6), (2.0, 7.6), (float("nan"), 2.0)])
def test_points_outside_the_image_are_left_out_and_named(point: tuple[float, float]) -> None:
    found = settled(region(extents={}, points={3: ((-0.5, 7.5), point)}))
    assert [prompt.points for prompt in found.prompts] == [{STACK.planes[3].key: ((-0.5, 7.5),)}]
    (exclusion,) = found.exclusions
    assert (exclusion.reason, exclusion.what) == (Reason.BOX_OUTSIDE, "item 1, plane 3")
    assert f"({point[0]:.1f}, {point[1]:.1f})" in exclusion.detail
    alone = settled(region(extents={}, points={3: (point,)}))
    assert (alone.prompts, [one.reason for one in alone.exclusions]) == ((), [Reason.BOX_OUTSIDE])


def test_a_region_without_a_name_is_called_by_its_number() -> None:
    assert only(settled(region("", "4"))).label == "Segment 4"


def test_backslashes_and_control_characters_are_no_part_of_a_label() -> None:
    assert only(settled(region("left\\right\n" + "x" * 80))).label == "left_right_" + "x" * 53


def test_the_name_gives_codes_where_the_annotation_states_none() -> None:
    prompt = only(settled(region("Lt Kidney")))
    assert (prompt.type.meaning, [code.meaning for code in prompt.modifiers]) == ("Kidney", ["Left"])


def test_long_names_keep_what_tells_them_apart() -> None:
    found = settled(region("x" * 70 + "a", "1"), region("x" * 70 + "b", "2"))
    assert [prompt.label for prompt in found.prompts] == ["x" * 61 + " #1", "x" * 61 + " #2"]
    parts = settled(region("x" * 70, extents=APART), split_components=True)
    assert [prompt.label for prompt in parts.prompts] == ["x" * 57 + " part 1", "x" * 57 + " part 2"]
