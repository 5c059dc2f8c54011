"""Time an imported model on the engines that are installed, taking turns, so that one noisy minute favours none."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import (
    PRECISIONS,
    Device,
    Engine,
    EngineIdentity,
    EngineName,
    EngineWish,
    Precision,
    open_engine,
)

FEW_BOXES, MANY_BOXES = 1, 9
_SIDE, _MATRIX = 256, 2048
_PACKAGES = {EngineName.ONNX: "onnxruntime", EngineName.OPENVINO: "openvino", EngineName.TORCH: "torch"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How fast an engine is: seconds to load, to encode a plane, and for each further box on an encoded plane."""

    identity: EngineIdentity
    load: float
    encode: float
    box: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """The best of several turns of each engine, and this machine's rate in a matrix product in the same turns.

    `rate` is in 1e9 floating-point operations a second, in fp32; `left_out` are sentences on what could not be timed.
    """

    timings: tuple[Timing, ...]
    rate: float
    left_out: tuple[str, ...]


def wishes() -> Iterator[EngineWish]:
    """Yield every engine that is installed, in each of its precisions, on each device, whether that is there or not."""
    for engine, package in _PACKAGES.items():
        if importlib.util.find_spec(package) is not None:
            for device in (Device.CPU, Device.CUDA):
                for precision in PRECISIONS[engine]:
                    yield EngineWish(engine=engine, device=device, precision=precision)


def bench(folder: Path, rounds: int, progress: Callable[[int, int], None]) -> Timings:
    """Time the model in `folder` on all that it runs on; tell `progress` (done, total) rounds."""
    runners, left_out = _open_all(folder)
    rate = 0.0
    for done in range(rounds):
        progress(done, rounds)
        rate = max(rate, _rate())
        for runner in runners:
            runner.turn()
    progress(rounds, rounds)
    return Timings(timings=tuple(one.timing() for one in runners), rate=rate, left_out=tuple(left_out))


def _open_all(folder: Path) -> tuple[list["_Runner"], list[str]]:
    runners, left_out = [], []
    for wish in wishes():
        started = time.perf_counter()
        try:
            engine = open_engine(wish, folder)
        except SettingsError as error:
            if wish.device is Device.CPU and wish.precision is not Precision.FP16:  # a CPU has none
                left_out.append(f"{wish.engine.value} {wish.precision.value}: {error.detail}")
            continue
        runners.append(_Runner(engine, time.perf_counter() - started))
    return runners, left_out


class _Runner:
    """An engine and the best times that it had."""

    def __init__(self, engine: Engine, load: float) -> None:
        self._engine, self._load = engine, load
        generator = np.random.default_rng(0)
        self._images = generator.random((engine.batch, 3, _SIDE, _SIDE), np.float32)
        corners = np.sort(generator.uniform(0, _SIDE - 1, (MANY_BOXES, 2, 2)), axis=1).reshape(-1, 4)
        self._boxes = corners.astype(np.float32)
        self._best = {"all": np.inf, "few": np.inf, "many": np.inf}

    def turn(self) -> None:
        """Encode and decode, then decode few boxes and many.

        A GPU goes on encoding after `encode` has returned: only masks are waited for.
        """
        features = self._timed("all", self._both)[0]
        self._timed("few", lambda: self._engine.decode(features, self._boxes[:FEW_BOXES]))
        self._timed("many", lambda: self._engine.decode(features, self._boxes))

    def timing(self) -> Timing:
        """Return the best of all turns."""
        box = (self._best["many"] - self._best["few"]) / (MANY_BOXES - FEW_BOXES)
        encode = (self._best["all"] - self._best["few"]) / len(self._images)
        return Timing(identity=self._engine.identity, load=self._load, encode=encode, box=box)

    def _both(self) -> Any:  # noqa: ANN401 - the features of an engine
        features = self._engine.encode(self._images)
        self._engine.decode(features[-1], self._boxes[:FEW_BOXES])
        return features

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work gives
        started = time.perf_counter()
        result = work()
        self._best[name] = min(self._best[name], time.perf_counter() - started)
        return result


def _rate() -> float:
    """Return the rate of one product of two square matrices, in 1e9 operations a second."""
    matrix = np.ones((_MATRIX, _MATRIX), np.float32)
    started = time.perf_counter()
    np.matmul(matrix, matrix)
    return 2 * _MATRIX**3 / (time.perf_counter() - started) / 1e9
