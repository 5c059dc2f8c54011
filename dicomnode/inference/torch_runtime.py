"""The engine `torch`: PyTorch on the CPU or on an NVIDIA GPU."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicomnode.cpus import usable_cpus
from dicomnode.errors import EngineFailed, SettingsError
from dicomnode.inference.engines import (
    SMALL,
    Answers,
    Device,
    EngineIdentity,
    EngineName,
    EngineWish,
    Precision,
    refusal,
    settle,
)
from dicomnode.inference.networks.arithmetic import cpu_computes_in_bf16
from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.inference.networks.loading import load_box_unet, load_network
from dicomnode.inference.networks.mask_decoder import PlaneFeatures
from dicomnode.inference.words import one_line

log = logging.getLogger(__name__)
T = TypeVar("T")
N = TypeVar("N", bound=nn.Module)

_DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}
_GPU_BATCH = 8  # planes


class MadeInNeed(PlaneFeatures):
    """Features that were made in another way than usual, for want of memory: nobody else is given them."""


class _Placed(Generic[N]):
    """A network on one device.

    What a GPU has no memory for is done in halves, and in the end on the CPU; the memory is given back. `spare` is the
    network there, which is laid by beforehand: a GPU without memory can give no copy.
    """

    def __init__(self, network: N, identity: EngineIdentity, *, spare: N | None = None) -> None:
        self.identity = identity
        self._spare = spare or (deepcopy(network) if identity.device is Device.CUDA else network)
        with _failures("it cannot be loaded"):
            self._network = network.to(identity.device.value).eval()

    def _answers(self, run: Callable[[slice, N], tuple[Tensor, Tensor]], count: int) -> Answers:
        """Return the logits and the qualities that `run` gives for parts of a batch of `count`, float32."""

        def in_memory(part: slice, network: N) -> list[Answers]:
            logits, quality = run(part, network)
            return [(logits.float().cpu().numpy(), quality.float().cpu().numpy())]

        with _failures("it failed on the model"):
            logits, quality = zip(*self._in_parts(in_memory, slice(0, count)), strict=True)
        return np.concatenate(logits), np.concatenate(quality)

    def _in_parts(self, run: Callable[[slice, N], list[T]], part: slice) -> list[T]:
        """Return what `run` gives for `part` of a batch, in halves where memory is short, one by one on the CPU."""
        try:
            with self._computing(self._network):
                return run(part, self._network)
        except torch.OutOfMemoryError:
            count = part.stop - part.start  # the rest is out of the handler: its traceback would hold the memory
        torch.cuda.empty_cache()
        if count > 1:
            log.warning("the GPU has no memory for a batch of %d", count, extra={"action": "batch_halved"})
            middle = part.start + count // 2
            first = self._in_parts(run, slice(part.start, middle))
            return [*first, *self._in_parts(run, slice(middle, part.stop))]
        log.warning("the GPU has no memory for one plane: the CPU does it", extra={"action": "gpu_left"})
        with self._computing(self._spare):
            return run(part, self._spare)

    @contextmanager
    def _computing(self, network: N) -> Iterator[None]:
        """Compute without gradients, in the engine's precision."""
        dtype = _DTYPES[self.identity.precision]
        with torch.inference_mode(), torch.autocast(_device(network).type, dtype, enabled=dtype is not torch.float32):
            yield


class TorchEngine(_Placed[LiteMedSam]):
    """A network of two halves, encoder and decoder."""

    def __init__(self, network: LiteMedSam, identity: EngineIdentity, *, spare: LiteMedSam | None = None) -> None:
        super().__init__(network, identity, spare=spare)
        self.batch = _GPU_BATCH if identity.device is Device.CUDA else 1

    def encode(self, images: NDArray[np.float32]) -> list[PlaneFeatures]:
        """Return the features of each of `images`, (image, 3, 256, 256) float32 in 0..1."""

        def run(part: slice, network: LiteMedSam) -> list[PlaneFeatures]:
            found = network.encode(torch.from_numpy(images[part]).to(_device(network)))
            as_usual = len(found.image) == len(images) and network is self._network
            kind = PlaneFeatures if as_usual else MadeInNeed
            return [kind(*(one[number : number + 1] for one in found)) for number in range(len(found.image))]

        with _failures("it failed on the model"):
            return self._in_parts(run, slice(0, len(images)))

    def decode(self, features: PlaneFeatures, boxes: NDArray[np.float32]) -> Answers:
        """Return logits, (box, 256, 256) float32, and predicted IoU, (box,) float32."""

        def run(part: slice, network: LiteMedSam) -> tuple[Tensor, Tensor]:
            device = _device(network)
            plane = PlaneFeatures(*(one.to(device) for one in features))
            return network.decode(plane, torch.from_numpy(boxes[part]).to(device))

        return self._answers(run, len(boxes))

    def size_of(self, features: PlaneFeatures) -> int:
        """Return how many bytes `features` take; 0 where they are not to be kept, as they may come out otherwise."""
        return 0 if isinstance(features, MadeInNeed) else sum(one.nbytes for one in features)


class TorchNetwork(_Placed[nn.Module]):
    """A network of one graph."""

    def run(self, crops: NDArray[np.float32]) -> Answers:
        """Return logits, (box, row, column) float32, and predicted IoU, (box,) float32, of at least one box."""

        def run(part: slice, network: nn.Module) -> tuple[Tensor, Tensor]:
            logits, quality = network(torch.from_numpy(crops[part]).to(_device(network)))
            return logits, quality

        return self._answers(run, len(crops))


def open_engine(folder: Path, wish: EngineWish) -> TorchEngine:
    """Return the engine with the model in `folder`, on a GPU where there is one and no other wish."""
    network = load_network(folder)
    spare = deepcopy(network)
    device, found = _prepared(network, wish)
    allowed, best = _precisions(device)
    identity = _identity(device, settle(wish, device, allowed, best), found)
    return TorchEngine(network, identity, spare=spare if device is Device.CUDA else network)


def open_network(folder: Path, wish: EngineWish) -> TorchNetwork:
    """Return the network of one graph in `folder`, by itself on a GPU where there is one, and in fp32."""
    network = load_box_unet(folder)
    spare = deepcopy(network)
    device, found = _prepared(network, wish)
    precision = settle(wish, device, _precisions(device)[0], Precision.FP32)
    why = f"{found}; {SMALL}" if wish.precision is Precision.AUTO else found
    return TorchNetwork(network, _identity(device, precision, why), spare=spare)


def place(network: nn.Module, device: Device, why: str, wish: Device) -> tuple[Device, str]:
    """Move `network` to `device`; return where it is, and why. Where no GPU is wished, the CPU stands in for one."""
    try:
        network.to(device.value)
    except RuntimeError as error:  # no memory, above all: others may use the GPU
        network.cpu()
        if wish is Device.CUDA:
            raise EngineFailed(f"PyTorch: the GPU does not take the network: {one_line(error)}") from error
        log.warning("the GPU does not take the network: the CPU does it", extra={"action": "gpu_left"})
        return Device.CPU, "the GPU does not take the network"
    return device, why


def _prepared(network: nn.Module, wish: EngineWish) -> tuple[Device, str]:
    """Have PyTorch compute as it shall, and move `network` where it shall run; return where that is, and why."""
    torch.set_num_threads(usable_cpus())
    torch.backends.cudnn.allow_tf32 = False  # by itself a GPU takes 10 of 23 bits for convolutions, and calls it fp32
    torch.backends.cudnn.deterministic = True
    return place(network, *_choose_device(wish.device), wish.device)


def _choose_device(wish: Device) -> tuple[Device, str]:
    """Return the device to use, and why."""
    there = torch.cuda.is_available()
    if wish is Device.CUDA and not there:
        raise SettingsError("device 'cuda'", f"PyTorch {torch.__version__} finds no GPU that it can use")
    if wish is Device.CPU or not there:
        return Device.CPU, "as set" if wish is Device.CPU else "PyTorch finds no GPU"
    return Device.CUDA, f"PyTorch finds {torch.cuda.get_device_name()}"


def _identity(device: Device, precision: Precision, why: str) -> EngineIdentity:
    return EngineIdentity(
        engine=EngineName.TORCH, version=torch.__version__, device=device, precision=precision, reason=why
    )


def _precisions(device: Device) -> tuple[tuple[Precision, ...], Precision]:
    """Return which precisions `device` has, and the best."""
    if device is Device.CPU:
        return (Precision.FP32, Precision.BF16) if cpu_computes_in_bf16() else (Precision.FP32,), Precision.FP32
    if torch.cuda.is_bf16_supported():
        return tuple(_DTYPES), Precision.BF16
    return (Precision.FP32, Precision.FP16), Precision.FP16


@contextmanager
def _failures(failed: str) -> Iterator[None]:
    """Raise what PyTorch raises as ours."""
    try:
        yield
    except RuntimeError as error:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # after an error on a GPU nothing works there any more
            raise EngineFailed(f"PyTorch: {failed}: {error}") from error
        raise refusal("PyTorch", failed, error) from error


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
