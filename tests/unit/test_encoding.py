"""How images are encoded: in batches that the job alone decides, ahead of those who ask, and never twice in vain."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import FOLLOW, Box, JobOptions, Mask, Prompt, Stack
from dicomnode.inference.encoding import AHEAD
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.runtime import Decoded
from tests.fakes import BRIGHT, FillsTheBox, FindsBright
from tests.values import masks_of, prompt, solid, stack_showing

BOX = Box(x0=3.5, y0=3.5, x1=12.5, y1=12.5)


def stack_of(planes: int, start: int = 0) -> Stack:
    """Return planes that show a bright square in the dark, and their numbers from `start`."""
    volume = np.zeros((planes, 16, 16), np.int16) + np.arange(start, start + planes, dtype=np.int16)[:, None, None]
    volume[:, 5:10, 5:10] = BRIGHT
    return stack_showing(volume)


def drawn_on(stack: Stack, *planes: int) -> Prompt:
    return prompt({stack.planes[plane].key: BOX for plane in planes})


@dataclass(frozen=True, slots=True)
class MixesBatches(FindsBright):
    """A model whose result depends on what is encoded together, as rounding does; it remembers the batches."""

    batches: list[list[float]] = field(default_factory=list)

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Any:  # noqa: ANN401, ARG002
        """Return the images with a pixel that is bright where the batch has that many images before this one."""
        self.batches.append([float(image.flat[0]) for image in images])
        mixed = [image.copy() for image in images]
        for number, image in enumerate(mixed):
            image[4, 4 + number] = image[11, 3 + len(images)] = BRIGHT
        return mixed


def bytes_of(masks: Sequence[Mask]) -> list[tuple[int, bytes]]:
    return [(plane, inside.tobytes()) for mask in masks for plane, inside in sorted(mask.planes.items())]


def test_images_are_encoded_in_batches_in_the_order_of_their_visits() -> None:
    stack, model = stack_of(12), MixesBatches(batch=3)
    masks_of(stack, [drawn_on(stack, 1, 2, 4, 5, 6), solid(stack, 3, 11, BOX)], model)
    assert model.batches == [[1, 2, 7], [8, 9, 10], [11, 6, 5], [4, 3]]


def test_what_may_not_be_needed_is_not_encoded_with_what_is() -> None:
    stack, model = stack_of(12), MixesBatches(batch=4)
    masks_of(stack, [drawn_on(stack, 5, 6)], model, JobOptions(propagate=FOLLOW))
    assert model.batches == [[5, 6], [7, 8, 9, 10], [11], [4, 3, 2, 1], [0]]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_neither_the_cache_nor_another_job_changes_a_byte(size: int) -> None:
    stack = stack_of(12)
    drawn = [solid(stack, 0, 8, BOX, "low"), solid(stack, 3, 11, BOX, "high"), drawn_on(stack, 1, 9)]
    fresh = bytes_of(masks_of(stack, drawn, MixesBatches(batch=size)))
    cache = FeatureCache()
    model = MixesBatches(batch=size)
    masks_of(stack, [drawn_on(stack, 2, 3, 4, 5)], model, cache=cache)
    assert bytes_of(masks_of(stack, drawn, model, cache=cache)) == fresh
    before = len(model.batches)
    assert bytes_of(masks_of(stack, drawn, model, cache=cache)) == fresh
    assert len(model.batches) == before
    for bound in (0, 1100, 5000):
        assert bytes_of(masks_of(stack, drawn, MixesBatches(batch=size), cache=FeatureCache(bound))) == fresh


def test_a_plane_of_another_job_is_not_encoded_again() -> None:
    stack, model, cache = stack_of(6), FindsBright(), FeatureCache()
    masks_of(stack, [drawn_on(stack, 1, 2, 3)], model, cache=cache)
    masks_of(stack, [drawn_on(stack, 2, 3, 4)], model, cache=cache)
    assert model.encoded == [1, 2, 3, 4]


def test_features_that_are_not_to_be_kept_are_made_again() -> None:
    @dataclass(frozen=True, slots=True)
    class Forgets(FindsBright):
        def size_of(self, features: Any) -> int:  # noqa: ANN401, ARG002
            return 0

    stack, model, cache = stack_of(3), Forgets(), FeatureCache()
    for _ in range(2):
        masks_of(stack, [drawn_on(stack, 1)], model, cache=cache)
    assert model.encoded == [1, 1]


@dataclass(frozen=True, slots=True)
class Paces(FindsBright):
    """A model that notes in which thread it encodes, and how far encoding is ahead of decoding."""

    leads: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Any:  # noqa: ANN401
        """Encode, and note it."""
        self.threads.add(threading.current_thread().name)
        self.leads.append(len(self.encoded) - len(self.decoded))
        return FindsBright.encode(self, images, spacing)


def test_encoding_runs_ahead_on_a_thread_within_a_bound() -> None:
    stack, model = stack_of(40), Paces()
    masks_of(stack, [drawn_on(stack, *range(40))], model)
    assert max(model.leads) <= AHEAD
    assert threading.current_thread().name not in model.threads


def test_all_jobs_encode_on_one_thread() -> None:
    model = Paces()
    for stack in (stack_of(3), stack_of(4)):
        masks_of(stack, [drawn_on(stack, 1)], model)
    assert len(model.threads) == 1
    assert len([one for one in threading.enumerate() if one.name.startswith("encode")]) == 1


def test_nothing_is_encoding_any_more_when_a_job_breaks_off() -> None:
    going_on, ended = threading.Event(), threading.Event()

    @dataclass(frozen=True, slots=True)
    class Slow(FindsBright):
        def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Any:  # noqa: ANN401
            if self.encoded:
                going_on.set()
                ended.wait(0.2)
                ended.set()
            return FindsBright.encode(self, images, spacing)

        def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401, ARG002
            assert going_on.wait(10)
            raise FloatingPointError

    stack = stack_of(9)
    with pytest.raises(FloatingPointError):
        masks_of(stack, [drawn_on(stack, *range(9))], Slow())
    assert ended.is_set()


def test_encoding_does_not_wait_for_what_is_decoded() -> None:
    ahead = threading.Event()

    @dataclass(frozen=True, slots=True)
    class Waits(FindsBright):
        def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Any:  # noqa: ANN401
            if len(self.encoded) == AHEAD:
                ahead.set()
            return FindsBright.encode(self, images, spacing)

        def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
            assert ahead.wait(10)
            return FindsBright.decode(self, features, boxes)

    stack = stack_of(5)
    masks_of(stack, [drawn_on(stack, *range(5))], Waits())
    assert ahead.is_set()


@dataclass(frozen=True, slots=True)
class Breaks(FindsBright):
    """A model that cannot encode one of its images, or decode."""

    decodes: bool = True

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> Any:  # noqa: ANN401
        """Raise what nobody expects at the third image."""
        if len(self.encoded) == 2:
            raise ZeroDivisionError("a bug")
        return FindsBright.encode(self, images, spacing)

    def decode(self, features: Any, boxes: NDArray[np.float64]) -> Decoded:  # noqa: ANN401
        """Raise what nobody expects."""
        if not self.decodes:
            raise FloatingPointError("another")
        return FindsBright.decode(self, features, boxes)


@pytest.mark.parametrize(
    ("model", "error"), [(Breaks(), ZeroDivisionError), (Breaks(decodes=False), FloatingPointError)]
)
def test_an_error_of_the_model_is_raised_as_it_is(model: Breaks, error: type[Exception]) -> None:
    stack = stack_of(9)
    with pytest.raises(error):
        masks_of(stack, [drawn_on(stack, *range(9))], model)


def test_whoever_is_told_of_the_progress_may_break_it_off() -> None:
    stack, model = stack_of(30), FindsBright()

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        masks_of(stack, [drawn_on(stack, *range(30))], model, progress=stop)
    assert len(model.encoded) <= 2 + AHEAD + 1


def test_planes_of_different_spacing_are_not_encoded_together() -> None:
    stack, model = stack_of(4), MixesBatches(batch=4)
    planes = [replace(one, spacing=(1.0, 2.0)) if number == 2 else one for number, one in enumerate(stack.planes)]
    masks_of(replace(stack, planes=tuple(planes)), [drawn_on(stack, *range(4))], model)
    assert model.batches == [[0, 1], [2], [3]]


def test_no_prompts_need_no_look_at_the_stack() -> None:
    class Blind(FillsTheBox):
        def look(self, stack: Stack, window: str, *, reference: bool) -> Any:  # noqa: ANN401
            raise AssertionError(f"it looks at {stack.key} through {window}, {reference}")

    assert masks_of(stack_of(2), [], Blind()) == ()
