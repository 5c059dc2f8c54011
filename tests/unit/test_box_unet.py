"""What the built-in model makes of images and boxes, and where it lays what its network answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Strategy
from dicomnode.errors import Reason, Refused
from dicomnode.inference.box_unet import MOST_CROPS, BoxUnetRuntime
from dicomnode.inference.crops import SIDE
from dicomnode.inference.engines import Answers, Device, EngineIdentity, EngineName, Precision

SHAPE = (60, 80)
IMAGE = np.random.default_rng(3).normal(100, 30, SHAPE).astype(np.float32)
ALONG = (np.arange(SIDE) - (SIDE - 1) / 2) * (3 / SIDE)  # -1 and 1 at the sides of the box
Placed = tuple[float, float, float, float]


class Says:
    """A network that answers `answer` of each of its crops, (box, channel, row, column)."""

    identity = EngineIdentity(
        engine=EngineName.ONNX, version="1", device=Device.CPU, precision=Precision.FP32, reason="a test"
    )

    def __init__(self, answer: Callable[[NDArray[np.float32]], Any]) -> None:
        self.batches: list[int] = []
        self._answer = answer

    def run(self, crops: NDArray[np.float32]) -> Answers:
        self.batches.append(len(crops))
        logits = np.broadcast_to(self._answer(crops), (len(crops), SIDE, SIDE))
        return logits.astype(np.float32), np.linspace(0.5, 1, len(crops), dtype=np.float32)


def found(answer: Callable[[NDArray[np.float32]], Any], *boxes: Placed, image: Any = IMAGE) -> NDArray[np.float32]:  # noqa: ANN401
    runtime = BoxUnetRuntime("ab" * 32, Says(answer))
    (features,) = runtime.encode([image], (1.0, 1.0))
    logits = runtime.decode(features, np.array(boxes, np.float64)).logits
    assert np.isfinite(logits).all()
    return logits


def centres_in(box: Placed, shape: tuple[int, int] = SHAPE) -> NDArray[np.bool_]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside: NDArray[np.bool_] = (box[0] <= x) & (x <= box[2]) & (box[1] <= y) & (y <= box[3])
    return inside


BOXES = {
    "inside": (10.5, 20.5, 40.5, 45.5),
    "sub-pixel": (10.2, 20.9, 33.7, 45.3),
    "wide": (3.5, 30.5, 75.5, 33.5),
    "high": (30.5, 2.5, 32.5, 57.5),
    "one pixel": (30.5, 20.5, 31.5, 21.5),
    "upper left": (-0.5, -0.5, 20.5, 9.5),
    "upper right": (60.5, -0.5, 79.5, 20.5),
    "lower left": (-0.5, 40.5, 12.5, 59.5),
    "lower right": (70.5, 50.5, 79.5, 59.5),
    "all": (-0.5, -0.5, 79.5, 59.5),
    "beyond": (-12.5, 40.5, 8.5, 70.5),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_network_that_takes_all_gives_exactly_the_pixels_in_the_box(box: Placed) -> None:
    assert np.array_equal(found(lambda _: 1.0, box)[0] > 0, centres_in(box))


@pytest.mark.parametrize("box", [BOXES[name] for name in BOXES if name not in {"sub-pixel", "beyond"}])
def test_a_network_that_answers_where_its_box_is_gives_exactly_the_pixels_in_the_box(box: Placed) -> None:
    assert np.array_equal(found(lambda crops: crops[:, 4] - 0.1, box)[0] > 0, centres_in(box))


@pytest.mark.parametrize("box", [(10.2, 20.9, 33.7, 45.3), (3.5, 30.5, 75.5, 41.5), (-0.5, 10.0, 60.25, 59.5)])
def test_what_the_network_says_of_a_place_is_said_of_that_place(box: Placed) -> None:
    """A slope across the crop, and one down it, become the same slopes on the image."""
    inside = centres_in(box)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    across = (2 * x - box[0] - box[2]) / (box[2] - box[0])
    down = (2 * y - box[1] - box[3]) / (box[3] - box[1])
    assert np.abs(found(lambda _: ALONG + 2, box)[0] - 2 - across)[inside].max() < 0.03
    assert np.abs(found(lambda _: ALONG[:, np.newaxis] + 2, box)[0] - 2 - down)[inside].max() < 0.03


@pytest.mark.parametrize("logit", [-1.0, -9.0, -40.0])
def test_a_box_in_which_nothing_is_likely_has_its_likeliest_pixel_inside(logit: float) -> None:
    bowl = logit - ALONG**2 - ALONG[:, np.newaxis] ** 2
    logits = found(lambda _: bowl, (10.5, 20.5, 31.5, 41.5))[0]
    assert np.argwhere(logits > 0).tolist() == [[31, 21]]
    assert np.sort(logits[centres_in((10.5, 20.5, 31.5, 41.5))])[-2] < -0.9  # of the others the same is said as before


def test_a_box_beyond_the_image_has_nothing_inside() -> None:
    assert not (found(lambda _: 1.0, (-20.0, 5.0, -3.0, 9.0)) > 0).any()


@pytest.mark.parametrize("side", [1.0, 2000.0])
def test_a_box_of_any_size_is_answered(side: float) -> None:
    image = np.random.default_rng(1).normal(0, 1, (2100, 2100)).astype(np.float32)
    box = (20.5, 30.5, 20.5 + side, 30.5 + side)
    assert np.array_equal(found(lambda _: 1.0, box, image=image)[0] > 0, centres_in(box, (2100, 2100)))


@pytest.mark.parametrize(
    "image",
    [
        np.full(SHAPE, np.nan, np.float32),
        np.full(SHAPE, 7.0, np.float32),
        np.where(IMAGE > 100, np.inf, IMAGE).astype(np.float32),
        np.where(IMAGE > 100, np.nan, -np.inf).astype(np.float32),
        np.zeros((1, 1), np.float32),
        np.zeros((1, 80), np.float32),
    ],
    ids=["NaN", "constant", "infinite in part", "no number", "one pixel", "one row"],
)
def test_images_of_any_values_are_seen(image: NDArray[np.float32]) -> None:
    def sees_numbers(crops: NDArray[np.float32]) -> float:
        assert np.isfinite(crops).all()
        return 1.0

    assert (found(sees_numbers, (-0.5, -0.5, 0.5, 0.5), image=image) > 0).sum() == 1


def test_of_colours_the_brightness_is_seen() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3)).astype(np.float32)
    grey = (colours * np.array([0.299, 0.587, 0.114], np.float32)).sum(axis=-1)
    box = BOXES["inside"]
    expected = found(lambda crops: crops[:, 0], box, image=grey)
    assert np.array_equal(found(lambda crops: crops[:, 0], box, image=colours), expected)


def test_the_boxes_of_a_plane_are_run_together_and_many_in_parts() -> None:
    network = Says(lambda _: 1.0)
    runtime = BoxUnetRuntime("ab" * 32, network)
    (features,) = runtime.encode([IMAGE], (1.0, 1.0))
    boxes = np.repeat([BOXES["inside"]], MOST_CROPS + 3, axis=0)
    decoded = runtime.decode(features, boxes)
    assert network.batches == [MOST_CROPS, 3]
    assert (decoded.logits.shape, decoded.quality.shape) == ((len(boxes), *SHAPE), (len(boxes),))
    none = runtime.decode(features, np.zeros((0, 4)))
    assert (none.logits.shape, none.quality.shape) == ((0, *SHAPE), (0,))


def test_an_answer_that_is_no_number_is_refused() -> None:
    with pytest.raises(Refused, match="engine onnx in fp32 answers what is no number") as refused:
        found(lambda _: np.nan, BOXES["inside"])
    assert (refused.value.reason, refused.value.what) == (Reason.BAD_MODEL, "model 'box-unet'")


def test_it_says_what_it_is_and_what_it_needs() -> None:
    runtime = BoxUnetRuntime("ab" * 32, Says(lambda _: 1.0))
    assert (runtime.identity.name, runtime.identity.source) == ("box-unet", "ab" * 32)
    assert dict(runtime.identity.parameters)["engine"] == "onnx 1"
    assert (runtime.box_strategy, runtime.size_of(IMAGE)) == (Strategy.THREE_VIEW, 0)
