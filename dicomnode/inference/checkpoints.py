"""Open a file of weights, whatever form it has, and find the tensors of the network in it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused
from dicomnode.inference.safetensors_file import open_safetensors
from dicomnode.inference.tensor_files import StoredTensor, TensorFile
from dicomnode.inference.torch_zip import ZIP_BEGIN, open_torch_zip
from dicomnode.inference.words import few, shown

WRAPPERS = ("model", "state_dict", "model_state_dict")  # what training programs keep a state dict under
PREFIXES = ("module.", "sam.")  # what DistributedDataParallel and fine-tuning programs put before each name

_MOST_PREFIXES = 4  # one within the other
_LEGACY_BEGIN = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # the magic number of torch before 1.6
_LARGEST_LEGACY = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The tensors of an open file under the names of the network, and how they were wrapped.

    `wrapping` is what stood round the names, outermost first; `beside` what else the file holds, which is not used.
    """

    kind: str
    wrapping: tuple[str, ...]
    beside: tuple[str, ...]
    tensors: Mapping[str, StoredTensor]
    file: TensorFile

    def arrays(self) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
        """Return all tensors, as float32 or int64."""
        return self.file.arrays(self.tensors)


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Open the file at `path`; what is no file of weights, or a damaged or dangerous one, is refused."""
    with path.open("rb") as file:
        begin = file.read(len(_LEGACY_BEGIN))
    if begin.startswith(ZIP_BEGIN):
        opened = open_torch_zip(path)
    elif begin == _LEGACY_BEGIN:
        opened = _open_legacy(path)
    elif begin[8:9] == b"{":
        opened = open_safetensors(path)
    else:
        detail = "it is neither a PyTorch checkpoint nor safetensors" if begin else "it is empty"
        if begin and path.suffix == ".onnx":
            detail = "one ONNX file is no model: an encoder and a decoder are imported together"
        raise Refused(Reason.BAD_MODEL, str(path), detail)
    with opened as tensor_file:
        yield _unwrapped(tensor_file, str(path))


@contextmanager
def _open_legacy(path: Path) -> Iterator[TensorFile]:
    """Open a checkpoint of torch before 1.6, which only torch can read."""
    size = path.stat().st_size
    if size > _LARGEST_LEGACY:
        raise Refused(Reason.LIMIT, str(path), f"it has {size} bytes; {_LARGEST_LEGACY} are allowed in its old format")
    try:
        legacy = import_module("dicomnode.inference.networks.legacy")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dicomnode"):
            raise
        detail = "it has the format of PyTorch before 1.6, which only torch reads: pip install 'dicomnode[torch]'"
        raise Refused(Reason.BAD_MODEL, str(path), detail) from error
    with legacy.open_legacy(path) as tensor_file:
        yield tensor_file


def _unwrapped(file: TensorFile, what: str) -> Checkpoint:
    content, wrapping, beside = file.content, [], []
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            beside += [shown(key) for key in content if key != wrapper]
            wrapping.append(wrapper)
            content = content[wrapper]
    if not isinstance(content, dict):
        raise Refused(Reason.BAD_MODEL, what, f"it holds no state dict, but {_kind_of(content)}")
    tensors = {name: one for name, one in content.items() if isinstance(name, str) and isinstance(one, StoredTensor)}
    beside += [shown(key) for key in content if key not in tensors]
    if not tensors:
        raise Refused(Reason.BAD_MODEL, what, f"it holds no tensors; its entries are {few(beside) or 'none'}")
    for _ in range(_MOST_PREFIXES):
        prefix = next((one for one in PREFIXES if all(name.startswith(one) for name in tensors)), "")
        if not prefix:
            break
        tensors = {name.removeprefix(prefix): one for name, one in tensors.items()}
        wrapping.append(prefix)
    return Checkpoint(kind=file.kind, wrapping=tuple(wrapping), beside=tuple(beside), tensors=tensors, file=file)


def _kind_of(content: object) -> str:
    return "one tensor" if isinstance(content, StoredTensor) else f"something of the type {type(content).__name__}"
