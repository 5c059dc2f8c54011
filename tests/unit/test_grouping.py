import pytest

from dicomnode.dicom.grouping import group, without_repeats
from dicomnode.domain import ImageInstance, StackImages
from dicomnode.errors import Reason
from tests.values import SERIES, frame, image, images_at

OBLIQUE = (1.0, 0.0, 0.0, 0.0, 0.8, 0.6)


def heights_of(stack: StackImages) -> list[float]:
    return [plane.frame.place.position[2] for plane in stack.planes if plane.frame.place]


def only_stack(images: list[ImageInstance]) -> StackImages:
    (stack,), exclusions = group(images)
    assert exclusions == ()
    return stack


def test_a_stack_ascends_along_the_normal_whatever_the_order_of_its_images() -> None:
    images = images_at(12.5, 0, 7.5, 2.5, 10, 5)
    assert heights_of(only_stack(images)) == [0, 2.5, 5, 7.5, 10, 12.5]


def test_with_the_normal_turned_round_a_stack_ascends_the_other_way() -> None:
    images = images_at(0, 2.5, 5, orientation=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    assert heights_of(only_stack(images)) == [5, 2.5, 0]


def test_the_key_names_series_and_number() -> None:
    assert only_stack(images_at(0, 1)).key == f"{SERIES}/1"


def test_directions_that_drift_in_the_fifth_digit_stay_one_stack() -> None:
    images = [
        image(f"1.3.{index}", (0.0, 0.0, float(index)), orientation=(1.0, index * 5e-5, 0.0, -index * 5e-5, 1.0, 0.0))
        for index in range(4)
    ]
    assert len(only_stack(images).images) == 4


@pytest.mark.parametrize(
    "odd",
    [
        {"orientation": OBLIQUE},
        {"frame_of_reference_uid": "1.9.2"},
        {"spacing": (0.5, 0.5)},
        {"rows": 9},
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_what_cannot_be_one_stack_makes_two(odd: dict[str, object]) -> None:
    stacks, exclusions = group([*images_at(0, 1, 2), *images_at(0.5, 3, prefix="1.4", **odd)])
    assert sorted(len(stack.images) for stack in stacks) == [2, 3]
    assert {stack.key for stack in stacks} == {f"{SERIES}/1", f"{SERIES}/2"}
    assert exclusions == ()


def test_the_numbers_of_stacks_do_not_depend_on_the_order_of_images() -> None:
    images = [*images_at(0, 1, 2), *images_at(0, 1, prefix="1.4", orientation=OBLIQUE)]
    backwards = list(reversed(images))
    assert group(images) == group(backwards)


def test_two_series_are_two_stacks() -> None:
    stacks, _ = group([*images_at(0, 1), *images_at(2, 3, prefix="1.4", series_uid="1.2.2")])
    assert [stack.key for stack in stacks] == ["1.2/1", "1.2.2/1"]


def test_a_stack_says_in_what_it_differs_from_the_others_of_its_series() -> None:
    (large, small), _ = group([*images_at(0, 1, 2), *images_at(0.5, 3, prefix="1.4", rows=9)])
    assert (large.split, small.split) == ((("Rows", "8"),), (("Rows", "9"),))
    assert only_stack(images_at(0, 1)).split == ()


def test_an_image_without_a_place_is_a_stack_of_one() -> None:
    stacks, exclusions = group([image("1.3.1", None, modality="DX"), image("1.3.2", None, modality="DX")])
    assert [[plane.key for plane in stack.planes] for stack in stacks] == [[("1.3.1", None)], [("1.3.2", None)]]
    assert {stack.frame_of_reference_uid for stack in stacks} == {None}
    assert exclusions == ()
    assert not any(stack.is_cine for stack in stacks)


def test_the_frames_of_an_image_without_a_place_are_one_stack_in_their_order() -> None:
    cine = image("1.3.1", None, frames=tuple(frame(None, number=number) for number in range(1, 13)))
    (stack,), _ = group([cine])
    assert [plane.key.frame for plane in stack.planes] == list(range(1, 13))
    assert stack.is_cine
    assert stack.images == (cine,)


def test_the_frames_of_one_image_ascend_along_the_normal() -> None:
    heights = {1: 5.0, 2: 0.0, 3: 2.5}
    frames = tuple(frame((0.0, 0.0, height), number=number) for number, height in heights.items())
    assert [plane.key.frame for plane in only_stack([image("1.3.1", frames=frames)]).planes] == [2, 3, 1]


def test_two_images_at_one_position_that_nothing_tells_apart_are_refused_with_their_series() -> None:
    stacks, (exclusion,) = group([*images_at(0, 1, 2), image("1.4", (0.0, 0.0, 1.0004))])
    assert stacks == ()
    assert exclusion.reason is Reason.DUPLICATE_POSITIONS
    assert "1.3.2.dcm at (0.0, 0.0, 1) and 1.4.dcm at (0.0, 0.0, 1.0004) mm" in exclusion.detail


def test_the_same_bytes_again_are_a_duplicate_and_other_bytes_a_conflict() -> None:
    first, second = images_at(0, 1)
    again, other = image("1.3.1", path="copy"), image("1.3.2", path="other", digest="another")
    kept, exclusions = without_repeats([first, second, again, other])
    assert kept == (first, second)
    assert [(one.what, one.reason) for one in exclusions] == [
        ("copy", Reason.DUPLICATE_INSTANCE),
        ("other", Reason.UID_CONFLICT),
    ]
