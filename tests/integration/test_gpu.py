"""The engine torch on a GPU: the same bytes whatever else is done there, and what becomes of a want of memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomnode.inference.engines import Device, EngineName, EngineWish, Precision, open_engine
from tests.weights import model_folder

torch: Any = pytest.importorskip("torch", reason="torch is not installed")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU that PyTorch can use", allow_module_level=True)

SQUARES = np.random.default_rng(0).random((8, 3, 256, 256), np.float32)
BOXES = np.array([(10, 20, 100, 120), (30, 5, 200, 220), (100, 100, 130, 120)], np.float32)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - it needs torch
    folder = model_folder(tmp_path_factory.mktemp("model"))
    wish = EngineWish(engine=EngineName.TORCH, device=Device.CUDA, precision=Precision.FP32)
    return open_engine(wish, folder)


@pytest.fixture
def _no_memory() -> Iterator[None]:
    """Let nothing more be taken of the GPU than is taken now."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def answer(engine: Any) -> bytes:  # noqa: ANN401
    return b"".join(part.tobytes() for plane in engine.encode(SQUARES) for part in engine.decode(plane, BOXES))


def test_the_same_planes_and_boxes_give_the_same_bytes(engine: Any) -> None:  # noqa: ANN401
    first = answer(engine)
    engine.decode(engine.encode(SQUARES[:3])[0], BOXES[:1])
    assert answer(engine) == first


def test_fp32_on_a_gpu_is_fp32(engine: Any, tmp_path: Path) -> None:  # noqa: ANN401
    wish = EngineWish(engine=EngineName.TORCH, device=Device.CPU, precision=Precision.FP32)
    on_cpu = open_engine(wish, model_folder(tmp_path))
    for ours, theirs in zip(engine.encode(SQUARES[:2]), on_cpu.encode(SQUARES[:2]), strict=True):
        found, expected = engine.decode(ours, BOXES)[0], on_cpu.decode(theirs, BOXES)[0]
        assert np.abs(found - expected).max() < 1e-3


@pytest.mark.usefixtures("_no_memory")
def test_a_gpu_without_memory_leaves_the_work_to_the_cpu(engine: Any, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ANN401
    features = engine.encode(SQUARES[:2])
    assert [record.action for record in caplog.records] == ["batch_halved", "gpu_left", "gpu_left"]  # type: ignore[attr-defined]
    assert {one.image.device.type for one in features} == {"cpu"}
    assert [engine.size_of(one) for one in features] == [0, 0]


def test_the_memory_is_given_back_and_the_gpu_works_again(engine: Any) -> None:  # noqa: ANN401
    before = answer(engine)
    torch.cuda.empty_cache()
    held = torch.cuda.memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (400 << 20)) / total)
    engine.encode(SQUARES)
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.cuda.memory_allocated() == held
    assert answer(engine) == before
