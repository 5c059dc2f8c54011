"""What runs a network: the protocol of the engines, the table of those there are, and how one is chosen."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused, SettingsError
from dicomnode.inference.words import one_line


class EngineName(StrEnum):
    """The engines; each is an extra of the package, but for the first, which comes with it."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCH = "torch"


class Device(StrEnum):
    """Where a network runs; AUTO is a GPU where the engine can use one, else the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """What a network computes in; AUTO is what is fastest on the device without a change that matters."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


ENGINES = {  # engine -> its module; importing this imports none
    EngineName.ONNX: "dicomnode.inference.onnx_runtime",
    EngineName.OPENVINO: "dicomnode.inference.openvino_runtime",
    EngineName.TORCH: "dicomnode.inference.torch_runtime",
}

PRECISIONS = {  # what each engine can compute in at best; the device may have less
    EngineName.ONNX: (Precision.FP32,),
    EngineName.OPENVINO: (Precision.FP32, Precision.BF16, Precision.INT8),
    EngineName.TORCH: (Precision.FP32, Precision.BF16, Precision.FP16),
}

SMALL = "the network is so small that fp32 costs hardly anything"  # why one of one graph runs in fp32 by itself


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineWish:
    """Which engine shall run a network, where and in which precision."""

    engine: EngineName = EngineName.ONNX
    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineIdentity:
    """Which engine runs a network, and how: `reason` says why on this device and in this precision.

    `derived` is the sha256 of weights that were made from the model's own, as int8 has them, '' where there are none.
    """

    engine: EngineName
    version: str
    device: Device
    precision: Precision
    reason: str
    derived: str = ""


Answers = tuple[NDArray[np.float32], NDArray[np.float32]]  # of a network: logits, and the IoU that it predicts


class Engine(Protocol):
    """Runs a network on squares of 256 pixels; features belong to the engine that made them."""

    @property
    def identity(self) -> EngineIdentity:
        """Return what was chosen and why."""
        ...

    @property
    def batch(self) -> int:
        """Return how many squares are best encoded at once."""
        ...

    def encode(self, images: NDArray[np.float32]) -> list[Any]:
        """Return the features of each of `images`, (image, 3, 256, 256) float32 in 0..1."""
        ...

    def decode(self, features: Any, boxes: NDArray[np.float32]) -> Answers:  # noqa: ANN401 - the engine's own
        """Return logits, (box, 256, 256) float32, and predicted IoU, (box,) float32.

        `boxes` is (box, 4) float32: x0, y0, x1, y1 in the square's pixels.
        """
        ...

    def size_of(self, features: Any) -> int:  # noqa: ANN401
        """Return how many bytes `features` take."""
        ...


class Network(Protocol):
    """Runs a network of one graph, which sees an object in a square crop about its box."""

    @property
    def identity(self) -> EngineIdentity:
        """Return what was chosen and why."""
        ...

    def run(self, crops: NDArray[np.float32]) -> Answers:
        """Return logits, (box, row, column) float32, and predicted IoU, (box,) float32.

        `crops` is (box, channel, row, column) float32.
        """
        ...


def open_engine(wish: EngineWish, folder: Path) -> Engine:
    """Return the engine that `wish` names with the model in `folder`, an encoder and a decoder, loaded.

    An engine that is not installed, or that cannot do what is wished, is a SettingsError.
    """
    opened: Engine = _module_of(wish.engine).open_engine(folder, wish)
    return opened


def open_network(wish: EngineWish, folder: Path) -> Network:
    """Return the network of one graph in `folder` on the engine that `wish` names; errors as of `open_engine`."""
    opened: Network = _module_of(wish.engine).open_network(folder, wish)
    return opened


def _module_of(engine: EngineName) -> Any:  # noqa: ANN401 - a module
    try:
        return import_module(ENGINES[engine])
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dicomnode"):
            raise
        raise SettingsError(
            f"engine {engine.value!r}",
            f"it needs the package {error.name}, which is not installed: pip install 'dicomnode[{engine.value}]'",
        ) from error


def no_int8(name: str) -> SettingsError:
    """Return the error that the model `name` has no int8 form."""
    return SettingsError("precision 'int8'", f"model {name!r} has no int8 form: `dicomnode models quantize` makes it")


def settle(wish: EngineWish, device: Device, allowed: Sequence[Precision], best: Precision) -> Precision:
    """Return the precision to use on `device`: the one wished, else `best`; one that is not `allowed` is refused."""
    if wish.precision is Precision.AUTO:
        return best
    if wish.precision not in allowed:
        raise SettingsError(
            f"precision {wish.precision.value!r}",
            f"engine {wish.engine.value!r} on {device.value!r} has: {', '.join(one.value for one in allowed)}",
        )
    return wish.precision


def refusal(what: str, failed: str, error: Exception) -> Refused:
    """Return what an engine's `error` is to us: LIMIT where memory was short, else BAD_MODEL; `failed` is the sentence.

    Engines tell of a want of memory in words alone.
    """
    short = re.search("allocat|bad_alloc", str(error), re.IGNORECASE)
    detail = f"{'there is not enough memory' if short else failed}: {one_line(error)}"
    return Refused(Reason.LIMIT if short else Reason.BAD_MODEL, what, detail)
