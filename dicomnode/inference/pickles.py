"""Read the pickle in a PyTorch checkpoint with a machine that can make containers, numbers, text and tensors alone.

Python's own unpickler calls whatever a file names. This one knows the few opcodes that checkpoints are made of, and of
names only those in `_NAMES`; every other name is refused, and nothing that a file brings is ever called.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from dicomnode.errors import Reason, Refused
from dicomnode.inference.tensor_files import StoredTensor


class _Maker(Enum):
    ORDERED_DICT = "collections.OrderedDict"
    TENSOR = "torch._utils._rebuild_tensor_v2"
    PARAMETER = "torch._utils._rebuild_parameter"


_STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}
_HIGHEST_PROTOCOL = 5
_LONGEST_NAME = 256
_LARGEST_KEY = 2**31


@dataclass(frozen=True, slots=True)
class _StorageType:
    dtype: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    count: int


def read_pickle(data: bytes, what: str) -> object:
    """Return what the pickle `data` holds: dicts, lists, tuples, numbers, text, and a StoredTensor for each tensor.

    `what` names the file in errors.
    """
    try:
        return _Machine(data, what).run()
    except (IndexError, KeyError, struct.error, ValueError) as error:
        raise Refused(Reason.BAD_MODEL, what, f"its pickle is damaged: {error}") from error


class _Machine:
    """Does one opcode after the other on a stack, as PEP 307, PEP 3154 and pickletools describe them."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._position = 0
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        while (code := self._take(1)) != b".":
            if code not in self._actions:
                raise ValueError(f"opcode {code!r} at byte {self._position - 1} is none that checkpoints have")
            self._actions[code](self)
        return self._stack.pop()

    def _take(self, length: int) -> bytes:
        taken = self._data[self._position : self._position + length]
        if len(taken) < length:
            raise ValueError(f"it ends at byte {len(self._data)}, in the middle")
        self._position += length
        return taken

    def _number(self, layout: str) -> int:
        value: int
        (value,) = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return value

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[object]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _skip_protocol(self) -> None:
        if (protocol := self._number("<B")) > _HIGHEST_PROTOCOL:
            raise ValueError(f"protocol {protocol}, of {_HIGHEST_PROTOCOL} known")

    def _push_text(self, layout: str) -> None:
        self._push(self._take(self._number(layout)).decode())

    def _push_long(self) -> None:
        self._push(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    def _push_tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise ValueError(f"a tuple of {size} from {len(self._stack)} values")
        values = tuple(self._stack[len(self._stack) - size :])
        del self._stack[len(self._stack) - size :]
        self._push(values)

    def _append(self, values: Sequence[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise ValueError("something that is no list is appended to")  # noqa: TRY004 - the file's mistake
        target.extend(values)

    def _set(self, values: Sequence[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError("something that is no dict gets an item")
        _update(target, values[::2], values[1::2])

    def _set_one(self) -> None:
        value = self._stack.pop()
        self._set([self._stack.pop(), value])

    def _get(self, index: int) -> None:
        self._push(self._memo[index])

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _line(self) -> str:
        end = self._data.index(b"\n", self._position, self._position + _LONGEST_NAME)
        return self._take(end + 1 - self._position)[:-1].decode()

    def _name(self) -> None:
        module = self._line()
        self._push(self._named(module, self._line()))

    def _name_on_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name is no text")  # noqa: TRY004 - the file's mistake
        self._push(self._named(module, name))

    def _named(self, module: str, name: str) -> object:
        dotted = f"{module}.{name}"
        if dotted in _STORAGES:
            return _StorageType(_STORAGES[dotted])
        if dotted not in _NAMES:
            detail = f"it asks for {dotted[:_LONGEST_NAME]!r}, which no state dict needs; nothing was run"
            raise Refused(Reason.BAD_MODEL, self._what, detail)
        return _NAMES[dotted]

    def _storage(self) -> None:
        """Push the storage that a persistent id means: ("storage", type, key, device, count)."""
        match self._stack.pop():
            case ("storage", _StorageType(dtype), str(key), _, int(count)):
                self._push(_Storage(key, dtype, count))
            case _:
                raise ValueError("a persistent id is no storage")

    def _make(self) -> None:
        arguments, maker = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple):
            raise ValueError("what is to be made gets no tuple")  # noqa: TRY004
        match maker:
            case _Maker.ORDERED_DICT:
                self._push(_dict_of(arguments))
            case _Maker.TENSOR:
                self._push(_tensor_of(arguments))
            case _Maker.PARAMETER:
                self._push(_parameter_of(arguments))
            case _:
                raise ValueError("something that makes nothing is to make something")

    def _build(self) -> None:
        """Drop the attributes that a state dict brings (its `_metadata`); nothing else may get any."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise ValueError("something that is no dict gets attributes")  # noqa: TRY004

    _actions: ClassVar[dict[bytes, Callable[["_Machine"], object]]] = {
        b"\x80": _skip_protocol,
        b"\x95": lambda self: self._take(8),  # the length of a frame
        b"(": _mark,
        b"0": lambda self: self._stack.pop(),
        b"N": lambda self: self._push(None),
        b"\x88": lambda self: self._push(value=True),
        b"\x89": lambda self: self._push(value=False),
        b"J": lambda self: self._push(self._number("<i")),
        b"K": lambda self: self._push(self._number("<B")),
        b"M": lambda self: self._push(self._number("<H")),
        b"\x8a": _push_long,
        b"G": lambda self: self._push(struct.unpack(">d", self._take(8))[0]),
        b"X": lambda self: self._push_text("<I"),
        b"\x8c": lambda self: self._push_text("<B"),
        b"}": lambda self: self._push({}),
        b"]": lambda self: self._push([]),
        b")": lambda self: self._push(()),
        b"t": lambda self: self._push(tuple(self._since_mark())),
        b"\x85": lambda self: self._push_tuple(1),
        b"\x86": lambda self: self._push_tuple(2),
        b"\x87": lambda self: self._push_tuple(3),
        b"a": lambda self: self._append([self._stack.pop()]),
        b"e": lambda self: self._append(self._since_mark()),
        b"s": _set_one,
        b"u": lambda self: self._set(self._since_mark()),
        b"h": lambda self: self._get(self._number("<B")),
        b"j": lambda self: self._get(self._number("<I")),
        b"q": lambda self: self._put(self._number("<B")),
        b"r": lambda self: self._put(self._number("<I")),
        b"\x94": lambda self: self._put(len(self._memo)),
        b"c": _name,
        b"\x93": _name_on_stack,
        b"Q": _storage,
        b"R": _make,
        b"b": _build,
    }


_NAMES = {maker.value: maker for maker in _Maker}


def _update(target: dict[object, object], keys: Sequence[object], values: Sequence[object]) -> None:
    if not all(isinstance(key, str) or (isinstance(key, int) and 0 <= key < _LARGEST_KEY) for key in keys):
        raise ValueError("a key is neither text nor a small number")
    target.update(zip(keys, values, strict=True))


def _dict_of(arguments: tuple[object, ...]) -> dict[object, object]:
    """Return what OrderedDict makes of nothing, or of a list of pairs."""
    made: dict[object, object] = {}
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list) or any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):  # noqa: PLR2004
        raise ValueError("an OrderedDict is made of something that is no list of pairs")
    _update(made, [key for key, _ in pairs], [value for _, value in pairs])
    return made


def _tensor_of(arguments: tuple[object, ...]) -> StoredTensor:
    match arguments:
        case (_Storage(key, dtype, count), int(offset), tuple(shape), tuple(strides), *_):  # and what training needs
            return StoredTensor(storage=key, dtype=dtype, count=count, offset=offset, shape=shape, strides=strides)
        case _:
            raise ValueError("a tensor is made of something else than a storage, an offset, a shape and strides")


def _parameter_of(arguments: tuple[object, ...]) -> StoredTensor:
    match arguments:
        case (StoredTensor() as tensor, *_):
            return tensor
        case _:
            raise ValueError("a parameter is made of something that is no tensor")
