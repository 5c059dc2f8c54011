"""What becomes of objects that are followed from plane to plane, all of a job in lockstep."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from dicomnode.domain import FOLLOW, Box, JobOptions, Mask, Prompt, Rule, Stack, Strategy
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.runtime import Decoded
from dicomnode.inference.transforms import TO_CENTRES
from tests.fakes import BRIGHT, FillsTheBox, FindsBright, Size
from tests.values import masks_of, prompt, solid, stack_showing

SIDE = 64  # where the margin of a neighbour's box is 0.75 pixels
PLANES = 12
Volume = NDArray[np.int16]


def dark(planes: int = PLANES) -> Volume:
    """Return (plane, row, column) int16: each plane's number, which is dark."""
    volume: Volume = np.zeros((planes, SIDE, SIDE), np.int16)
    volume += np.arange(planes, dtype=np.int16)[:, None, None]
    return volume


def bar(places: Mapping[int, tuple[int, int]], planes: int = PLANES) -> Volume:
    """Return a volume in which rows 20 to 29 are bright, on plane -> from the first column to before the second."""
    volume = dark(planes)
    for plane, (first, last) in places.items():
        volume[plane, 20:30, first:last] = BRIGHT
    return volume


def box(columns: tuple[int, int], rows: tuple[int, int] = (20, 30)) -> Box:
    """Return the box of these columns and rows, each from the first to before the second."""
    return Box(x0=columns[0] - 0.5, y0=rows[0] - 0.5, x1=columns[1] - 0.5, y1=rows[1] - 0.5)


def columns_of(mask: Mask) -> dict[int, tuple[int, int]]:
    """Return from which to before which column something is inside, by plane."""
    there = {plane: np.flatnonzero(inside.any(axis=0)) for plane, inside in mask.planes.items()}
    return {plane: (int(columns[0]), int(columns[-1]) + 1) for plane, columns in there.items() if len(columns)}


def one_on(stack: Stack, plane: int, drawn: Box) -> Prompt:
    return prompt({stack.planes[plane].key: drawn})


STILL = dict.fromkeys(range(PLANES), (10, 20))


def test_within_a_3_d_box_each_plane_has_what_is_found_of_the_object() -> None:
    places = {plane: (10 + plane // 2, 20 + plane // 3) for plane in range(2, 10)}
    stack = stack_showing(bar(places))
    (mask,) = masks_of(stack, [solid(stack, 2, 9, box((8, 26), (15, 35)))], FindsBright())
    assert columns_of(mask) == places
    assert mask.parameters == (("strategy", "propagate"),)
    assert mask.quality == dict.fromkeys(range(2, 10), 1.0)
    assert mask.notes == ()


def test_an_object_ends_before_its_box_does_where_nothing_fits() -> None:
    stack = stack_showing(bar(dict.fromkeys(range(4, 8), (10, 20)) | {9: (30, 40)}))
    (mask,) = masks_of(stack, [solid(stack, 1, 10, box((8, 42)))], FindsBright())
    assert columns_of(mask) == dict.fromkeys(range(4, 8), (10, 20))
    assert set(mask.planes) == set(range(4, 8))
    assert mask.notes == (
        "it ends at plane 7: nothing that fits is found above, to plane 10",
        "it ends at plane 4: nothing that fits is found below, to plane 1",
    )


def test_where_a_neighbours_box_shows_too_little_the_objects_own_box_is_used_again() -> None:
    places = dict.fromkeys(range(3, 6), (10, 20)) | dict.fromkeys(range(6, 9), (10, 40))
    stack = stack_showing(bar(places))
    (mask,) = masks_of(stack, [solid(stack, 3, 7, box((8, 42)))], FindsBright())
    assert columns_of(mask) == {plane: places[plane] for plane in range(3, 8)}
    assert mask.notes == ("its own box was used again on planes 6, where what was followed was lost",)


@dataclass(frozen=True, slots=True)
class Drifts(FillsTheBox):
    """A model whose objects lie four pixels to the right of their boxes."""

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        """Return what fills the box, shifted."""
        return FillsTheBox.decode(self, features, boxes + np.array([4.0, 0.0, 4.0, 0.0]))


def test_a_drift_is_held_at_the_3_d_box() -> None:
    stack = stack_showing(dark())
    (mask,) = masks_of(stack, [solid(stack, 0, 11, box((10, 30)))], Drifts())
    last = columns_of(mask).values()
    assert len(last) == PLANES
    assert max(end for _, end in last) <= 30 + 1 + 4


@dataclass(frozen=True, slots=True)
class LosesIt(FillsTheBox):
    """A model that finds nothing on planes of this value and above."""

    start: int = 7

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:  # noqa: ARG002
        """Return the images' sizes, none where nothing is found."""
        return [Size(*image.shape) if image.flat[0] < self.start else Size(0, 0) for image in images]

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        """Return what fills the box, or nothing."""
        if features.rows:
            return FillsTheBox.decode(self, features, boxes)
        logits = np.full((len(boxes), SIDE, SIDE), -1, np.float32)
        return Decoded(logits=logits, quality=np.full(len(boxes), np.nan, np.float32))


def test_the_reference_never_ends_an_object_and_the_guard_does() -> None:
    stack = stack_showing(dark())
    drawn = [solid(stack, 3, 10, box((10, 30)))]
    (guarded,) = masks_of(stack, drawn, LosesIt())
    (reference,) = masks_of(stack, drawn, LosesIt(), JobOptions(reference=True))
    assert (set(guarded.planes), set(reference.planes)) == ({3, 4, 5, 6}, set(range(3, 11)))
    assert reference.parameters == (("strategy", "propagate"), ("reference", "true"))
    (found_later,) = masks_of(stack, [solid(stack, 5, 10, box((10, 30)))], LosesIt(start=6), JobOptions(reference=True))
    assert (set(columns_of(found_later)), len(found_later.planes)) == ({5}, 6)


def test_a_box_on_one_plane_stays_on_it() -> None:
    stack = stack_showing(bar(STILL))
    (mask,) = masks_of(stack, [one_on(stack, 5, box((8, 22)))], FindsBright())
    assert columns_of(mask) == {5: (10, 20)}
    assert mask.parameters == (("strategy", "per-plane"),)


def test_a_number_of_planes_beyond_is_followed_on_each_side() -> None:
    stack = stack_showing(bar(STILL))
    drawn = [one_on(stack, 5, box((8, 22)))]
    (mask,) = masks_of(stack, drawn, FindsBright(), JobOptions(propagate=2))
    assert columns_of(mask) == dict.fromkeys(range(3, 8), (10, 20))
    assert mask.parameters == (("strategy", "per-plane"), ("propagate", "2"))
    assert mask.notes == (
        "followed 2 planes above the drawn ones, from plane 5",
        "followed 2 planes below the drawn ones, from plane 5",
    )


@pytest.mark.parametrize(
    "beyond",
    [
        (40, 50),  # no overlap
        (10, 11),  # too small
        (60, 60),  # nothing
    ],
)
def test_an_object_is_followed_until_it_is_lost(beyond: tuple[int, int]) -> None:
    places = dict.fromkeys(range(2, 9), (10, 20)) | {1: beyond, 9: beyond}
    stack = stack_showing(bar(places))
    (mask,) = masks_of(stack, [one_on(stack, 5, box((8, 22)))], FindsBright(), JobOptions(propagate=FOLLOW))
    assert columns_of(mask) == dict.fromkeys(range(2, 9), (10, 20))
    assert mask.parameters == (("strategy", "per-plane"), ("propagate", "auto"))
    assert "followed 3 planes above the drawn ones, from plane 5" in mask.notes


def test_planes_between_drawn_ones_stay_without_a_mask() -> None:
    stack = stack_showing(bar(STILL))
    keys = [stack.planes[plane].key for plane in (4, 7)]
    (mask,) = masks_of(stack, [prompt(dict.fromkeys(keys, box((8, 22))))], FindsBright(), JobOptions(propagate=1))
    assert set(mask.planes) == {3, 4, 7, 8}


def test_planes_beyond_the_reach_are_not_encoded() -> None:
    stack, model = stack_showing(bar(dict.fromkeys(range(4, 8), (10, 20)))), FindsBright()
    masks_of(stack, [one_on(stack, 5, box((8, 22)))], model, JobOptions(propagate=FOLLOW))
    assert sorted(model.encoded) == [3, 4, 5, 6, 7, 8]


def test_an_object_is_not_followed_over_missing_planes_without_a_word() -> None:
    stack = stack_showing(bar(STILL), lost=[6, 7])
    (mask,) = masks_of(stack, [solid(stack, 3, 8, box((8, 22)))], FindsBright())
    assert mask.notes == ("followed over missing planes (2) between planes 5 and 6",)
    (beyond,) = masks_of(stack, [one_on(stack, 5, box((8, 22)))], FindsBright(), JobOptions(propagate=1))
    assert "followed over missing planes (2) between planes 5 and 6" in beyond.notes


def test_each_prompt_has_the_strategy_of_its_rule() -> None:
    stack = stack_showing(bar(STILL))
    drawn = [solid(stack, 2, 8, box((8, 22)), "one"), solid(stack, 2, 8, box((8, 22)), "two")]
    rules = (Rule(roi="two", strategy=Strategy.STATIC),)
    masks = masks_of(stack, drawn, FindsBright(), JobOptions(rules=rules))
    assert [dict(mask.parameters)["strategy"] for mask in masks] == ["propagate", "static"]


def test_objects_that_are_followed_towards_each_other_share_what_is_encoded_and_decoded() -> None:
    stack, model = stack_showing(bar(STILL)), FindsBright()
    drawn = [solid(stack, 0, 7, box((8, 22)), "low"), solid(stack, 4, 11, box((9, 23)), "high")]
    masks = masks_of(stack, drawn, model)
    assert [set(mask.planes) for mask in masks] == [set(range(8)), set(range(4, 12))]
    assert sorted(model.encoded) == list(range(PLANES))
    twice = Counter([4, 5, 6])  # the one comes from below and the other from above
    assert Counter(value for value, _ in model.decoded) == Counter(range(PLANES)) + twice


def test_boxes_of_a_plane_are_decoded_together_whichever_strategy_asks() -> None:
    stack, model = stack_showing(bar(STILL)), FindsBright()
    drawn = [
        solid(stack, 2, 8, box((8, 22)), "followed"),
        one_on(stack, 6, box((10, 20))),
        solid(stack, 2, 8, box((8, 30)), "static"),
    ]
    options = JobOptions(rules=(Rule(roi="static", strategy=Strategy.STATIC),))
    masks_of(stack, drawn, model, options)
    assert sorted((value, len(boxes)) for value, boxes in model.decoded) == [
        *((plane, 2) for plane in (2, 3, 4, 5)),
        (6, 3),
        *((plane, 2) for plane in (7, 8)),
    ]


@some.composite
def jobs(draw: some.DrawFn) -> tuple[Stack, list[Prompt], JobOptions]:
    """Return a stack with bright blocks, some prompts on it, and options."""
    blocks = draw(some.lists(some.tuples(*[some.integers(0, 40)] * 2, some.integers(2, 20)), min_size=1, max_size=4))
    volume = dark()
    for number, (row, column, size) in enumerate(blocks):
        for plane in range(number, PLANES):
            volume[plane, row : row + size, column + plane % 3 : column + size] = BRIGHT
    stack = stack_showing(volume)
    ends = some.tuples(some.integers(0, 11), some.integers(0, 11)).map(sorted)
    spans = draw(some.lists(some.tuples(ends, some.integers(0, 40), some.integers(3, 30)), min_size=1, max_size=4))
    drawn = [
        solid(stack, first, last, box((at, at + size), (at, at + size)), f"organ {number}")
        for number, ((first, last), at, size) in enumerate(spans)
    ]
    strategy = draw(some.sampled_from([Strategy.AUTO, Strategy.PER_PLANE, Strategy.STATIC]))
    return stack, drawn, JobOptions(strategy=strategy, propagate=draw(some.sampled_from([0, 2, FOLLOW])))


def same(one: Mask, other: Mask) -> bool:
    alike = one.planes.keys() == other.planes.keys() and one.notes == other.notes and one.quality == other.quality
    return alike and all((inside == other.planes[plane]).all() for plane, inside in one.planes.items())


@given(jobs(), some.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_in_lockstep_each_object_becomes_what_it_becomes_alone(
    job: tuple[Stack, list[Prompt], JobOptions], batch: int
) -> None:
    stack, drawn, options = job
    model = FindsBright(batch=batch)
    together = masks_of(stack, drawn, model, options)
    assert max(Counter(model.encoded).values()) == 1
    alone = [masks_of(stack, [one], FindsBright(), options)[0] for one in drawn]
    assert all(same(*pair) for pair in zip(together, alone, strict=True))
    without = masks_of(stack, drawn, FindsBright(batch=batch), options, cache=FeatureCache(0))
    assert all(same(*pair) for pair in zip(together, without, strict=True))


@dataclass(frozen=True, slots=True)
class Reference(FindsBright):
    """A model that sees bright pixels in the boxes that the reference would have asked for."""

    def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
        """Return what is bright in the whole pixels of the network's square, which is the image."""
        return FindsBright.decode(self, features, np.trunc(boxes + TO_CENTRES))


def by_the_reference(volume: Volume, first: int, last: int, drawn: Box) -> dict[int, NDArray[np.bool_]]:
    """Return the masks that the reference algorithm finds in a volume of 256 x 256 pixels, written down plainly."""
    x0, y0, x1, y1 = (int(side) for side in (drawn.x0 + 0.5, drawn.y0 + 0.5, drawn.x1 - 0.5, drawn.y1 - 0.5))
    middle = int((last - first) / 2 + first)
    masks: dict[int, NDArray[np.bool_]] = {}
    up, down = range(middle, last + 1), range(middle - 1, first - 1, -1)
    for plane, neighbour in (*((plane, plane - 1) for plane in up), *((plane, plane + 1) for plane in down)):
        left, top, right, bottom = x0, y0, x1, y1
        if plane != middle and masks[neighbour].any():
            rows, columns = np.nonzero(masks[neighbour])
            left, right = max(0, columns.min() - 3), min(256, columns.max() + 3)
            top, bottom = max(0, rows.min() - 3), min(256, rows.max() + 3)
        masks[plane] = np.zeros((256, 256), bool)
        masks[plane][top : bottom + 1, left : right + 1] = volume[plane, top : bottom + 1, left : right + 1] >= BRIGHT
    return masks


def test_the_reference_option_repeats_the_reference_algorithm() -> None:
    volume = np.zeros((9, 256, 256), np.int16)
    for plane in (0, 1, 2, 4, 5, 6, 7, 8):
        volume[plane, 100 : 130 + plane, 40 + 5 * plane : 90 + 2 * plane] = BRIGHT
    stack, drawn = stack_showing(volume), box((50, 120), (90, 150))
    (mask,) = masks_of(stack, [solid(stack, 0, 8, drawn)], Reference(), JobOptions(reference=True))
    wanted = by_the_reference(volume, 0, 8, drawn)
    assert {plane: int(inside.sum()) for plane, inside in sorted(mask.planes.items())} == {
        plane: int(inside.sum()) for plane, inside in sorted(wanted.items())
    }
    assert all((mask.planes[plane] == inside).all() for plane, inside in wanted.items())
