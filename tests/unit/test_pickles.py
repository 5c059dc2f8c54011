"""The pickles of checkpoints: tensors, containers, numbers and text are read, all else is refused."""

import pickle
import struct
from random import Random

import numpy as np
import pytest

from dicomnode.errors import Reason, Refused
from dicomnode.inference.pickles import read_pickle
from dicomnode.inference.tensor_files import StoredTensor
from tests.checkpoints import Named, Stored, pickled

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
TENSOR = StoredTensor(storage="0", dtype="float32", count=6, offset=0, shape=(2, 3), strides=(3, 1))


def read(data: bytes) -> object:
    return read_pickle(data, "weights.pth")


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 65536, 2**40, 1.5, "", "Größe", (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, "a"], {}],
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_read_as_python_writes_them(value: object, protocol: int) -> None:
    assert read(pickle.dumps({"value": value, "again": value}, protocol)) == {"value": value, "again": value}


def test_a_tensor_is_read_as_where_it_lies() -> None:
    assert read(pickled({"weight": WEIGHT})) == {"weight": TENSOR}


def test_a_parameter_is_its_tensor() -> None:
    part = Stored.whole(WEIGHT)
    assert read(pickled(Stored(part.storage, 0, (2, 3), (3, 1), "FloatStorage", parameter=True))) == TENSOR


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy.core.multiarray", "scalar"),
        ("dicomnode.inference.pickles", "os"),
    ],
)
def test_every_other_name_is_refused_by_itself(module: str, name: str) -> None:
    with pytest.raises(Refused, match=rf"^weights\.pth: BAD_MODEL: it asks for '{module}\.{name}'.*nothing was run$"):
        read(pickled({"weight": WEIGHT, "extra": Named(module, name, ("touch /tmp/x",))}))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_would_run_is_refused_in_every_protocol(protocol: int) -> None:
    with pytest.raises(Refused) as refused:
        read(pickle.dumps(Evil(), protocol))
    assert refused.value.reason is Reason.BAD_MODEL


ORDERED_DICT = b"ccollections\nOrderedDict\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "ends at byte 2"),
        (b"(", "ends at byte 3"),
        (b".", "pop from empty list"),
        (b"t.", "pop from empty list"),
        (b"\x85.", "a tuple of 1 from 0 values"),
        (b"h\x05.", "5"),
        (b"J\x01", "in the middle"),
        (b"X\xff\xff\xff\x7fa.", "in the middle"),
        (b"X\x01\x00\x00\x00\xff.", "utf-8"),
        (b"i\nos\nsystem\n.", "opcode b'i'"),
        (b"o.", "opcode b'o'"),
        (b"\x81.", "opcode"),
        (b"\x92.", "opcode"),
        (b"\x82\x01.", "opcode"),
        (b"P1\n.", "opcode"),
        (b"K\x01K\x02a.", "no list"),
        (b"]K\x01K\x02s.", "no dict"),
        (b"}(K\x01u.", "no dict gets"),
        (b"}]K\x01s.", "neither text nor a small number"),
        (b"}\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01K\x01s.", "neither text nor a small number"),
        (b"K\x01Q.", "no storage"),
        (b"K\x01)R.", "makes nothing"),
        (ORDERED_DICT + b"]R.", "no tuple"),
        (ORDERED_DICT + b"K\x01\x85R.", "no list of pairs"),
        (ORDERED_DICT + b"](K\x01e\x85R.", "no list of pairs"),
        (ORDERED_DICT + b"}b.", "no dict gets attributes"),
        (REBUILD + b")R.", "something else than a storage"),
        (REBUILD + b"}b.", "no dict gets attributes"),
        (b"ctorch._utils\n_rebuild_parameter\n)R.", "no tensor"),
        (b")" + b"\x85" * 100_000 + b"X\x01\x00\x00\x00a\x93.", "a name is no text"),
        (b")" + b"q\x00h\x00\x86" * 60 + b"X\x01\x00\x00\x00a\x93.", "a name is no text"),
        (b"c" + b"a" * 300 + b"\nb\n.", "subsection not found"),
        (b"\x80\x09.", "protocol 9"),
    ],
)
def test_a_pickle_that_is_wrong_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Refused, match="its pickle is damaged") as refused:
        read(b"\x80\x02" + body)
    assert says in refused.value.detail


def tensor(offset: object, shape: object, strides: object, count: object = 6) -> bytes:
    storage = ("storage", Named("torch", "FloatStorage"), "0", "cpu", count)
    body = pickled(storage)[:-1] + b"Q" + b"".join(pickled(one)[2:-1] for one in (offset, shape, strides))
    return b"\x80\x02" + REBUILD + b"(" + body[2:] + b"\x89NtR."


def test_the_tensor_of_these_tests_is_one() -> None:
    assert read(tensor(0, (2, 3), (3, 1))) == TENSOR


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (2, 3), (3, 1)),
        (0, (2, 4), (3, 1)),
        (0, (2, 3), (4, 1)),
        (6, (1,), (1,)),
        (0, (2, 3), (1,)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (0, ("2",), (1,)),
    ],
)
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(offset: object, shape: object, strides: object) -> None:
    with pytest.raises(Refused, match="its pickle is damaged"):
        read(tensor(offset, shape, strides))


def test_a_tensor_of_nothing_lies_anywhere() -> None:
    assert read(tensor(9, (0, 3), (3, 1))) == StoredTensor(
        storage="0", dtype="float32", count=6, offset=9, shape=(0, 3), strides=(3, 1)
    )


def test_a_memo_with_a_huge_number_takes_no_memory() -> None:
    assert read(b"\x80\x02K\x07r" + struct.pack("<I", 2**32 - 1) + b"j" + struct.pack("<I", 2**32 - 1) + b".") == 7


def test_two_thousand_mutated_pickles_are_read_or_refused() -> None:
    rng = Random(5)  # noqa: S311 - to be repeated, not secret
    origin = pickled({"model": {"a": WEIGHT, "b": np.array([3])}, "epoch": 3, "loss": [0.5], "best": (1.0, None)})
    refused = 0
    for _ in range(2000):
        data = bytearray(origin)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 1, 4))] = rng.randbytes(rng.choice((0, 1, 1, 4)))
        try:
            read(bytes(data))
        except Refused as error:
            assert error.reason is Reason.BAD_MODEL  # noqa: PT017 - one of 2,000
            refused += 1
    assert 500 < refused < 2000
