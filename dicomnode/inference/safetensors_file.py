"""Read and write the safetensors format: a JSON header with a length before it, then the tensors, one after the other.

Its description is that of huggingface/safetensors (Apache-2.0); nothing but this module is needed for it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import Layout, header_of
from dicomnode.inference.tensor_files import CODES, StoredTensor, TensorFile, contiguous
from dicomnode.inference.words import shown

_LENGTH_SIZE = 8
_LARGEST_HEADER = 8 * 2**20
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


Array = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int64]


def write_weights(path: Path, layout: Layout, arrays: Mapping[str, Array]) -> None:
    """Write `arrays` in the order of `layout` to the file at `path`."""
    with path.open("wb") as file:
        file.write(header_of(layout))
        for one in layout:
            code = np.dtype(CODES[one.dtype]).newbyteorder("<")
            file.write(arrays[one.name].astype(code).tobytes())


@contextmanager
def open_safetensors(path: Path) -> Iterator[TensorFile]:
    """Open the file at `path`."""
    with path.open("rb") as file:
        text = _header_text(file, str(path))
        start = file.tell()
        try:
            tensors, positions = _tensors(_header(text), file.seek(0, 2) - start)
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise Refused(Reason.BAD_MODEL, str(path), f"its safetensors header is damaged: {shown(error)}") from error

        def read(name: str, size: int) -> bytes:
            file.seek(start + positions[name])
            return file.read(size)

        yield TensorFile(kind="safetensors", content=tensors, read=read)


def _header_text(file: BinaryIO, what: str) -> bytes:
    length = int.from_bytes(file.read(_LENGTH_SIZE), "little")
    if length > _LARGEST_HEADER:
        raise Refused(Reason.LIMIT, what, f"its header would take {length} bytes; {_LARGEST_HEADER} are allowed")
    text = file.read(length)
    if len(text) < length:
        raise Refused(Reason.TRUNCATED, what, f"its header ends after {len(text)} of {length} bytes")
    return text


def _header(text: bytes) -> dict[str, dict[str, Any]]:
    """Return the entries of the tensors in a header, by their names."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    entries: dict[str, dict[str, Any]] = json.loads(text, object_pairs_hook=once)
    return {name: entry for name, entry in entries.items() if name != "__metadata__"}


def _tensors(entries: Mapping[str, dict[str, Any]], size: int) -> tuple[dict[str, StoredTensor], dict[str, int]]:
    """Return the tensors and where each begins in the `size` bytes of data, which they must fill without holes."""
    tensors, positions, end = {}, {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        tensors[name] = _tensor(name, entry)
        start, stop = entry["data_offsets"]
        if type(start) is not int or type(stop) is not int:
            raise ValueError(f"the place of {shown(name)} is no size")
        if start != end or stop - start != tensors[name].stored_size:
            raise ValueError(
                f"{shown(name)} lies at {start} to {stop}, not at {end} to {end + tensors[name].stored_size}"
            )
        positions[name], end = start, stop
    if end != size:
        raise ValueError(f"the tensors take {end} bytes, and {size} are there")
    return {name: tensors[name] for name in entries}, positions


def _tensor(name: str, entry: Mapping[str, Any]) -> StoredTensor:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{shown(name)} is of the type {shown(entry['dtype'])}; known are {', '.join(_DTYPES)}")
    shape = tuple(entry["shape"])
    strides = contiguous(shape)
    dtype = _DTYPES[entry["dtype"]]
    return StoredTensor(storage=name, dtype=dtype, count=prod(shape), offset=0, shape=shape, strides=strides)
