"""The built-in network on every engine, and the model as it comes with the package."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box, JobOptions, Strategy
from dicomnode.errors import Reason, Refused, SettingsError
from dicomnode.inference import benching, library
from dicomnode.inference.box_unet import BoxUnetRuntime, load
from dicomnode.inference.crops import crops_of
from dicomnode.inference.engines import Device, EngineName, EngineWish, Network, Precision, open_network
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.layouts import NETWORK_NAME, WEIGHTS_NAME
from dicomnode.inference.library import check_files, shipped_model
from dicomnode.inference.lineage import sha256_of
from dicomnode.inference.loading import ModelWish
from dicomnode.inference.segmenter import segment
from dicomnode.shared import shared_file
from tests.arithmetic import require_bf16
from tests.values import solid, stack_of
from tests.weights import BUILT_IN, box_unet_folder

MOST_BYTES = 6_000_000
IMAGE = np.random.default_rng(0).normal(40, 10, (120, 150)).astype(np.float32)
BOXES = np.array([(10.5, 20.5, 70.5, 90.5), (-0.5, -0.5, 149.5, 119.5), (30.2, 40.1, 36.7, 90.0), (5, 5, 6, 6)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return box_unet_folder(tmp_path_factory.mktemp("box-unet"))


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return opened(folder, EngineName.ONNX, Precision.FP32).run(crops_of(IMAGE, BOXES))


def opened(folder: Path, name: EngineName, precision: Precision) -> Network:
    if name is not EngineName.ONNX:
        pytest.importorskip(name.value)
    if precision is Precision.BF16:
        require_bf16(name)
    return open_network(EngineWish(engine=name, device=Device.CPU, precision=precision), folder)


def test_the_graph_that_is_shipped_is_that_of_the_network(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from dicomnode.inference.networks.graphs import make_network  # noqa: PLC0415 - needs torch

    make_network(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {name: (BUILT_IN / name).read_bytes() for name in (NETWORK_NAME, "layout.json")}


def test_what_is_shipped_is_what_the_catalog_says_and_small() -> None:
    model = shipped_model("box-unet")
    check_files(model)
    assert set(model.lineage.files) == {NETWORK_NAME, WEIGHTS_NAME}
    assert (model.folder / NETWORK_NAME).stat().st_size < 200_000
    assert model.size < MOST_BYTES


@pytest.mark.parametrize(
    ("name", "precision", "most"),
    [
        (EngineName.OPENVINO, Precision.FP32, 1e-4),
        (EngineName.TORCH, Precision.FP32, 1e-4),
        (EngineName.OPENVINO, Precision.BF16, 0.25),
        (EngineName.TORCH, Precision.BF16, 0.25),
    ],
)
def test_the_engines_agree(
    name: EngineName, precision: Precision, most: float, folder: Path, expected: tuple[Any, Any]
) -> None:
    network = opened(folder, name, precision)
    assert network.identity.precision is precision
    logits, quality = network.run(crops_of(IMAGE, BOXES))
    assert 0.3 < expected[0].std() < 10
    assert np.abs(logits - expected[0]).max() < most
    assert np.abs(quality - expected[1]).max() < most


@pytest.mark.parametrize("name", EngineName)
def test_a_box_alone_is_the_same_as_in_a_batch(name: EngineName, folder: Path) -> None:
    network, crops = opened(folder, name, Precision.FP32), crops_of(IMAGE, BOXES)
    logits, quality = network.run(crops)
    alone = [network.run(crops[number : number + 1]) for number in range(len(crops))]
    assert np.abs(np.concatenate([one for one, _ in alone]) - logits).max() < 1e-5
    assert np.abs(np.concatenate([one for _, one in alone]) - quality).max() < 1e-5
    if name is EngineName.ONNX:
        assert b"".join(one.tobytes() for one, _ in alone) == logits.tobytes()


@pytest.mark.parametrize("name", EngineName)
def test_by_itself_it_runs_in_fp32_on_a_cpu_and_says_why(name: EngineName, folder: Path) -> None:
    identity = opened(folder, name, Precision.AUTO).identity
    assert (identity.device, identity.precision) == (Device.CPU, Precision.FP32)
    assert "fp32" in identity.reason


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (EngineWish(device=Device.CUDA), "engine 'onnx' runs on the CPU"),
        (EngineWish(precision=Precision.BF16), "engine 'onnx' on 'cpu' has: fp32"),
        (EngineWish(engine=EngineName.OPENVINO, device=Device.CUDA), "engine 'openvino' runs on the CPU"),
        (EngineWish(engine=EngineName.OPENVINO, precision=Precision.INT8), "has: fp32"),
        (EngineWish(engine=EngineName.TORCH, device=Device.CPU, precision=Precision.FP16), r"has: fp32(, bf16)?$"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_when_the_model_is_loaded(wish: EngineWish, said: str) -> None:
    if wish.engine is not EngineName.ONNX:
        pytest.importorskip(wish.engine.value)
    with pytest.raises(SettingsError, match=said):
        ModelWish(name="box-unet", folder=Path("/nowhere"), engine=wish)()


@pytest.mark.parametrize("name", EngineName)
def test_the_settings_of_the_engine_are_those_of_the_model(name: EngineName) -> None:
    if name is not EngineName.ONNX:
        pytest.importorskip(name.value)
    wish = EngineWish(engine=name, device=Device.CPU)
    identity = ModelWish(name="box-unet", folder=Path("/nowhere"), engine=wish)().identity
    parameters = dict(identity.parameters)
    assert parameters["engine"].startswith(f"{name.value} ")
    assert parameters["weights"] == f"sha256:{shipped_model('box-unet').lineage.weights_sha256}"
    assert ModelWish(name="classical", folder=Path("/nowhere"), engine=wish)().identity.name == "classical"


@pytest.mark.parametrize("name", [WEIGHTS_NAME, NETWORK_NAME])
def test_a_damaged_install_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "box-unet"
    shutil.copytree(BUILT_IN, installed)
    content = bytearray((installed / name).read_bytes())
    content[-1] ^= 1
    (installed / name).write_bytes(content)
    monkeypatch.setattr(
        library,
        "shared_file",
        lambda path: installed / "README.md" if path.endswith("README.md") else shared_file(path),
    )
    with pytest.raises(Refused, match=f"{name} has changed: .*; install dicomnode again") as refused:
        load(EngineWish())
    assert (refused.value.reason, refused.value.what) == (Reason.BAD_MODEL, "model 'box-unet'")
    (installed / name).unlink()
    with pytest.raises(Refused, match=f"{name} cannot be read: No such file"):
        load(EngineWish())


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_runs_on_it(strategy: Strategy, folder: Path) -> None:
    z, y, x = np.mgrid[:8, :32, :40]
    ball = ((z - 4) / 3) ** 2 + ((y - 15) / 9) ** 2 + ((x - 20) / 12) ** 2 <= 1
    stack = stack_of(*(ball * 100).astype(np.int16), slope=1.0, intercept=0.0)
    prompt = solid(stack, 1, 6, Box(x0=7.5, y0=5.5, x1=32.5, y1=24.5))
    runtime = BoxUnetRuntime("ab" * 32, opened(folder, EngineName.ONNX, Precision.FP32))
    options = JobOptions(strategy=strategy)
    (mask,) = segment(stack, [prompt], runtime, options, cache=FeatureCache(), progress=lambda *_: None)
    assert mask.voxels > 0
    used = Strategy.THREE_VIEW if strategy is Strategy.AUTO else strategy
    assert mask.parameters[0] == ("strategy", used.value)


def test_colours_are_segmented(folder: Path) -> None:
    colours = stack_of(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8), modality="ES")
    runtime = BoxUnetRuntime("ab" * 32, opened(folder, EngineName.ONNX, Precision.FP32))
    look = runtime.look(colours, "auto", reference=False)
    (features,) = runtime.encode([look.image(colours.planes[0])], (1.0, 1.0))
    decoded = runtime.decode(features, np.array([[3.0, 4.0, 30.0, 20.0]]))
    assert decoded.logits.shape == (1, 40, 60)
    assert (decoded.logits > 0).any()


def test_weights_of_a_training_become_those_that_are_shipped(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    from dicomnode.inference.networks.box_unet import BoxUnet  # noqa: PLC0415 - needs torch
    from dicomnode.inference.networks.shipping import write_shipped  # noqa: PLC0415 - needs torch

    torch.manual_seed(3)
    network = BoxUnet()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    shutil.copyfile(BUILT_IN / NETWORK_NAME, tmp_path / NETWORK_NAME)
    sha256 = write_shipped(network.state_dict(), tmp_path)
    assert sha256 == sha256_of(tmp_path / WEIGHTS_NAME)
    crops = crops_of(IMAGE, BOXES)
    with torch.inference_mode():
        logits, quality = (one.numpy() for one in network.eval()(torch.from_numpy(crops)))
    found = opened(tmp_path, EngineName.ONNX, Precision.FP32).run(crops)
    assert np.abs(found[0] - logits).max() < 0.01 * np.abs(logits).max()
    assert np.abs(found[1] - quality).max() < 0.01
    network.mask.weight.data.fill_(1e30)
    with pytest.raises(Refused, match=r"numbers of mask\.weight are not finite in torch\.float16"):
        write_shipped(network.state_dict(), tmp_path)
    assert sha256_of(tmp_path / WEIGHTS_NAME) == sha256


def test_a_bench_times_planes_with_all_that_is_done_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benching, "wishes", lambda: iter([EngineWish()]))
    (found,) = benching.bench(shipped_model("box-unet"), 1, lambda *_: None).timings
    assert found.identity.engine is EngineName.ONNX
    assert found.encode > 0
    assert found.load > 0


def test_what_memory_is_too_short_for_is_done_in_halves(folder: Path, expected: tuple[Any, Any]) -> None:
    torch: Any = pytest.importorskip("torch")
    from dicomnode.inference.networks.box_unet import BoxUnet  # noqa: PLC0415 - needs torch
    from dicomnode.inference.networks.loading import load_box_unet  # noqa: PLC0415 - needs torch
    from dicomnode.inference.torch_runtime import TorchNetwork  # noqa: PLC0415 - needs torch

    asked: list[int] = []

    class Short(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, network: BoxUnet) -> None:
            super().__init__()
            self.network = network

        def forward(self, crops: Any) -> Any:  # noqa: ANN401
            asked.append(len(crops))
            if len(crops) > 1:
                raise torch.OutOfMemoryError
            return self.network(crops)

    plain = opened(folder, EngineName.TORCH, Precision.FP32)
    logits, quality = TorchNetwork(Short(load_box_unet(folder)), plain.identity).run(crops_of(IMAGE, BOXES))
    assert asked == [4, 2, 1, 1, 2, 1, 1]
    assert np.abs(logits - expected[0]).max() < 1e-4
    assert np.abs(quality - expected[1]).max() < 1e-4
