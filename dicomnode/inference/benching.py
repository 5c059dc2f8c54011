"""Time a model on the engines that are installed, taking turns, so that one noisy minute favours none."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import SettingsError
from dicomnode.inference.box_unet import BoxUnetRuntime
from dicomnode.inference.engines import (
    PRECISIONS,
    Device,
    Engine,
    EngineIdentity,
    EngineName,
    EngineWish,
    Precision,
    open_engine,
    open_network,
)
from dicomnode.inference.layouts import NETWORK_NAME
from dicomnode.inference.library import ImportedModel

FEW_BOXES, MANY_BOXES = 1, 9
_SIDE, _PLANE, _MATRIX = 256, 512, 2048
_PACKAGES = {EngineName.ONNX: "onnxruntime", EngineName.OPENVINO: "openvino", EngineName.TORCH: "torch"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How fast an engine is: seconds to load, for a plane, and for each further box on that plane.

    A plane is what an encoder makes of its square; of a model that looks at crops it is all that comes before and after
    the network as well, with one box.
    """

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


def bench(model: ImportedModel, rounds: int, progress: Callable[[int, int], None]) -> Timings:
    """Time `model` on all that it runs on; tell `progress` (done, total) rounds."""
    runners, left_out = _open_all(model)
    rate = 0.0
    for done in range(rounds):
        progress(done, rounds)
        rate = max(rate, _rate())
        for runner in runners:
            runner.turn()
    progress(rounds, rounds)
    return Timings(timings=tuple(one.timing() for one in runners), rate=rate, left_out=tuple(left_out))


def _open_all(model: ImportedModel) -> tuple[list["_Runner"], list[str]]:
    runners, left_out = [], []
    for wish in wishes():
        started = time.perf_counter()
        try:
            subject = _subject(model, wish)
        except SettingsError as error:
            if wish.device is Device.CPU and wish.precision is not Precision.FP16:  # a CPU has none
                left_out.append(f"{wish.engine.value} {wish.precision.value}: {error.detail}")
            continue
        runners.append(_Runner(subject, time.perf_counter() - started))
    return runners, left_out


class _Subject(Protocol):
    """What is timed: images are encoded, and boxes on the last of them decoded."""

    identity: EngineIdentity
    images: int
    #: how many seconds of the first box belong to the plane: none, or all
    first_box_is_of_the_plane: bool

    def encode(self) -> Any:  # noqa: ANN401 - the features of an engine
        """Return the features of the last image, all of them being encoded."""
        ...

    def decode(self, features: Any, count: int) -> None:  # noqa: ANN401
        """Decode `count` boxes."""
        ...


def _subject(model: ImportedModel, wish: EngineWish) -> _Subject:
    if NETWORK_NAME in model.lineage.files:
        network = open_network(wish, model.folder)
        return _Crops(BoxUnetRuntime(model.lineage.weights_sha256, network), network.identity)
    return _Squares(open_engine(wish, model.folder))


class _Squares:
    """An engine and the squares that it takes."""

    first_box_is_of_the_plane = False

    def __init__(self, engine: Engine) -> None:
        self.identity, self.images = engine.identity, engine.batch
        self._engine = engine
        self._squares = np.random.default_rng(0).random((engine.batch, 3, _SIDE, _SIDE), np.float32)
        self._boxes = _boxes(_SIDE).astype(np.float32)

    def encode(self) -> Any:  # noqa: ANN401
        return self._engine.encode(self._squares)[-1]

    def decode(self, features: Any, count: int) -> None:  # noqa: ANN401
        self._engine.decode(features, self._boxes[:count])


class _Crops:
    """A model that looks at crops, and a plane."""

    first_box_is_of_the_plane = True
    images = 1

    def __init__(self, runtime: BoxUnetRuntime, identity: EngineIdentity) -> None:
        self.identity = identity
        self._runtime = runtime
        self._plane = np.random.default_rng(0).random((_PLANE, _PLANE), np.float32)
        self._boxes = _boxes(_PLANE)

    def encode(self) -> Any:  # noqa: ANN401
        return self._runtime.encode([self._plane], (1.0, 1.0))[0]

    def decode(self, features: Any, count: int) -> None:  # noqa: ANN401
        self._runtime.decode(features, self._boxes[:count])


def _boxes(side: int) -> NDArray[np.float64]:
    """Return MANY_BOXES boxes on an image of `side` pixels, (box, 4) float64."""
    generator = np.random.default_rng(0)
    return np.sort(generator.uniform(0, side - 1, (MANY_BOXES, 2, 2)), axis=1).reshape(-1, 4)


class _Runner:
    """What is timed, and the best times that it had."""

    def __init__(self, subject: _Subject, load: float) -> None:
        self._subject, self._load = subject, load
        self._best = {"all": np.inf, "few": np.inf, "many": np.inf}

    def turn(self) -> None:
        """Encode and decode, then decode few boxes and many.

        A GPU goes on encoding after `encode` has returned: only masks are waited for.
        """
        features = self._timed("all", self._both)
        self._timed("few", lambda: self._subject.decode(features, FEW_BOXES))
        self._timed("many", lambda: self._subject.decode(features, MANY_BOXES))

    def timing(self) -> Timing:
        """Return the best of all turns."""
        box = (self._best["many"] - self._best["few"]) / (MANY_BOXES - FEW_BOXES)
        first = 0.0 if self._subject.first_box_is_of_the_plane else self._best["few"]
        encode = (self._best["all"] - first) / self._subject.images
        return Timing(identity=self._subject.identity, load=self._load, encode=encode, box=box)

    def _both(self) -> Any:  # noqa: ANN401 - the features of an engine
        features = self._subject.encode()
        self._subject.decode(features, FEW_BOXES)
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
