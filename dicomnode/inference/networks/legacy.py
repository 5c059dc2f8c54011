"""Read checkpoints in the format that PyTorch wrote before version 1.6, which only PyTorch itself reads."""

import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dicomnode.errors import Reason, Refused
from dicomnode.inference.tensor_files import CODES, StoredTensor, TensorFile, contiguous

_LEVELS = 3  # of dicts, in which a state dict is looked for
_ERRORS = (
    *(AssertionError, AttributeError, EOFError, ImportError, IndexError, KeyError, MemoryError, OverflowError),
    *(RecursionError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError, struct.error),
)


@contextmanager
def open_legacy(path: Path) -> Iterator[TensorFile]:
    """Open the checkpoint at `path`; what is more than tensors, containers, numbers and text is refused by name."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _ERRORS as error:
        why = str(error).strip().split("\n")
        named = next((line.strip() for line in why if "GLOBAL" in line), why[0])
        raise Refused(Reason.BAD_MODEL, str(path), f"PyTorch does not read it: {named}") from error
    tensors: list[torch.Tensor] = []
    stored = _stored(content, tensors, _LEVELS)
    yield TensorFile(kind="PyTorch before 1.6", content=stored, read=lambda key, _: _bytes_of(tensors[int(key)]))


def _bytes_of(tensor: torch.Tensor) -> bytes:
    """Return the numbers of `tensor`, one after the other; one that repeats few of them is this large only now."""
    plain = tensor.detach().contiguous()
    return (plain.view(torch.int16) if plain.dtype is torch.bfloat16 else plain).numpy().tobytes()


def _stored(content: object, tensors: list[torch.Tensor], levels: int) -> object:
    """Return `content` with a StoredTensor in the place of each tensor, which is appended to `tensors`."""
    if isinstance(content, dict) and levels:
        return {key: _stored(value, tensors, levels - 1) for key, value in content.items()}
    if not isinstance(content, torch.Tensor):
        return content
    dtype = str(content.dtype).removeprefix("torch.")
    shape = tuple(content.shape)
    if dtype not in CODES or content.layout is not torch.strided:
        return content  # named as something beside the weights
    tensors.append(content)
    return StoredTensor(
        storage=str(len(tensors) - 1),
        dtype=dtype,
        count=content.numel(),
        offset=0,
        shape=shape,
        strides=contiguous(shape),
    )
