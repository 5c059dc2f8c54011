"""Make batches ahead of the trainer in processes of their own, in order."""

import io
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dicomnode.training.task import Task

_EACH = 2  # batches that a process is ahead


@contextmanager
def batches_of(task: Task, numbers: range, workers: int) -> Iterator[Iterator[Any]]:
    """Open an iterator over the batches of `task` with `numbers`, in their order, made by `workers` processes.

    Called before the network is moved to a GPU; without workers batches are made when they are asked for.
    """
    if not workers or not numbers:
        yield (task.batch(number) for number in numbers)
        return
    loader = DataLoader(
        _Batches(task),
        batch_size=None,
        sampler=list(numbers),
        num_workers=workers,
        prefetch_factor=_EACH,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        multiprocessing_context="spawn",
    )
    yield iter(loader)


class _Batches(Dataset[Any]):
    """The batches of a task, which travels without its network to the process that makes them."""

    def __init__(self, task: Task) -> None:
        content = io.BytesIO()
        _WithoutNetwork(content).dump(task)
        self._pickled = content.getvalue()
        self._task: Task | None = None

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401 - the task's own
        task: Task = self._task or _Blank(io.BytesIO(self._pickled)).load()
        self._task = task
        return task.batch(number)


class _WithoutNetwork(pickle.Pickler):
    """Pickles anything but networks."""

    def persistent_id(self, obj: object) -> str | None:
        return "network" if isinstance(obj, nn.Module) else None


class _Blank(pickle.Unpickler):
    """Unpickles what this process pickled itself, without networks."""

    def persistent_load(self, _pid: object) -> None:
        return None


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401
    return batch


def _begin(_number: int) -> None:
    """Leave it to the trainer to end on a signal, which a terminal sends to all its processes."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
