"""What changes in a training from step to step, and all that is needed to go on from there."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dicomnode.inference.engines import Precision
from dicomnode.training.checkpoints import Best
from dicomnode.training.schedule import Schedule, Tail
from dicomnode.training.task import Task
from dicomnode.training.together import Seat, copied

_DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}
_SEEDS = 2**63
_STRIDE = 2**20  # steps of a seed


class State:
    """A training after `step` steps."""

    def __init__(self, task: Task, schedule: Schedule, seat: Seat) -> None:
        self.seat = seat
        self.step = 0
        self.best: Best | None = None
        self._task, self._schedule = task, schedule
        self._layout = torch.channels_last if schedule.channels_last else torch.preserve_format
        self._network = seat.prepared(task.network).to(memory_format=self._layout)  # type: ignore[call-overload]
        self._average = deepcopy(self._network) if schedule.ema is not None and seat.first else None
        self._losses = seat.wrapped(_Losses(task, self._network))
        learning = [one for one in self._network.parameters() if one.requires_grad]
        self._optimizer = torch.optim.AdamW(learning, lr=schedule.rate, weight_decay=schedule.weight_decay)
        self._plateau = ReduceLROnPlateau(self._optimizer, factor=schedule.factor, patience=schedule.patience)
        self._scaler = torch.amp.GradScaler(seat.device.type, enabled=schedule.precision is Precision.FP16)
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    @property
    def rate(self) -> float:
        """Return the rate of the last step."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    def look(self, batch: Any) -> None:  # noqa: ANN401 - the task's own
        """Take the losses of `batch` without learning from it."""
        self._set_rate()
        with torch.no_grad(), self._computing():
            self._network.eval()
            self._add(self._task.losses(self._network, self._moved(batch)))

    def advance(self, batch: Any) -> None:  # noqa: ANN401
        """Take one step on `batch`."""
        torch.manual_seed((self._schedule.seed * _STRIDE + self.step * self.seat.count + self.seat.number) % _SEEDS)
        self._set_rate()
        _set_learning(self._network)
        with self._computing():
            losses = self._losses(self._moved(batch))
        self._optimizer.zero_grad()
        self._scaler.scale(losses["loss"]).backward()
        if self._schedule.clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._schedule.clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._add(losses)
        self.step += 1
        self._follow()

    def validated(self) -> dict[str, float]:
        """Return the task's figures of the network, of its moving average where there is one."""
        network = self._average or self._network
        with torch.no_grad(), self._computing():
            return {name: float(value) for name, value in self._task.validate(network.eval()).items()}

    def after_validation(self, loss: float) -> None:
        """Begin new means, and lower the rate if `loss` asks for it."""
        self._sums, self._count = {}, 0
        if self._schedule.tail is Tail.PLATEAU and self.step > self._schedule.warm_up:
            self._plateau.step(loss)

    def means(self) -> dict[str, float]:
        """Return the mean of each loss since the last validation, of this process's batches."""
        return {name: float(total) / self._count for name, total in self._sums.items()}

    def weights(self) -> dict[str, Tensor]:
        """Return the state dict of what `validated` looks at, on the CPU."""
        return copied((self._average or self._network).state_dict())

    def kept(self) -> dict[str, object]:
        """Return all that `restore` takes."""
        return {
            "step": self.step,
            "best": None if self.best is None else asdict(self.best),
            "model": copied(self._network.state_dict()),
            "average": None if self._average is None else copied(self._average.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "plateau": self._plateau.state_dict(),
            "scaler": self._scaler.state_dict(),
            "sums": copied(self._sums),
            "count": self._count,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Become what `kept` was."""
        self.step, self.best = kept["step"], Best(**kept["best"])
        self._network.load_state_dict(kept["model"])
        if self._average is not None:
            self._average.load_state_dict(kept["average"])
        self._optimizer.load_state_dict(kept["optimizer"])
        self._plateau.load_state_dict(kept["plateau"])
        self._scaler.load_state_dict(kept["scaler"])
        self._sums = {name: total.to(self.seat.device) for name, total in kept["sums"].items()}
        self._count = kept["count"]

    def _set_rate(self) -> None:
        if self._schedule.tail is Tail.COSINE or self.step < self._schedule.warm_up:
            for group in self._optimizer.param_groups:
                group["lr"] = self._schedule.rate_at(self.step)

    def _computing(self) -> torch.autocast:
        dtype = _DTYPES[self._schedule.precision]
        return torch.autocast(self.seat.device.type, dtype, enabled=dtype is not torch.float32)

    def _add(self, losses: Mapping[str, Tensor]) -> None:
        """Add `losses` to the sums, where they lie: to ask a GPU for a number would have it wait."""
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss.detach().double()
        self._count += 1

    def _follow(self) -> None:
        """Move the average towards the network, the faster the younger it is; what is no float becomes the same."""
        if self._average is None or self._schedule.ema is None:
            return
        share = 1 - min(self._schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for old, new in zip(self._average.state_dict().values(), self._network.state_dict().values(), strict=True):
                if old.is_floating_point():
                    old.lerp_(new, share)
                else:
                    old.copy_(new)

    def _moved(self, batch: Any) -> Any:  # noqa: ANN401
        """Return `batch` on the device; arrays become tensors, images (image, channel, row, column) take the layout."""
        if isinstance(batch, np.ndarray):
            batch = torch.from_numpy(batch)
        if isinstance(batch, Tensor):
            layout = self._layout if batch.ndim == _IMAGES else torch.preserve_format
            return batch.to(self.seat.device, non_blocking=True, memory_format=layout)
        if isinstance(batch, tuple) and hasattr(batch, "_fields"):
            return type(batch)(*(self._moved(one) for one in batch))
        if isinstance(batch, tuple | list):
            return type(batch)(self._moved(one) for one in batch)
        if isinstance(batch, dict):
            return {name: self._moved(one) for name, one in batch.items()}
        return batch


_IMAGES = 4  # axes


class _Losses(nn.Module):
    """The losses of a task as a module, whatever way the task uses its network."""

    def __init__(self, task: Task, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._task = task

    def forward(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """Return the losses on `batch`."""
        return self._task.losses(self.network, batch)


def _set_learning(network: nn.Module) -> None:
    """Set the modules of `network` to learn, but those whose parameters are all frozen: they keep their statistics."""
    if network.training:
        return
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            module.eval()
