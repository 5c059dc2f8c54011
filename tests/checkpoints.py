"""Write checkpoints as PyTorch does, without PyTorch: a pickle with storages beside it in a zip."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.layouts import DECODER_NAME, ENCODER_NAME, LAYOUT_NAME, Layout, TensorLayout, write_layout
from dicomnode.inference.tensor_files import contiguous

TAGS = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}

# A network that is quickly written, with all that the real one has: a counter, an axis of one, a tensor no graph reads.
SMALL: Layout = (
    TensorLayout("image_encoder.conv.weight", "float32", (4, 3, 1, 1)),
    TensorLayout("image_encoder.bn.running_var", "float32", (4,)),
    TensorLayout("image_encoder.bn.num_batches_tracked", "int64", (), used=False),
    TensorLayout("mask_decoder.iou.weight", "float32", (5, 4)),
)


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that lies in a storage with others: `offset` and `strides` count numbers; `tag` names its type."""

    storage: NDArray[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    tag: str
    parameter: bool = False

    @classmethod
    def whole(cls, array: NDArray[Any]) -> "Stored":
        return cls(array.ravel(), 0, array.shape, contiguous(array.shape), TAGS[array.dtype.name])


@dataclass(frozen=True)
class Named:
    """A name that a pickle asks for, called with `arguments` where there are any."""

    module: str
    name: str
    arguments: tuple[object, ...] | None = None


@dataclass
class _Pickler:
    """Writes protocol 2; the storages that it meets are kept under their numbers."""

    storages: list[NDArray[Any]] = field(default_factory=list)

    def write(self, value: object) -> bytes:
        writers: dict[type, Callable[[Any], bytes]] = {
            type(None): lambda _: b"N",
            bool: lambda one: b"\x88" if one else b"\x89",
            int: lambda one: b"J" + struct.pack("<i", one),
            float: lambda one: b"G" + struct.pack(">d", one),
            str: lambda one: b"X" + struct.pack("<I", len(one.encode())) + one.encode(),
            tuple: lambda one: b"(" + b"".join(map(self.write, one)) + b"t",
            list: lambda one: b"](" + b"".join(map(self.write, one)) + b"e",
            dict: self._dict,
            np.ndarray: lambda one: self._tensor(Stored.whole(one)),
            Stored: self._tensor,
            Named: self._named,
        }
        return writers[type(value)](value)

    def _dict(self, value: Mapping[str, object]) -> bytes:
        """Write an OrderedDict with the `_metadata` that state dicts have."""
        items = b"".join(self.write(key) + self.write(one) for key, one in value.items())
        made = self.write(Named("collections", "OrderedDict", ())) + b"(" + items + b"u"
        return made + b"}(" + self.write("_metadata") + b"}ub"

    def _named(self, value: Named) -> bytes:
        called = b"" if value.arguments is None else self.write(value.arguments) + b"R"
        return b"c" + f"{value.module}\n{value.name}\n".encode() + called

    def _tensor(self, tensor: Stored) -> bytes:
        if not any(one is tensor.storage for one in self.storages):
            self.storages.append(tensor.storage)
        key = next(number for number, one in enumerate(self.storages) if one is tensor.storage)
        storage = (*map(self.write, ("storage", Named("torch", tensor.tag), str(key), "cpu", tensor.storage.size)),)
        rest = (tensor.offset, tensor.shape, tensor.strides, False, Named("collections", "OrderedDict", ()))
        arguments = b"((" + b"".join(storage) + b"tQ" + b"".join(map(self.write, rest)) + b"t"
        made = b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"
        if not tensor.parameter:
            return made
        hooks = self.write(Named("collections", "OrderedDict", ()))
        return b"ctorch._utils\n_rebuild_parameter\n(" + made + b"\x88" + hooks + b"tR"


def pickled(tree: object) -> bytes:
    """Return `tree` as the pickle in a checkpoint; arrays become tensors."""
    return b"\x80\x02" + _Pickler().write(tree) + b"."


def torch_zip(tree: object, *, order: str | None = "little", compression: int = ZIP_STORED) -> bytes:
    """Return `tree` as a checkpoint of today's PyTorch."""
    pickler = _Pickler()
    members = {"data.pkl": b"\x80\x02" + pickler.write(tree) + b"."}
    if order is not None:
        members["byteorder"] = order.encode()
    for number, storage in enumerate(pickler.storages):
        swapped = storage.astype(storage.dtype.newbyteorder(">" if order == "big" else "<"))
        members[f"data/{number}"] = swapped.tobytes()
    return zipped({f"archive/{name}": content for name, content in members.items()}, compression)


def zipped(members: Mapping[str, bytes], compression: int = ZIP_STORED) -> bytes:
    """Return a zip of `members`."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def random_weights(layout: Layout, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return numbers for each tensor of `layout`; variances are positive."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[Any]] = {}
    for one in layout:
        if one.dtype == "int64":
            weights[one.name] = np.asarray(rng.integers(1, 1000), np.int64).reshape(one.shape)
        elif one.name.endswith("running_var"):
            weights[one.name] = rng.uniform(0.5, 1.5, one.shape).astype(np.float32)
        else:
            weights[one.name] = rng.normal(0, 0.05, one.shape).astype(np.float32)
    return weights


def shipped(folder: Path, layout: Layout = SMALL) -> Path:
    """Make a folder such as the package ships one for a network, of `layout` and two files for graphs; return it."""
    folder.mkdir(parents=True)
    write_layout(layout, folder / LAYOUT_NAME)
    for graph in (ENCODER_NAME, DECODER_NAME):
        (folder / graph).write_bytes(f"the graph {graph}".encode())
    return folder
