"""The network of LiteMedSAM has the published tensors and computes what its description says, in every engine."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.scan import scan
from dicomnode.inference.engines import Device, Engine, EngineName, EngineWish, Precision, open_engine
from dicomnode.inference.layouts import layout_of
from dicomnode.planning import plan
from tests import lite_medsam_reference as reference
from tests.arithmetic import require_bf16
from tests.folders import planes_of
from tests.reading import dice
from tests.weights import lite_medsam_layout, model_folder, random_weights

# sha256 of the published list, a line a tensor: name, shape and dtype with tabs between them
PUBLISHED = "ffa2c39ec25d054abb282b8c28e674efcb65fc7533f8d5e52445d2adda08a8ec"
TENSORS, PARAMETERS, NUMBERS = 435, 9_791_300, 9_801_439

PACKAGES = {EngineName.ONNX: "onnxruntime", EngineName.OPENVINO: "openvino", EngineName.TORCH: "torch"}
ENGINES = list(PACKAGES)
WEIGHTS = cache(lambda: random_weights(1))
BOXES = np.array([[40, 50, 120, 130], [10.3, 100.8, 250, 199.2], [100, 100, 110, 108]], np.float32)
PLACES = [(0, 0), (37, 201), (90, 80), (150, 150), (255, 255)]  # (row, column)
# By the reference in float64 from WEIGHTS and image 1, for each of BOXES: the predicted IoU, the logits at PLACES.
GOLDEN = [
    (1.1759, [5.0110, -1.0750, -0.0698, -4.5852, 3.1887]),
    (1.0490, [6.9926, -1.8617, 0.5207, -6.1781, 3.3167]),
    (1.1446, [6.7287, -1.9585, -0.0327, -5.8667, 2.2596]),
]

# part of the encoder -> the same of the reference, and a shape that it takes; the network has channels first
PARTS: dict[str, tuple[Callable[..., NDArray[np.float32]], tuple[int, int, int]]] = {
    "patch_embed.seq": (reference.stem, (8, 8, 3)),
    "layers.0": (reference.stage_of_convolutions, (8, 8, 64)),
    "layers.2": (lambda weights, x: reference.stage_of_attention(weights, x, 6, 14), (64, 64, 160)),
    "layers.3": (lambda weights, x: reference.stage_of_attention(weights, x, 2, 7), (64, 64, 320)),
    "neck": (reference.neck, (8, 8, 320)),
}


class Bench:
    """The engines with one model, each opened once, and the features that they found, kept for the next test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.engine: Callable[..., Engine] = cache(self._opened)
        self.features: Callable[[EngineName, int], Any] = cache(self._encoded)

    def _opened(self, name: EngineName, precision: Precision = Precision.FP32) -> Engine:
        pytest.importorskip(PACKAGES[name], reason=f"engine {name} is not installed")
        return open_engine(EngineWish(engine=name, device=Device.CPU, precision=precision), self._folder)

    def _encoded(self, name: EngineName, seed: int) -> Any:  # noqa: ANN401 - the engine's own
        (features,) = self.engine(name).encode(images_of([seed]))
        return features


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(model_folder(tmp_path_factory.mktemp("lite-medsam"), WEIGHTS()))


@pytest.fixture(scope="session")
def network() -> Any:  # noqa: ANN401 - torch may be missing
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    network = import_module("dicomnode.inference.networks.lite_medsam").LiteMedSam()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in WEIGHTS().items()}, strict=True)
    return network.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="session")
def real_logits(data_dir: Path, bench: Bench) -> Callable[[EngineName], NDArray[np.float32]]:
    """Return a function that says what an engine makes of BOXES on a CT slice, (box, 256, 256) float32."""
    path = sorted((data_dir / "ibsi_sts/dicom/STS_005/CT/image").iterdir())[30]
    (images,) = plan(scan([path])[0]).stacks
    (plane,) = planes_of(images).planes
    grey = ((plane.shown() + 160) / 400).clip(0, 1)  # the window 40/400
    square = np.pad(grey, [(0, 256 - size) for size in grey.shape]).astype(np.float32)

    def logits(name: EngineName) -> NDArray[np.float32]:
        (features,) = bench.engine(name).encode(np.repeat(square[np.newaxis, np.newaxis], 3, axis=1))
        return bench.engine(name).decode(features, BOXES)[0]

    return cache(logits)


def images_of(seeds: Sequence[int]) -> NDArray[np.float32]:
    """Return an image for each seed, (image, 3, 256, 256) in 0..1: squares with noise, and zeros below them."""
    images = []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        squares = np.kron(generator.random((3, 16, 16)), np.ones((16, 16)))
        images.append(0.8 * squares + 0.2 * generator.random((3, 256, 256)))
        images[-1][:, 200:] = 0
    return np.stack(images).astype(np.float32)


def assert_close(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_the_list_of_tensors_is_the_published_one() -> None:
    layout = lite_medsam_layout()
    lines = "".join(f"{one.name}\t{one.shape}\ttorch.{one.dtype}\n" for one in layout)
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED
    assert (len(layout), sum(prod(one.shape) for one in layout)) == (TENSORS, NUMBERS)


def test_the_network_has_the_tensors_of_the_list_in_its_order(network: Any) -> None:  # noqa: ANN401
    assert layout_of(network) == tuple(one._replace(used=True) for one in lite_medsam_layout())
    assert sum(one.numel() for one in network.parameters()) == PARAMETERS


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_encoder_computes_what_its_description_says(network: Any, name: str) -> None:  # noqa: ANN401
    torch = import_module("torch")
    computed, shape = PARTS[name]
    # so small that what a norm adds to the variance shows
    x = np.random.default_rng(7).normal(0, 0.01, shape).astype(np.float32)
    part = network.get_submodule(f"image_encoder.{name}")
    (found,) = part(torch.from_numpy(x.transpose(2, 0, 1)[np.newaxis].copy())).numpy()
    expected = computed(reference.part(WEIGHTS(), f"image_encoder.{name}"), x)
    assert_close(found.transpose(1, 2, 0), expected, 1e-5 * abs(expected).max())


def test_boxes_places_and_transformer_are_those_of_the_description(network: Any, bench: Bench) -> None:  # noqa: ANN401
    torch = import_module("torch")
    plane = bench.features(EngineName.TORCH, 1)
    seen: list[Any] = []
    transformer = network.mask_decoder.transformer
    hook = transformer.register_forward_hook(lambda _, given, found: seen.extend([given[0], given[2], *found]))
    network.decode(plane, torch.from_numpy(BOXES[1:2]))
    hook.remove()
    tokens, positions, tokens_after, image_after = (one.numpy().reshape(-1, 256) for one in seen)
    prompts = reference.part(WEIGHTS(), "prompt_encoder")
    assert_close(tokens[-2:], reference.box_tokens(prompts, BOXES[1]), 1e-5)
    assert_close(positions, reference.dense_positions(prompts), 1e-5)
    weights = reference.part(WEIGHTS(), "mask_decoder.transformer")
    expected = reference.two_way_transformer(weights, tokens, plane.image[0].numpy(), positions)
    assert_close(tokens_after, expected[0], 2e-5)
    assert_close(image_after, expected[1], 2e-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_network_computes_what_its_description_says(network: Any, bench: Bench, seed: int) -> None:  # noqa: ANN401
    torch = import_module("torch")
    logits, quality = network.decode(bench.features(EngineName.TORCH, seed), torch.from_numpy(BOXES))
    embedding = reference.encode(WEIGHTS(), images_of([seed])[0])
    for number, box in enumerate(BOXES):
        expected, expected_quality = reference.decode(WEIGHTS(), embedding, box)
        assert 1 < expected.std() < 10
        assert_close(logits[number].numpy(), expected, 2e-4)
        assert float(quality[number]) == pytest.approx(expected_quality, abs=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_golden_numbers(bench: Bench, name: EngineName) -> None:
    logits, quality = bench.engine(name).decode(bench.features(name, 1), BOXES)
    assert (logits.shape, quality.shape) == ((3, 256, 256), (3,))
    for found, of_box, (golden_quality, golden) in zip(logits, quality, GOLDEN, strict=True):
        assert float(of_box) == pytest.approx(golden_quality, abs=2e-4)
        assert [float(found[place]) for place in PLACES] == pytest.approx(golden, abs=5e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_boxes_together_give_what_each_gives_alone(bench: Bench, name: EngineName) -> None:
    engine, features = bench.engine(name), bench.features(name, 1)
    logits, quality = engine.decode(features, BOXES)
    for number in range(len(BOXES)):
        alone, quality_alone = engine.decode(features, BOXES[number : number + 1])
        assert_close(logits[number], alone[0], 1e-4)
        assert_close(quality[number], quality_alone[0], 1e-4)


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        (EngineName.ONNX, (2,)),
        (EngineName.ONNX, (2, 1)),
        (EngineName.ONNX, (1, 2, 2, 1)),
        (EngineName.OPENVINO, (2, 1)),
        (EngineName.TORCH, (2, 1)),  # four take it ten seconds on a CPU, where it is given one at a time
    ],
)
def test_images_together_give_what_torch_gives_for_each(bench: Bench, name: EngineName, seeds: tuple[int, ...]) -> None:
    engine, torch = bench.engine(name), bench.engine(EngineName.TORCH)
    for features, seed in zip(engine.encode(images_of(seeds)), seeds, strict=True):
        expected = torch.decode(bench.features(EngineName.TORCH, seed), BOXES[:1])
        for found, of_torch in zip(engine.decode(features, BOXES[:1]), expected, strict=True):
            assert_close(found, of_torch, 1e-4)


@pytest.mark.parametrize("name", [EngineName.OPENVINO, EngineName.TORCH])
def test_half_as_many_bits_change_little(bench: Bench, name: EngineName) -> None:
    require_bf16(name)
    exact = bench.engine(name).decode(bench.features(name, 1), BOXES)[0]
    engine = bench.engine(name, Precision.BF16)
    (features,) = engine.encode(images_of([1]))
    found = engine.decode(features, BOXES)[0]
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.03 * exact.std()


@pytest.mark.data
@pytest.mark.parametrize(("name", "other"), list(combinations(ENGINES, 2)))
def test_engines_agree_on_a_real_slice(
    real_logits: Callable[[EngineName], NDArray[np.float32]], name: EngineName, other: EngineName
) -> None:
    found, expected = real_logits(name), real_logits(other)
    assert_close(found, expected, 1e-3)
    for one, another in zip(found, expected, strict=True):
        assert dice(one > 0, another > 0) >= 0.999
