"""Say which tensors the weights of a network are, and at which offsets they lie in the file that the graphs read."""

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple, Protocol

WEIGHTS_NAME = "weights.safetensors"  # what the graphs beside it read
ENCODER_NAME, DECODER_NAME = "encoder.onnx", "decoder.onnx"
NETWORK_NAME = "network.onnx"  # of a network of one graph
INT8_ENCODER_NAME, INT8_WEIGHTS_NAME = "int8/encoder.xml", "int8/encoder.bin"  # what quantising makes of the encoder
INT8_FILES = (INT8_ENCODER_NAME, INT8_WEIGHTS_NAME)
LAYOUT_NAME = "layout.json"

_ITEM_SIZES = {"float32": 4, "float16": 2, "int64": 8}
_CODES = {"float32": "F32", "float16": "F16", "int64": "I64"}  # dtype -> its name in the safetensors format
_METADATA = {"format": "pt"}  # what the format's readers for PyTorch ask for
_ALIGNMENT = 64  # bytes that the data begin at a multiple of
_LENGTH_SIZE = 8


class TensorLayout(NamedTuple):
    """One tensor of a network; `used` says whether a graph reads it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    used: bool = True

    @property
    def size(self) -> int:
        """Return how many bytes it takes."""
        return prod(self.shape) * _ITEM_SIZES[self.dtype]


Layout = tuple[TensorLayout, ...]


class _TorchTensor(Protocol):
    @property
    def shape(self) -> Iterable[int]: ...
    @property
    def dtype(self) -> object: ...


class _TorchModule(Protocol):
    def state_dict(self) -> Mapping[str, _TorchTensor]: ...


def layout_of(network: _TorchModule, used: Iterable[str] | None = None) -> Layout:
    """Return the layout of a torch module's state dict, in its order; `used` names what a graph reads, None all."""
    names = None if used is None else frozenset(used)
    return tuple(
        TensorLayout(
            name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), names is None or name in names
        )
        for name, tensor in network.state_dict().items()
    )


def offsets_of(layout: Layout) -> dict[str, tuple[int, int]]:
    """Return where each tensor lies in its weights file, from its first byte, and how many bytes it takes."""
    position = len(header_of(layout))
    offsets = {}
    for one in layout:
        offsets[one.name] = (position, one.size)
        position += one.size
    return offsets


def header_of(layout: Layout) -> bytes:
    """Return what comes before the tensors in a weights file (the safetensors format): it depends on `layout` alone."""
    entries: dict[str, object] = {"__metadata__": _METADATA}
    position = 0
    for one in layout:
        offsets = [position, position + one.size]
        entries[one.name] = {"dtype": _CODES[one.dtype], "shape": list(one.shape), "data_offsets": offsets}
        position += one.size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(_LENGTH_SIZE + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_SIZE, "little") + text


def write_layout(layout: Layout, path: Path) -> None:
    """Write `layout` to the file at `path`, one tensor a line."""
    lines = (json.dumps({"name": one.name, "dtype": one.dtype, "shape": one.shape, "used": one.used}) for one in layout)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def read_layout(path: Path) -> Layout:
    """Return the layout in the file at `path`, which comes with the package."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return tuple(TensorLayout(one["name"], one["dtype"], tuple(one["shape"]), one["used"]) for one in entries)
