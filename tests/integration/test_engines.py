"""Engines on imported models: what they refuse, and what they do when memory is short or an answer is no number."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.errors import EngineFailed, Reason, Refused, SettingsError
from dicomnode.inference.benching import bench
from dicomnode.inference.engines import Device, EngineIdentity, EngineName, EngineWish, Precision, open_engine
from dicomnode.inference.layouts import INT8_FILES
from dicomnode.inference.library import find_model
from dicomnode.inference.lite_medsam import LiteMedSamRuntime
from dicomnode.inference.loading import ModelWish
from dicomnode.inference.quantizing import quantize_model
from tests.arithmetic import cpu_has_bf16
from tests.values import stack_of
from tests.weights import GRAPHS, imported_model, lite_medsam_layout, model_folder, random_weights

BOXES = np.array([(10, 20, 100, 120), (30, 5, 200, 220), (100, 100, 130, 120)], np.float32)
SQUARES = np.random.default_rng(0).random((3, 3, 256, 256), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model"))


def test_the_graphs_that_are_shipped_are_those_of_the_network(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from dicomnode.inference.networks.graphs import make_graphs  # noqa: PLC0415 - needs torch

    make_graphs(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {name: (GRAPHS / name).read_bytes() for name in ("encoder.onnx", "decoder.onnx", "layout.json")}


def test_the_graphs_have_no_weights_in_them() -> None:
    sizes = {path.name: path.stat().st_size for path in GRAPHS.glob("*.onnx")}
    assert all(size < 1 << 20 for size in sizes.values()), sizes
    assert sum(one.size for one in lite_medsam_layout()) > 39_000_000


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (EngineWish(device=Device.CUDA), "engine 'onnx' runs on the CPU"),
        (EngineWish(precision=Precision.BF16), "engine 'onnx' on 'cpu' has: fp32"),
        (EngineWish(engine=EngineName.OPENVINO, device=Device.CUDA), "engine 'openvino' runs on the CPU"),
        (EngineWish(engine=EngineName.OPENVINO, precision=Precision.FP16), "has: fp32, .*int8"),
        (EngineWish(engine=EngineName.OPENVINO, precision=Precision.INT8), "`dicomnode models quantize"),
        (EngineWish(engine=EngineName.TORCH, precision=Precision.INT8), r"has: fp32(, bf16)?$"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_and_it_says_what_it_can(wish: EngineWish, said: str, folder: Path) -> None:
    if wish.engine is not EngineName.ONNX:
        pytest.importorskip(wish.engine.value)
    with pytest.raises(SettingsError, match=said):
        open_engine(wish, folder)


def test_an_engine_that_is_not_installed_is_named_with_what_installs_it(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.modules['openvino'] = None\n"
        "from dicomnode.inference.engines import EngineName, EngineWish, open_engine\n"
        f"open_engine(EngineWish(engine=EngineName.OPENVINO), Path({str(folder)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "it needs the package openvino, which is not installed: pip install 'dicomnode[openvino]'" in done.stderr


@pytest.mark.parametrize("name", [EngineName.ONNX, EngineName.OPENVINO])
def test_a_damaged_graph_is_an_error_that_names_it(name: EngineName, tmp_path: Path) -> None:
    if name is not EngineName.ONNX:
        pytest.importorskip(name.value)
    model_folder(tmp_path)
    content = (tmp_path / "decoder.onnx").read_bytes()
    (tmp_path / "decoder.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(Refused, match=r"decoder\.onnx") as refused:
        open_engine(EngineWish(engine=name, precision=Precision.FP32), tmp_path)
    assert refused.value.reason is Reason.BAD_MODEL


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """Return the folder of models, with a model called ours in it."""
    return imported_model(tmp_path)


def test_a_weights_file_that_is_missing_or_has_changed_is_named_when_the_model_is_loaded(imported: Path) -> None:
    assert ModelWish(name="ours", folder=imported)().identity.name == "ours"
    weights = imported / "ours" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(Refused, match=r"weights\.safetensors has changed") as refused:
        ModelWish(name="ours", folder=imported)()
    assert refused.value.reason is Reason.BAD_MODEL
    weights.unlink()
    with pytest.raises(Refused, match=r"weights\.safetensors cannot be read"):
        ModelWish(name="ours", folder=imported)()


def test_int8_is_run_if_the_lineage_has_it_alone(imported: Path) -> None:
    pytest.importorskip("openvino")
    (imported / "ours" / "int8").mkdir()
    for name in INT8_FILES:
        (imported / "ours" / name).write_bytes(b"from somewhere")
    wish = EngineWish(engine=EngineName.OPENVINO, precision=Precision.INT8)
    with pytest.raises(SettingsError, match="model 'ours' has no int8 form: `dicomnode models quantize` makes it"):
        ModelWish(name="ours", folder=imported, engine=wish)()


def test_a_damaged_int8_form_is_named_and_keeps_no_other_precision_from_running(imported: Path) -> None:
    def make(_encoder: Path, _squares: object, target: Path) -> None:
        target.write_bytes(b"<net/>")
        target.with_suffix(".bin").write_bytes(b"")

    model = quantize_model(find_model(imported, "ours"), (), make)
    (model.folder / INT8_FILES[1]).write_bytes(b"changed")
    assert ModelWish(name="ours", folder=imported)().identity.name == "ours"
    wish = EngineWish(engine=EngineName.OPENVINO, precision=Precision.INT8)
    with pytest.raises(Refused, match=r"int8/encoder\.bin has changed"):
        ModelWish(name="ours", folder=imported, engine=wish)()


@pytest.mark.parametrize(
    ("name", "without"), [(EngineName.OPENVINO, "has: fp32, int8$"), (EngineName.TORCH, "has: fp32$")]
)
def test_bf16_is_offered_where_the_cpu_computes_in_it_alone(name: EngineName, without: str, folder: Path) -> None:
    wish = EngineWish(engine=name, device=Device.CPU, precision=Precision.BF16)
    if cpu_has_bf16(name):
        assert open_engine(wish, folder).identity.precision is Precision.BF16
    else:
        with pytest.raises(SettingsError, match=without):
            open_engine(wish, folder)


def test_a_result_says_which_weights_and_engine_made_it_and_why(imported: Path) -> None:
    identity = ModelWish(name="ours", folder=imported)().identity
    weights = find_model(imported, "ours").lineage.weights_sha256
    assert (identity.source, identity.version) == (weights, weights[:12])
    assert dict(identity.parameters)["weights"] == f"sha256:{weights}"
    assert dict(identity.parameters).keys() == {"weights", "engine", "device", "precision", "chosen"}
    exact = ModelWish(name="ours", folder=imported, reference=True)().identity
    assert dict(exact.parameters)["arithmetic"] == "reference"


class AnswersNoNumber:
    """An engine whose logits overflow."""

    batch = 1
    identity = EngineIdentity(
        engine=EngineName.TORCH, version="0", device=Device.CUDA, precision=Precision.FP16, reason="a test"
    )

    def encode(self, images: NDArray[np.float32]) -> list[int]:
        return [0] * len(images)

    def decode(self, features: int, boxes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: ARG002
        return np.full((len(boxes), 256, 256), np.nan, np.float32), np.zeros(len(boxes), np.float32)

    def size_of(self, features: int) -> int:  # noqa: ARG002
        return 0


def test_an_answer_that_is_no_number_is_an_error_that_names_model_and_engine() -> None:
    runtime = LiteMedSamRuntime("ours", "abc", AnswersNoNumber())
    (features,) = runtime.encode([np.zeros((8, 8), np.float32)], (1.0, 1.0))
    with pytest.raises(Refused, match="engine torch in fp16 answers what is no number") as refused:
        runtime.decode(features, np.array([[1.0, 1.0, 5.0, 5.0]]))
    assert (refused.value.reason, refused.value.what) == (Reason.BAD_MODEL, "model 'ours'")


def _short_of_memory(network: Any, most: int) -> Any:  # noqa: ANN401 - torch modules
    """Return `network`, which has memory for `most` images or boxes at once, as a GPU has."""
    torch = pytest.importorskip("torch")

    class Short(type(network)):  # type: ignore[misc]
        asked: list[int] = []  # noqa: RUF012 - of the test

        def encode(self, images: Any) -> Any:  # noqa: ANN401
            self.asked.append(len(images))
            if len(images) > most:
                raise torch.OutOfMemoryError
            return super().encode(images)

        def decode(self, plane: Any, boxes: Any) -> Any:  # noqa: ANN401
            self.asked.append(len(boxes))
            if len(boxes) > most:
                raise torch.OutOfMemoryError
            return super().decode(plane, boxes)

    short = Short()
    short.load_state_dict(network.state_dict())
    return short.eval()


def test_what_memory_is_too_short_for_is_done_in_halves_and_gives_the_same(folder: Path) -> None:
    pytest.importorskip("torch")
    from dicomnode.inference.networks.loading import load_network  # noqa: PLC0415 - needs torch
    from dicomnode.inference.torch_runtime import TorchEngine  # noqa: PLC0415 - needs torch

    plain = open_engine(EngineWish(engine=EngineName.TORCH, precision=Precision.FP32, device=Device.CPU), folder)
    network = _short_of_memory(load_network(folder), most=1)
    short = TorchEngine(network, plain.identity)
    features = short.encode(SQUARES)
    assert network.asked == [3, 1, 2, 1, 1]
    logits, quality = short.decode(features[2], BOXES)
    expected = plain.decode(plain.encode(SQUARES[2:])[0], BOXES)
    assert np.allclose(logits, expected[0], atol=1e-4)
    assert np.allclose(quality, expected[1], atol=1e-4)
    assert [short.size_of(one) for one in features] == [0, 0, 0]
    assert short.size_of(short.encode(SQUARES[:1])[0]) == plain.size_of(plain.encode(SQUARES[:1])[0]) > 0


@pytest.mark.parametrize(
    ("on_gpu", "message", "kind", "said"),
    [
        (False, "shapes cannot be multiplied", Refused, "PyTorch: BAD_MODEL: it failed on the model: shapes"),
        (False, "DefaultCPUAllocator: can't allocate memory", Refused, "PyTorch: LIMIT: there is not enough memory"),
        (True, "CUDA error: unspecified launch failure", EngineFailed, "PyTorch: it failed on the model: CUDA error"),
    ],
)
def test_what_pytorch_raises_names_it(
    monkeypatch: pytest.MonkeyPatch, *, on_gpu: bool, message: str, kind: type[Exception], said: str
) -> None:
    torch = pytest.importorskip("torch")
    from dicomnode.inference.networks.lite_medsam import LiteMedSam  # noqa: PLC0415 - needs torch
    from dicomnode.inference.torch_runtime import TorchEngine  # noqa: PLC0415 - needs torch

    class Fails(LiteMedSam):
        def encode(self, images: Any) -> Any:  # noqa: ANN401, ARG002
            raise RuntimeError(message)

    identity = EngineIdentity(
        engine=EngineName.TORCH, version="0", device=Device.CPU, precision=Precision.FP32, reason="a test"
    )
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_gpu)
    with pytest.raises(kind, match=said):
        TorchEngine(Fails(), identity).encode(SQUARES[:1])


@pytest.mark.parametrize("name", [EngineName.ONNX, EngineName.OPENVINO])
def test_a_want_of_memory_is_told_as_that(folder: Path, name: EngineName) -> None:
    if name is not EngineName.ONNX:
        pytest.importorskip(name.value)
    program = (
        "import resource; from pathlib import Path; import numpy as np\n"
        "from dicomnode.inference.engines import *\n"
        f"wish = EngineWish(engine=EngineName({name.value!r}), precision=Precision.FP32)\n"
        f"engine = open_engine(wish, Path({str(folder)!r}))\n"
        "(features,) = engine.encode(np.zeros((1, 3, 256, 256), np.float32))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "engine.decode(features, np.array([[1, 2, 200, 220]] * 60, np.float32))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    last = next(line for line in done.stderr.splitlines() if line.startswith("dicomnode.errors.Refused"))
    assert ": LIMIT: there is not enough memory: " in last


def test_what_a_gpu_has_no_memory_for_at_all_is_done_on_the_cpu(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch")
    from dicomnode.inference.networks.loading import load_network  # noqa: PLC0415 - needs torch
    from dicomnode.inference.torch_runtime import TorchEngine  # noqa: PLC0415 - needs torch

    plain = open_engine(EngineWish(engine=EngineName.TORCH, precision=Precision.FP32, device=Device.CPU), folder)
    short = TorchEngine(_short_of_memory(load_network(folder), most=0), plain.identity, spare=load_network(folder))
    (found,) = short.encode(SQUARES[:1])
    assert np.allclose(found.image, plain.encode(SQUARES[:1])[0].image, atol=1e-4)
    assert [record.action for record in caplog.records] == ["gpu_left"]  # type: ignore[attr-defined]


def test_a_network_that_no_gpu_takes_is_on_the_cpu_unless_a_gpu_is_wished() -> None:
    torch: Any = pytest.importorskip("torch")
    from dicomnode.inference.torch_runtime import place  # noqa: PLC0415 - needs torch

    class TooLarge(torch.nn.Linear):  # type: ignore[misc]
        def to(self, device: str) -> None:
            raise torch.OutOfMemoryError(f"{device} is full")

    network = TooLarge(1, 1)
    found = place(network, Device.CUDA, "PyTorch finds a GPU", Device.AUTO)
    assert found == (Device.CPU, "the GPU does not take the network")
    with pytest.raises(EngineFailed, match="the GPU does not take the network: cuda is full"):
        place(network, Device.CUDA, "PyTorch finds a GPU", Device.CUDA)
    assert place(torch.nn.Linear(1, 1), Device.CPU, "as set", Device.CPU) == (Device.CPU, "as set")


def _colours() -> Stack:
    return stack_of(np.zeros((40, 60, 3), np.uint8), modality="ES")


def test_a_model_sees_images_of_any_size_and_answers_on_their_pixels(folder: Path) -> None:
    runtime = LiteMedSamRuntime("ours", "abc", open_engine(EngineWish(), folder))
    look = runtime.look(_colours(), "auto", reference=False)
    (features,) = runtime.encode([look.image(_colours().planes[0])], (1.0, 1.0))
    decoded = runtime.decode(features, np.array([[3.0, 4.0, 30.0, 20.0], [0.0, 0.0, 59.5, 39.5]]))
    assert (decoded.logits.shape, decoded.quality.shape) == ((2, 40, 60), (2,))
    assert runtime.size_of(features) == 4 * 4096 * (256 + 2 * 128)


def test_a_model_keeps_to_the_arithmetic_it_was_loaded_for(folder: Path) -> None:
    runtime = LiteMedSamRuntime("ours", "abc", open_engine(EngineWish(), folder), reference=True)
    with pytest.raises(ValueError, match="reference=True"):
        runtime.look(_colours(), "auto", reference=False)


def test_a_bench_times_each_engine_and_says_what_it_left_out(imported: Path) -> None:
    told: list[tuple[int, int]] = []
    found = bench(find_model(imported, "ours"), 1, lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]
    assert EngineName.ONNX in {one.identity.engine for one in found.timings}
    assert all(one.encode > 0 and one.load > 0 for one in found.timings)
    assert found.rate > 1
    lacking = [f"{name} bf16" for name in _with_bf16() if not cpu_has_bf16(name)]
    assert [one.partition(":")[0] for one in found.left_out if "quantize" not in one] == lacking


def _with_bf16() -> Iterator[EngineName]:
    """Yield the installed engines that have bf16 where the CPU computes in it."""
    for name in (EngineName.OPENVINO, EngineName.TORCH):
        if find_spec(name.value):
            yield name


def test_random_weights_are_the_same_for_a_seed() -> None:
    one, other = random_weights(5), random_weights(5)
    assert all(np.array_equal(one[name], other[name]) for name in one)
