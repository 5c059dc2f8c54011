"""The engine `onnx`: ONNX Runtime on the CPU, in fp32."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as failures  # pyright: ignore[reportAttributeAccessIssue]

from dicomnode.cpus import usable_cpus
from dicomnode.errors import SettingsError
from dicomnode.inference.engines import (
    Answers,
    Device,
    EngineIdentity,
    EngineName,
    EngineWish,
    Precision,
    refusal,
    settle,
)
from dicomnode.inference.layouts import DECODER_NAME, ENCODER_NAME, NETWORK_NAME
from dicomnode.inference.onnx_pairs import Port, Signature

_ONLY_FATAL = 4  # of ONNX Runtime's levels of severity: errors are raised, and would be written to stderr as well
# Encoder and decoder take turns, each with threads of its own: those of one that wait busily would slow down the other.
# Work is cut into finer parts than by itself, as other processes may hold up a thread.
_THREADS = {"session.intra_op.allow_spinning": "0", "session.dynamic_block_base": "4"}
# A crop takes 2 ms in steps of some microseconds: to wake a thread for each takes as long, and more than a few have
# nothing to do.
_MOST_THREADS_A_CROP = 4
_THREADS_OF_CROPS = {"session.intra_op.allow_spinning": "1", "session.dynamic_block_base": "4"}
_FAILURES = (
    failures.EPFail,
    failures.EngineError,
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoModel,
    failures.NoSuchFile,
    failures.NotFound,
    failures.NotImplemented,
    failures.RuntimeException,
    UnicodeDecodeError,  # what it says quotes the file
)


Features = dict[str, NDArray[np.float32]]  # what the network knows of one plane: the decoder's inputs but for the boxes


class OnnxEngine:
    """A network in two sessions, encoder and decoder."""

    batch = 1  # more are no faster on a CPU

    def __init__(self, folder: Path, identity: EngineIdentity) -> None:
        self.identity = identity
        self._encoder, self._decoder = (
            _session(folder / name, usable_cpus(), _THREADS) for name in (ENCODER_NAME, DECODER_NAME)
        )
        self._images = self._encoder.get_inputs()[0].name
        self._features = [one.name for one in self._encoder.get_outputs()]

    def encode(self, images: NDArray[np.float32]) -> list[Features]:
        """Return the features of each of `images`, (image, 3, 256, 256) float32 in 0..1."""
        found = dict(zip(self._features, _run(self._encoder, {self._images: images}), strict=True))
        return [{name: one[number : number + 1] for name, one in found.items()} for number in range(len(images))]

    def decode(self, features: Features, boxes: NDArray[np.float32]) -> Answers:
        """Return logits, (box, 256, 256) float32, and predicted IoU, (box,) float32."""
        logits, quality = _run(self._decoder, {**features, "boxes": boxes})
        return logits, quality

    def size_of(self, features: Features) -> int:
        """Return how many bytes `features` take."""
        return sum(one.nbytes for one in features.values())


class OnnxNetwork:
    """A network of one graph in a session."""

    def __init__(self, folder: Path, identity: EngineIdentity) -> None:
        self.identity = identity
        threads = min(usable_cpus(), _MOST_THREADS_A_CROP)
        self._session = _session(folder / NETWORK_NAME, threads, _THREADS_OF_CROPS)
        self._crops = self._session.get_inputs()[0].name

    def run(self, crops: NDArray[np.float32]) -> Answers:
        """Return logits, (box, row, column) float32, and predicted IoU, (box,) float32."""
        logits, quality = _run(self._session, {self._crops: crops})
        return logits, quality


def open_engine(folder: Path, wish: EngineWish) -> OnnxEngine:
    """Return the engine with the model in `folder`; a wish for a GPU is refused: that is for the engine torch."""
    return OnnxEngine(folder, _identity(wish))


def open_network(folder: Path, wish: EngineWish) -> OnnxNetwork:
    """Return the network of one graph in `folder`; a wish for a GPU is refused."""
    return OnnxNetwork(folder, _identity(wish))


def signature_of(graph: Path) -> Signature:
    """Return what the graph in the file at `graph` takes and gives."""
    session = _session(graph, usable_cpus(), _THREADS)
    with _refusing(str(graph), "ONNX Runtime cannot load it"):
        inputs, outputs = (tuple(map(_port, ports)) for ports in (session.get_inputs(), session.get_outputs()))
    return Signature(inputs=inputs, outputs=outputs)


def _identity(wish: EngineWish) -> EngineIdentity:
    if wish.device is Device.CUDA:
        raise SettingsError("device 'cuda'", "engine 'onnx' runs on the CPU; engine 'torch' runs on a GPU")
    precision = settle(wish, Device.CPU, (Precision.FP32,), Precision.FP32)
    return EngineIdentity(
        engine=EngineName.ONNX,
        version=ort.__version__,
        device=Device.CPU,
        precision=precision,
        reason="engine onnx computes in fp32 on the CPU",
    )


def _port(tensor: ort.NodeArg) -> Port:
    return Port(tensor.name, tensor.type, tuple(size if isinstance(size, int) else None for size in tensor.shape))


def _session(graph: Path, threads: int, entries: Mapping[str, str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ONLY_FATAL
    options.use_deterministic_compute = True
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    with _refusing(str(graph), "ONNX Runtime cannot load it"):
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _run(session: ort.InferenceSession, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    with _refusing("ONNX Runtime", "it failed on the model"):
        return cast("list[NDArray[np.float32]]", session.run(None, inputs))


@contextmanager
def _refusing(what: str, failed: str) -> Iterator[None]:
    """Refuse `what` where ONNX Runtime fails; `failed` is the sentence."""
    try:
        yield
    except _FAILURES as error:
        raise refusal(what, failed, error) from error
