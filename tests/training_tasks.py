"""A task of a second, for tests of the trainer: a small network that learns to tell where numbers are positive."""

import os
import signal
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


def small_network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 1, 1)
    )


@dataclass
class SmallTask:
    """`kill_at` kills the process when that batch is asked for, `end_at` asks it to end; `joined` batches are one."""

    seed: int = 0
    size: int = 2
    kill_at: int = -1
    end_at: int = -1
    joined: int = 1
    network: nn.Module = field(default_factory=small_network)

    @property
    def settings(self) -> dict[str, int]:
        return {"size": self.size}

    def batch(self, step: int) -> Batch:
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self.end_at:
            os.kill(os.getpid(), signal.SIGTERM)
        numbers = range(step * self.joined, (step + 1) * self.joined)
        generators = [np.random.default_rng((self.seed, number)) for number in numbers]
        images = np.concatenate([one.standard_normal((self.size, 1, 8, 8)) for one in generators]).astype(np.float32)
        return images, (images > 0).astype(np.float32)

    def losses(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, truth = batch
        logits = network(images).float()
        loss = functional.binary_cross_entropy_with_logits(logits, truth)
        return {"loss": loss, "error": ((logits > 0) != (truth > 0)).float().mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        device = next(network.parameters()).device
        images, truth = (torch.from_numpy(one).to(device) for one in self.batch(10**6))
        return {name: float(value) for name, value in self.losses(network, (images, truth)).items()}
