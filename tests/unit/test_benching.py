"""The time of an encode is all of it, also where it goes on after the call."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dicomnode.inference import benching
from dicomnode.inference.engines import Device, EngineIdentity, EngineName, EngineWish, Precision
from dicomnode.inference.library import ImportedModel
from dicomnode.inference.lineage import Lineage

MODEL = ImportedModel(
    folder=Path("model"),
    lineage=Lineage(
        name="ours",
        architecture="lite-medsam",
        origin="",
        licence="",
        imported_by="",
        weights_sha256="",
        files={"encoder.onnx": ""},
        sources=(),
    ),
)


class Lazy:
    """An engine that encodes when its features are first looked at: 8 s for each of 2 planes; a box takes 1 s."""

    batch = 2
    identity = EngineIdentity(
        engine=EngineName.TORCH, version="1", device=Device.CUDA, precision=Precision.FP32, reason="as set"
    )

    def __init__(self) -> None:
        self.seconds = 0.0
        self._encoded = 0

    def encode(self, images: np.ndarray[Any, Any]) -> list[int]:
        self._encoded += len(images)
        return list(range(len(images)))

    def decode(self, _features: int, boxes: np.ndarray[Any, Any]) -> None:
        self.seconds += 8 * self._encoded + len(boxes)
        self._encoded = 0


def test_an_engine_that_encodes_later_gets_no_better_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Lazy()
    wish = EngineWish(engine=EngineName.TORCH, device=Device.CUDA)
    monkeypatch.setattr(benching, "wishes", lambda: iter([wish]))
    monkeypatch.setattr(benching, "open_engine", lambda _wish, _folder: engine)
    monkeypatch.setattr(benching, "time", SimpleNamespace(perf_counter=lambda: engine.seconds))
    monkeypatch.setattr(benching, "_rate", lambda: 1.0)
    (found,) = benching.bench(MODEL, 3, lambda *_: None).timings
    assert (found.encode, found.box) == (8, 1)
