"""Train in several processes side by side, each with a device of its own, as one."""

import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from dicomnode.errors import SettingsError
from dicomnode.inference.engines import Device

_PATIENCE = timedelta(hours=2)  # a process waits while the first one validates


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """Which of `count` processes this is, and the device that it computes on."""

    number: int = 0
    count: int = 1
    device: torch.device

    @property
    def first(self) -> bool:
        """Return whether it is the process that validates and writes."""
        return self.number == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Return `module` with its gradients averaged over all processes, and itself where there is one."""
        if self.count == 1:
            return module
        # a task may leave parts of its network out, such as what reads points where there are boxes alone
        return DistributedDataParallel(module, find_unused_parameters=True)

    def prepared(self, network: nn.Module) -> nn.Module:
        """Return `network` on the device, its batch norms over the batches of all processes.

        The names of its tensors stay, so that what is saved is the network without that. Only GPUs can do so: on CPUs
        each has its own, and the running statistics are the first one's.
        """
        if self.count > 1 and self.device.type == Device.CUDA.value:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(self.device)

    def any(self, told: bool) -> bool:  # noqa: FBT001 - what all are asked
        """Return whether any process says so."""
        if self.count == 1:
            return told
        flag = torch.tensor(int(told), device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def told(self, value: float) -> float:
        """Return `value` of the first process, in each."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)


def device_of(device: Device, number: int = 0) -> torch.device:
    """Return torch's device number `number` of `device`; a GPU that is not there is a SettingsError."""
    if device is not Device.CUDA:
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise SettingsError(f"device 'cuda' number {number}", f"PyTorch {torch.__version__} finds {there} GPUs")
    return torch.device("cuda", number)


def run_together(run: Callable[..., None], argument: object, device: Device, count: int) -> None:
    """Call `run` with (seat, `argument`) in `count` processes; a signal to end that this one gets is passed on.

    `run` and `argument` are pickled.
    """
    device_of(device, count - 1)
    with TemporaryDirectory(prefix="dicomnode-") as folder:
        call = pickle.dumps((run, argument))  # plain: torch would share each tensor by an open file
        arguments = (count, device.value, Path(folder) / "meeting", call)
        context: Any = spawn(_begin, arguments, nprocs=count, join=False)  # type: ignore[no-untyped-call]

        def pass_on(number: int, _frame: FrameType | None) -> None:
            for pid in context.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not context.join():
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _begin(number: int, count: int, device: str, meeting: Path, call: bytes) -> None:
    """Meet the other processes, and do what was called for."""
    place = device_of(Device(device), number)
    if place.type == Device.CUDA.value:
        torch.cuda.set_device(place)
    backend = "nccl" if place.type == Device.CUDA.value else "gloo"
    distributed.init_process_group(
        backend, init_method=meeting.as_uri(), rank=number, world_size=count, timeout=_PATIENCE
    )
    try:
        run, argument = pickle.loads(call)  # noqa: S301 - made by the process that started this one
        run(Seat(number=number, count=count, device=place), argument)
    finally:
        distributed.destroy_process_group()


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict whose tensors lie on the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in state.items()}
