from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box, PlaneKey, Prompt, Stack, Uid
from dicomnode.errors import Reason
from dicomnode.inference.runtime import AsShown, Decoded
from dicomnode.inference.segmenter import boxes_at_once, nothing_found, summarise
from tests.fakes import FillsTheBox, Size
from tests.values import mask, masks_of, plane, prompt, stack_at

WHOLE = Box(x0=-0.5, y0=-0.5, x1=9.5, y1=7.5)
CORNER = Box(x0=-0.5, y0=-0.5, x1=1.5, y1=0.5)


@dataclass(frozen=True, slots=True)
class Counts(FillsTheBox):
    """A model that fills its boxes and remembers what it was asked."""

    encoded: list[float] = field(default_factory=list)
    decoded: list[list[list[float]]] = field(default_factory=list)
    spacings: list[tuple[float, float]] = field(default_factory=list)

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:
        self.encoded.extend(float(image[0, 0]) for image in images)
        self.spacings.append(spacing)
        return FillsTheBox().encode(images, spacing)

    def decode(self, features: Size, boxes: NDArray[np.float64]) -> Decoded:
        self.decoded.append(boxes.tolist())
        return FillsTheBox().decode(features, boxes)


def on(stack: Stack, boxes: dict[int, Box], label: str = "organ") -> Prompt:
    return prompt({stack.planes[index].key: box for index, box in boxes.items()}, label)


def with_numbers(stack: Stack) -> Stack:
    """Return `stack` with the number of each plane as its values."""
    planes = [replace(one, stored=one.stored + number) for number, one in enumerate(stack.planes)]
    return replace(stack, planes=tuple(planes))


def test_each_prompted_plane_is_encoded_once_and_its_boxes_are_one_batch() -> None:
    stack, model = with_numbers(stack_at(0, 1, 2, 3, spacing=(0.5, 2.0))), Counts()
    prompts = [on(stack, {1: WHOLE, 2: CORNER}), on(stack, {2: WHOLE}), on(stack, {2: CORNER})]
    masks = masks_of(stack, prompts, model)
    assert model.encoded == [1, 2]
    assert model.spacings == [(0.5, 2.0)] * 2
    assert [len(boxes) for boxes in model.decoded] == [1, 3]
    assert model.decoded[1][0] == [-0.5, -0.5, 1.5, 0.5]
    assert [{index: int(np.count_nonzero(inside)) for index, inside in one.planes.items()} for one in masks] == [
        {1: 80, 2: 2},
        {2: 80},
        {2: 2},
    ]


def test_many_boxes_of_a_plane_are_decoded_in_parts_that_memory_is_enough_for() -> None:
    stack, model = stack_at(0, 1), Counts()
    prompts = [on(stack, {1: CORNER if number == 20 else WHOLE}) for number in range(40)]
    masks = masks_of(stack, prompts, model)
    assert [len(boxes) for boxes in model.decoded] == [16, 16, 8]
    assert [one.voxels for one in masks] == [2 if number == 20 else 80 for number in range(40)]


@pytest.mark.parametrize(
    ("shape", "count"), [((512, 512), 16), ((2048, 2048), 16), ((3024, 4032), 5), ((9000, 9000), 1)]
)
def test_fewer_boxes_are_decoded_together_on_larger_images(shape: tuple[int, int], count: int) -> None:
    assert boxes_at_once(shape) == count


def test_progress_counts_the_prompted_planes() -> None:
    stack, told = stack_at(0, 1, 2, 3), []
    prompts = [on(stack, {0: WHOLE, 3: WHOLE})]
    masks_of(stack, prompts, FillsTheBox(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_a_box_on_a_plane_of_another_stack_is_an_error() -> None:
    with pytest.raises(KeyError):
        masks_of(stack_at(0, 1), [prompt({PlaneKey(Uid("1.99")): WHOLE})], FillsTheBox())


def test_the_volume_is_voxels_times_pixel_area_times_slab() -> None:
    stack = stack_at(0, 4, 10, spacing=(0.5, 2.0))
    inside = np.zeros((8, 10), dtype=bool)
    inside[:2, :5] = True
    (one,) = summarise([mask({1: inside, 2: inside})], stack)
    assert (one.number, one.voxels, one.planes) == (1, 20, 2)
    assert one.volume_ml == pytest.approx(10 * 0.5 * 2.0 * (5 + 6) / 1000)


def test_planes_without_a_place_have_no_volume() -> None:
    stack = replace(stack_at(0), frame_of_reference_uid=None)
    (one,) = summarise([mask({0: np.ones((8, 10), dtype=bool)})], stack)
    assert (one.voxels, one.planes, one.volume_ml) == (80, 1, None)


def test_a_model_looks_at_a_modalitys_values_with_monochrome1_turned_round() -> None:
    stored = np.array([[0, 10], [20, 30]], dtype=np.int16)
    assert AsShown().image(plane(stored=stored, slope=2.0, intercept=-5.0)).tolist() == [[-5, 15], [35, 55]]
    assert AsShown().image(plane(stored=stored, inverted=True)).tolist() == [[0, -10], [-20, -30]]


def test_a_model_looks_at_the_colours_themselves() -> None:
    stored = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    seen = AsShown().image(plane(stored=stored, slope=2.0, intercept=-5.0, padding=(3, 3)))
    assert seen.dtype == np.float32
    assert seen.tolist() == stored.tolist()


def test_a_mask_without_voxels_is_told() -> None:
    empty = mask({0: np.zeros((8, 10), dtype=bool)}, "nothing")
    full = mask({0: np.ones((8, 10), dtype=bool)})
    (told,) = nothing_found([empty, full])
    assert told.reason is Reason.EMPTY_RESULT
    assert "nothing" in told.what
