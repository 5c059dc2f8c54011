"""What the trainer asks of whoever has a network to train."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from dicomnode.training.schedule import Setting

LOSS = "loss"  # the name of what is made small


class Task(Protocol):
    """A network and what it is to learn; it can be pickled."""

    @property
    def network(self) -> nn.Module:
        """Return the network to train, as it begins; parameters that need no gradient stay as they are."""
        ...

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Return by name what decides, beside the schedule, what is learnt: a run goes on with the same alone."""
        ...

    def batch(self, step: int) -> Any:  # noqa: ANN401 - the task's own
        """Return the batch of number `step`: always the same, whatever was asked for before, and without the network.

        It is tensors or numpy arrays, also in tuples, lists and dicts; another process may ask for it ahead of time.
        """
        ...

    def losses(self, network: nn.Module, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """Return the losses of `network` on `batch`, both on one device; `loss` is made small, others are shown."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return figures of `network` on what it is not trained on; the less `loss` is, the better it is."""
        ...
