"""Boxes that a user writes mean one stack and planes of it, or are refused in words that name them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.dicom.prompts.written import WrittenBox, WrittenPart, parse_box, regions_of_written, resolve
from dicomnode.domain import Box, PlaneKey, StackImages, Uid
from dicomnode.errors import Reason, Refused
from tests.values import frame, image, images_at, stack_at, stack_images

BOX = Box(x0=1.5, y0=-0.5, x1=7.0, y1=4.25)


def stacks() -> list[StackImages]:
    """Return two stacks of one series and one, of an image with frames, of another."""
    cine = image("1.4.1", None, series_uid=Uid("1.20.777"), frames=tuple(frame(None, number=n) for n in (1, 2, 3)))
    return [
        stack_images("1.2/1", *images_at(0.0, 2.5, 5.0)),
        stack_images("1.2/2", *images_at(0.0, 2.5, prefix="1.5")),
        stack_images("1.20.777/1", cine),
    ]


def test_one_plane_is_named_by_its_index() -> None:
    assert parse_box("1.2/1@2:1.5,-0.5,7,4.25") == WrittenBox(
        what="1.2/1@2:1.5,-0.5,7,4.25",
        item="1",
        target="1.2/1",
        parts=(WrittenPart(first=2, last=2, box=BOX),),
    )


@pytest.mark.parametrize(
    ("planes", "first", "last"),
    [
        ("0-4", 0, 4),
        ("4-0", 4, 0),
        (" 3 ", 3, 3),
        ("1.3.1", PlaneKey(Uid("1.3.1")), PlaneKey(Uid("1.3.1"))),
        ("1.4.1#3", PlaneKey(Uid("1.4.1"), 3), PlaneKey(Uid("1.4.1"), 3)),
        ("1.3.1-1.3.2", PlaneKey(Uid("1.3.1")), PlaneKey(Uid("1.3.2"))),
    ],
)
def test_planes_are_named_by_index_or_image(planes: str, first: object, last: object) -> None:
    (part,) = parse_box(f"1.2/1@{planes}:1,2,3,4").parts
    assert (part.first, part.last) == (first, last)


def test_a_target_may_hold_the_signs_that_part_a_text() -> None:
    assert parse_box("C:/a@b/x:1.dcm@0:1,2,3,4").target == "C:/a@b/x:1.dcm"


@pytest.mark.parametrize(
    "text",
    ["", "1.2/1", "1.2/1@0", "1.2/1:1,2,3,4", "@0:1,2,3,4", "1.2/1@0:1,2,3", "1.2/1@0:1,2,3,4,5", "1.2/1@0:1,2,3,x",
     "1.2/1@a:1,2,3,4", "1.2/1@1-2-3:1,2,3,4", "1.2/1@-1:1,2,3,4", "1.2/1@1.5#x:1,2,3,4", "1.2/1@0:",
     "1.2/1@1-:1,2,3,4", "1.2/1@0:3,2,1,4", "1.2/1@0:1,4,3,4", "1.2/1@0:nan,2,3,4", "1.2/1@0:1,2,inf,4"],
)  # fmt: skip
def test_a_text_of_another_form_is_refused_and_named(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_box(text)
    assert (refused.value.reason, refused.value.what) == (Reason.NO_BOX, text)


@pytest.mark.parametrize(
    ("target", "plane", "key"),
    [
        ("1.2/1", "0", "1.2/1"),
        ("1.2/2", "1", "1.2/2"),
        ("1.20.777", "0", "1.20.777/1"),
        ("...777", "2", "1.20.777/1"),
        ("0.777/1", "0", "1.20.777/1"),
        ("1.2", "1.5.1", "1.2/2"),  # one of the series' two stacks has it
        ("1.3.2.dcm", "1", "1.2/1"),  # a file
        ("1.5.2", "1", "1.2/2"),  # an image
        ("4.1", "1.4.1#3", "1.20.777/1"),  # the ending of an image
    ],
)
def test_a_target_is_a_stack_a_series_a_file_an_image_or_an_ending(target: str, plane: str, key: str) -> None:
    found = resolve([parse_box(f"{target}@{plane}:1,2,3,4")], stacks())
    assert found.exclusions == ()
    assert {stack: [box.target for box in boxes] for stack, boxes in found.boxes.items()} == {key: [key]}


def test_an_absolute_path_names_the_same_file() -> None:
    text = f"{Path('1.3.2.dcm').absolute()}@1:1,2,3,4"
    assert list(resolve([parse_box(text)], stacks()).boxes) == ["1.2/1"]


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("1.99@0:1,2,3,4", Reason.NO_IMAGES, "'1.99'"),
        ("1.2@0:1,2,3,4", Reason.AMBIGUOUS_SERIES, "1.2/1, 1.2/2"),
        ("/1@0:1,2,3,4", Reason.AMBIGUOUS_SERIES, "2 stacks"),
        ("1.2/1@3:1,2,3,4", Reason.BOX_OUTSIDE, "plane 3 of a stack with planes 0 to 2"),
        ("1.2/1@0-99:1,2,3,4", Reason.BOX_OUTSIDE, "plane 99"),
        ("1.2/1@1.5.1:1,2,3,4", Reason.NO_IMAGES, "1.5.1"),
        ("1.20.777/1@1.4.1:1,2,3,4", Reason.AMBIGUOUS_SERIES, "the frame must be named"),
        ("1.20.777/1@1.4.1#4:1,2,3,4", Reason.BOX_OUTSIDE, "frame 4"),
        ("1.3.3.dcm@0:1,2,3,4", Reason.BOX_OUTSIDE, "plane 0 is another image than 1.3.3.dcm, which is plane 2"),
        ("1.3.3@1-2:1,2,3,4", Reason.BOX_OUTSIDE, "plane 1 is another image than 1.3.3"),
    ],
)
def test_a_box_that_means_nothing_is_left_out_and_the_others_used(text: str, reason: Reason, words: str) -> None:
    here = stacks()[:2] if text.startswith("/1@") else stacks()
    if text.startswith("/1@"):
        here[1] = stack_images("1.6/1", *images_at(0.0, prefix="1.6", series_uid=Uid("1.6")))
    found = resolve([parse_box(text), parse_box("1.2/1@0:1,2,3,4")], here)
    assert [(one.what, one.reason, words in one.detail) for one in found.exclusions] == [(text, reason, True)]
    assert list(found.boxes) == ["1.2/1"]


def test_frame_1_of_an_image_of_one_is_the_image() -> None:
    assert resolve([parse_box("1.2/1@1.3.2#1:1,2,3,4")], stacks()).exclusions == ()


def regions(texts: Sequence[str]) -> list[dict[int, tuple[Box, ...]]]:
    stack = stack_at(0.0, 2.5, 5.0)
    found = regions_of_written([parse_box(text) for text in texts], stack)
    assert found.exclusions == ()
    return [dict(region.extents) for region in found.regions]


def test_a_box_in_space_has_its_extent_on_every_plane_of_the_range_in_either_order() -> None:
    every = {0: (BOX,), 1: (BOX,), 2: (BOX,)}
    texts = [f"1.2/1@{planes}:1.5,-0.5,7,4.25" for planes in ("0-2", "2-0", "1.3.3-0", "1.3.2")]
    assert regions(texts) == [every, every, every, {1: (BOX,)}]


def test_a_box_on_a_range_of_planes_is_one_and_several_are_not() -> None:
    stack = stack_at(0.0, 2.5, 5.0)
    ranges = [parse_box(f"1.2/1@{planes}:1,2,3,4") for planes in ("0-2", "2-1", "1", "1-1")]
    several = replace(ranges[0], parts=(*ranges[0].parts, *ranges[2].parts))
    found = regions_of_written([*ranges, several], stack).regions
    assert [region.solid for region in found] == [True, True, False, False, False]


def test_a_plane_that_could_not_be_read_is_told() -> None:
    found = regions_of_written([parse_box("1.2/1@2:1,2,3,4"), parse_box("1.2/1@0:1,2,3,4")], stack_at(0.0, 2.5))
    assert [one.reason for one in found.exclusions] == [Reason.BOX_OUTSIDE]
    assert len(found.regions) == 1


numbers = st.floats(-1e4, 1e4)


@given(numbers, numbers, st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.integers(0, 2), st.integers(0, 2))
def test_any_box_that_is_written_is_read_as_it_is(
    x: float, y: float, width: float, height: float, first: int, last: int
) -> None:
    box = Box(x0=x, y0=y, x1=x + width, y1=y + height)
    (found,) = regions([f"1.2/1@{first}-{last}:{box.x0},{box.y0},{box.x1},{box.y1}"])
    low, high = sorted((first, last))
    assert found == dict.fromkeys(range(low, high + 1), (box,))
