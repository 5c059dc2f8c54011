"""What the readers of weights files give: tensors that lie in a file, unread until they are wanted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

CODES = {  # dtype -> numpy's code of what is stored
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",  # numpy has none: the upper half of a float32
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "u1",
}
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
MOST_AXES = 8
Order = Literal["<", ">"]
_HALF = 16  # bits


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """One tensor in a file: where its numbers lie in a storage of `count` numbers; offset and strides count numbers."""

    storage: str
    dtype: str
    count: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a tensor that reaches out of its storage."""
        sizes = (self.count, self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(type(size) is not int or size < 0 for size in sizes):
            raise ValueError("the shape, the strides or the place of a tensor are no sizes")
        if 0 in self.shape:
            return
        end = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)) + 1
        if end > self.count:
            raise ValueError(f"a tensor ends at number {end} of a storage of {self.count}")

    @property
    def stored_size(self) -> int:
        """Return how many bytes its storage takes."""
        return self.count * np.dtype(CODES[self.dtype]).itemsize


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorFile:
    """An open file of tensors: what it is, its content as it was saved, and how a storage of a size is read.

    In `content` a tensor is a StoredTensor; `order` is < where numbers are stored with the low byte first, else >.
    """

    kind: str
    content: object
    read: Callable[[str, int], bytes]
    order: Order = "<"

    def arrays(self, wanted: Mapping[str, StoredTensor]) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
        """Return the numbers of the tensors `wanted`, as float32 or int64; each storage is read once."""
        found = {}
        for storage in dict.fromkeys((one.storage, one.stored_size) for one in wanted.values()):
            raw = self.read(*storage)
            for name, one in wanted.items():
                if (one.storage, one.stored_size) == storage:
                    found[name] = array_of(one, raw, self.order)
        return found


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor of `shape` whose numbers follow each other, the last axis fastest."""
    if len(shape) > MOST_AXES:
        raise ValueError(f"a tensor has {len(shape)} axes; {MOST_AXES} are allowed")
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def array_of(tensor: StoredTensor, raw: bytes, order: Order = "<") -> NDArray[np.float32] | NDArray[np.int64]:
    """Return `tensor` from the bytes of its storage: floats as float32 (or inf), all else as int64."""
    stored = np.frombuffer(raw, np.dtype(CODES[tensor.dtype]).newbyteorder(order))
    view = as_strided(
        stored[tensor.offset :],
        tensor.shape,
        [stride * stored.itemsize for stride in tensor.strides],
        writeable=False,
    )
    if tensor.dtype == "bfloat16":
        return (view.astype(np.uint32) << _HALF).view(np.float32)
    if tensor.dtype not in FLOATS:
        return view.astype(np.int64)
    with np.errstate(over="ignore"):
        return view.astype(np.float32)
