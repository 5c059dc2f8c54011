"""The engine `openvino`: OpenVINO on the CPU, in fp32, bf16 or int8."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from dicomnode.cpus import usable_cpus
from dicomnode.errors import SettingsError
from dicomnode.inference.engines import (
    SMALL,
    Answers,
    Device,
    EngineIdentity,
    EngineName,
    EngineWish,
    Precision,
    no_int8,
    refusal,
    settle,
)
from dicomnode.inference.layouts import (
    DECODER_NAME,
    ENCODER_NAME,
    INT8_ENCODER_NAME,
    INT8_WEIGHTS_NAME,
    NETWORK_NAME,
)
from dicomnode.inference.lineage import sha256_of

_SIDE = 256


Features = tuple[ov.Tensor, ...]  # what the network knows of one plane: the decoder's inputs but for the boxes


class OpenVinoEngine:
    """A network in two compiled models, encoder and decoder, each with a request of its own."""

    batch = 1  # more are no faster on a CPU

    def __init__(self, encoder: Path, decoder: Path, identity: EngineIdentity, hint: str) -> None:
        self.identity = identity
        core = ov.Core()
        # one plane at a time, and told so: with a free number of planes less can be settled beforehand
        self._encoder = _compiled(core, encoder, hint, [1, 3, _SIDE, _SIDE]).create_infer_request()
        self._features = len(self._encoder.model_outputs)
        self._decoder = _compiled(core, decoder, hint, None).create_infer_request()

    def encode(self, images: NDArray[np.float32]) -> list[Features]:
        """Return the features of each of `images`, (image, 3, 256, 256) float32 in 0..1."""
        return [self._encode(images[number : number + 1]) for number in range(len(images))]

    def _encode(self, image: NDArray[np.float32]) -> Features:
        _infer(self._encoder, [ov.Tensor(np.ascontiguousarray(image))])
        return tuple(_copied(self._encoder.get_output_tensor(number)) for number in range(self._features))

    def decode(self, features: Features, boxes: NDArray[np.float32]) -> Answers:
        """Return logits, (box, 256, 256) float32, and predicted IoU, (box,) float32."""
        return _answers(self._decoder, [*features, ov.Tensor(np.ascontiguousarray(boxes))])

    def size_of(self, features: Features) -> int:
        """Return how many bytes `features` take."""
        return sum(one.byte_size for one in features)


class OpenVinoNetwork:
    """A network of one graph, compiled for any number of boxes."""

    def __init__(self, graph: Path, identity: EngineIdentity, hint: str) -> None:
        self.identity = identity
        self._request = _compiled(ov.Core(), graph, hint, None).create_infer_request()

    def run(self, crops: NDArray[np.float32]) -> Answers:
        """Return logits, (box, row, column) float32, and predicted IoU, (box,) float32."""
        return _answers(self._request, [ov.Tensor(np.ascontiguousarray(crops))])


def open_engine(folder: Path, wish: EngineWish) -> OpenVinoEngine:
    """Return the engine with the model in `folder`; a GPU is refused, and int8 where it was not made before."""
    fast = _computes_in_bf16(wish)
    best = Precision.BF16 if fast else Precision.FP32
    # where the CPU has no bf16, OpenVINO would compute in something else and not say so
    allowed = tuple(dict.fromkeys((Precision.FP32, best, Precision.INT8)))
    precision = settle(wish, Device.CPU, allowed, best)
    encoder, decoder, derived = folder / ENCODER_NAME, folder / DECODER_NAME, ""
    if precision is Precision.INT8:
        encoder = folder / INT8_ENCODER_NAME
        if not encoder.exists():
            raise no_int8(folder.name)
        derived = sha256_of(folder / INT8_WEIGHTS_NAME)
    why = "the CPU computes in bf16" if fast else "the CPU does not compute in bf16"
    identity = replace(_identity(wish, precision, why), derived=derived)
    return OpenVinoEngine(encoder, decoder, identity, "bf16" if fast and precision is not Precision.FP32 else "f32")


def open_network(folder: Path, wish: EngineWish) -> OpenVinoNetwork:
    """Return the network of one graph in `folder`, by itself in fp32; a GPU is refused."""
    allowed = (Precision.FP32, Precision.BF16) if _computes_in_bf16(wish) else (Precision.FP32,)
    precision = settle(wish, Device.CPU, allowed, Precision.FP32)
    hint = "bf16" if precision is Precision.BF16 else "f32"
    return OpenVinoNetwork(folder / NETWORK_NAME, _identity(wish, precision, SMALL), hint)


def _computes_in_bf16(wish: EngineWish) -> bool:
    """Return whether the CPU does; a wish for a GPU is refused."""
    if wish.device is Device.CUDA:
        raise SettingsError("device 'cuda'", "engine 'openvino' runs on the CPU; engine 'torch' runs on a GPU")
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _identity(wish: EngineWish, precision: Precision, why: str) -> EngineIdentity:
    """Return what runs in `precision`; `why` says the reason where none was wished."""
    return EngineIdentity(
        engine=EngineName.OPENVINO,
        version=str(ov.get_version()),
        device=Device.CPU,
        precision=precision,
        reason=why if wish.precision is Precision.AUTO else "as set",
    )


def _compiled(core: ov.Core, graph: Path, hint: str, shape: list[int] | None) -> ov.CompiledModel:
    asked = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": usable_cpus(),
        "ENABLE_CPU_PINNING": False,  # jobs of other processes run on these CPUs as well
    }
    try:
        model = core.read_model(graph)
        if shape:
            model.reshape({model.inputs[0].get_any_name(): shape})
        return core.compile_model(model, "CPU", asked)
    except RuntimeError as error:
        raise refusal(str(graph), "OpenVINO cannot load it", error) from error


def _infer(request: ov.InferRequest, inputs: list[ov.Tensor]) -> None:
    try:
        for number, tensor in enumerate(inputs):
            request.set_input_tensor(number, tensor)
        request.infer()
    except RuntimeError as error:
        raise refusal("OpenVINO", "it failed on the model", error) from error


def _answers(request: ov.InferRequest, inputs: list[ov.Tensor]) -> Answers:
    """Return copies of both outputs, as a request writes its next ones where it wrote the last."""
    _infer(request, inputs)
    logits, quality = (request.get_output_tensor(number).data.copy() for number in (0, 1))
    return logits, quality


def _copied(tensor: ov.Tensor) -> ov.Tensor:
    """Return a copy, as a request writes its next outputs where it wrote the last."""
    copy = ov.Tensor(tensor.element_type, tensor.shape)
    tensor.copy_to(copy)
    return copy
