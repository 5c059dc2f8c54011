from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box, ModelIdentity, PlaneKey, Prompt, Stack
from dicomnode.errors import Reason
from dicomnode.inference.segmenter import model_view, nothing_found, segment, summarise
from tests.fakes import FillsTheBox
from tests.values import mask, plane, prompt, stack_at

WHOLE = Box(x0=-0.5, y0=-0.5, x1=9.5, y1=7.5)
CORNER = Box(x0=-0.5, y0=-0.5, x1=1.5, y1=0.5)


@dataclass(frozen=True, slots=True)
class Counts:
    """A model that fills its boxes and remembers what it was asked."""

    encoded: list[float] = field(default_factory=list)
    decoded: list[list[list[float]]] = field(default_factory=list)
    spacings: list[tuple[float, float]] = field(default_factory=list)
    identity: ModelIdentity = FillsTheBox().identity
    least_side: float = 1.0

    def encode(self, image: NDArray[np.float32], spacing: tuple[float, float]) -> tuple[int, int]:
        self.encoded.append(float(image[0, 0]))
        self.spacings.append(spacing)
        return FillsTheBox().encode(image, spacing)

    def decode(self, features: tuple[int, int], boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        self.decoded.append(boxes.tolist())
        return FillsTheBox().decode(features, boxes)


def on(stack: Stack, boxes: dict[int, Box], label: str = "organ") -> Prompt:
    return prompt({stack.planes[index].key: box for index, box in boxes.items()}, label)


def tell_nobody(_done: int, _total: int) -> None:
    pass


def test_each_prompted_plane_is_encoded_once_and_its_boxes_are_one_batch() -> None:
    stack, model = stack_at(0, 1, 2, 3, spacing=(0.5, 2.0)), Counts()
    prompts = [on(stack, {1: WHOLE, 2: CORNER}), on(stack, {2: WHOLE}), on(stack, {2: CORNER})]
    masks = segment(stack, prompts, model, tell_nobody)
    assert len(model.encoded) == 2
    assert model.spacings == [(0.5, 2.0)] * 2
    assert [len(boxes) for boxes in model.decoded] == [1, 3]
    assert model.decoded[1][0] == [-0.5, -0.5, 1.5, 0.5]
    assert [{index: int(np.count_nonzero(inside)) for index, inside in one.planes.items()} for one in masks] == [
        {1: 80, 2: 2},
        {2: 80},
        {2: 2},
    ]


def test_progress_counts_the_prompted_planes() -> None:
    stack, told = stack_at(0, 1, 2, 3), []
    segment(stack, [on(stack, {0: WHOLE, 3: WHOLE})], FillsTheBox(), lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_a_box_on_a_plane_of_another_stack_is_an_error() -> None:
    with pytest.raises(KeyError):
        segment(stack_at(0, 1), [prompt({PlaneKey("1.99"): WHOLE})], FillsTheBox(), tell_nobody)  # type: ignore[arg-type]


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
    assert model_view(plane(stored=stored, slope=2.0, intercept=-5.0)).tolist() == [[-5, 15], [35, 55]]
    assert model_view(plane(stored=stored, inverted=True)).tolist() == [[0, -10], [-20, -30]]


def test_a_model_looks_at_the_colours_themselves() -> None:
    stored = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    seen = model_view(plane(stored=stored, slope=2.0, intercept=-5.0, padding=(3, 3)))
    assert seen.dtype == np.float32
    assert seen.tolist() == stored.tolist()


def test_a_mask_without_voxels_is_told() -> None:
    empty = mask({0: np.zeros((8, 10), dtype=bool)}, "nothing")
    full = mask({0: np.ones((8, 10), dtype=bool)})
    (told,) = nothing_found([empty, full])
    assert told.reason is Reason.EMPTY_RESULT
    assert "nothing" in told.what
