"""Files of weights: zips of PyTorch and safetensors, whole, odd and broken."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused
from dicomnode.inference.checkpoints import open_checkpoint
from dicomnode.inference.layouts import header_of, offsets_of
from dicomnode.inference.safetensors_file import write_weights
from tests.checkpoints import SMALL, Stored, pickled, random_weights, torch_zip, zipped

WEIGHTS = random_weights(SMALL)
NAMES = list(WEIGHTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def arrays_of(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    path.write_bytes(content)
    with open_checkpoint(path) as checkpoint:
        return dict(checkpoint.arrays())


def refusal(path: Path, content: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        arrays_of(path, content)
    assert refused.value.what == str(path)
    return refused.value


def assert_same(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]] = WEIGHTS) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def safetensors(entries: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("order", ["little", "big", None])
def test_a_checkpoint_is_read_in_each_byte_order(path: Path, order: str | None) -> None:
    assert_same(arrays_of(path, torch_zip(WEIGHTS, order=order)))


@pytest.mark.parametrize(
    ("wrap", "wrapping", "beside"),
    [
        (lambda tree: tree, (), ()),
        (lambda tree: {"model": tree}, ("model",), ()),
        (lambda tree: {"state_dict": tree}, ("state_dict",), ()),
        (lambda tree: {"model_state_dict": tree, "epoch": 3}, ("model_state_dict",), ("epoch",)),
        (lambda tree: {f"module.{name}": one for name, one in tree.items()}, ("module.",), ()),
        (lambda tree: {f"sam.{name}": one for name, one in tree.items()}, ("sam.",), ()),
        (lambda tree: {f"module.sam.{name}": one for name, one in tree.items()}, ("module.", "sam."), ()),
        (
            lambda tree: {
                "epoch": 3,
                "model": {f"module.{name}": one for name, one in tree.items()},
                "optimizer": {"state": {0: {"step": np.zeros((), np.float32)}}, "param_groups": [{"lr": 1e-4}]},
                "loss": 0.25,
                "best_loss": [1e10],
            },
            ("model", "module."),
            ("epoch", "optimizer", "loss", "best_loss"),
        ),
    ],
)
def test_weights_are_found_in_their_wrapping(
    path: Path, wrap: Callable[[dict[str, Any]], object], wrapping: tuple[str, ...], beside: tuple[str, ...]
) -> None:
    path.write_bytes(torch_zip(wrap(WEIGHTS)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.wrapping == wrapping
        assert checkpoint.beside == beside
        assert_same(dict(checkpoint.arrays()))


def test_a_prefix_that_only_some_names_have_stays(path: Path) -> None:
    found = arrays_of(path, torch_zip({"module.a": WEIGHTS[NAMES[0]], "b": WEIGHTS[NAMES[1]]}))
    assert list(found) == ["module.a", "b"]


def test_of_prefixes_without_end_a_few_are_taken_off(path: Path) -> None:
    (name,) = arrays_of(path, torch_zip({"module." * 100_000 + "a": WEIGHTS[NAMES[0]]}))
    assert name == "module." * 99_996 + "a"


def test_what_lies_beside_tensors_is_named(path: Path) -> None:
    path.write_bytes(torch_zip({**WEIGHTS, "epoch": 4, "notes\n": "none"}))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.beside == ("epoch", r"'notes\n'")


def test_tensors_that_share_a_storage_or_are_turned_are_what_they_are(path: Path) -> None:
    storage = np.arange(100, dtype=np.float32)
    grid = storage[40:46].reshape(2, 3)
    tree = {
        "first": Stored(storage, 0, (5,), (1,), "FloatStorage"),
        "transposed": Stored(storage, 40, (3, 2), (1, 3), "FloatStorage", parameter=True),
        "every second": Stored(storage, 1, (4,), (2,), "FloatStorage"),
        "expanded": Stored(storage, 7, (2, 3), (0, 0), "FloatStorage"),
        "empty": Stored(storage, 100, (0, 3), (3, 1), "FloatStorage"),
    }
    expected: dict[str, NDArray[Any]] = {
        "first": storage[:5],
        "transposed": grid.T,
        "every second": storage[1:9:2],
        "expanded": np.full((2, 3), 7, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert_same(arrays_of(path, torch_zip(tree)), expected)


def test_half_double_and_bfloat16_become_float32(path: Path) -> None:
    upper = np.array([0x3F80, 0xC040, 0x7F80], np.uint16)
    tree = {
        "half": np.array([1.5, -2], np.float16),
        "double": np.array([1 / 3, 1e300]),
        "bfloat16": Stored(upper, 0, (3,), (1,), "BFloat16Storage"),
        "whole": np.array([3, -4], np.int32),
        "flag": np.array([True]),
    }
    expected: dict[str, NDArray[Any]] = {
        "half": np.array([1.5, -2], np.float32),
        "double": np.array([1 / 3, np.inf], np.float32),
        "bfloat16": np.array([1, -3, np.inf], np.float32),
        "whole": np.array([3, -4], np.int64),
        "flag": np.array([1], np.int64),
    }
    assert_same(arrays_of(path, torch_zip(tree)), expected)


def test_what_was_written_is_read_and_lies_where_its_layout_says(path: Path) -> None:
    write_weights(path, SMALL, WEIGHTS)
    content = path.read_bytes()
    assert_same(arrays_of(path, content))
    for name, (offset, size) in offsets_of(SMALL).items():
        assert content[offset : offset + size] == WEIGHTS[name].tobytes()
    assert len(header_of(SMALL)) % 64 == 0


def test_safetensors_of_other_types_are_read(path: Path) -> None:
    data = np.array([1.5], np.float16).tobytes() + np.array([7], np.int32).tobytes()
    entries = {
        "number": {"dtype": "I32", "shape": [1], "data_offsets": [2, 6]},
        "half": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]},
        "__metadata__": {"format": "pt"},
    }
    expected: dict[str, NDArray[Any]] = {"number": np.array([7], np.int64), "half": np.array(1.5, np.float32)}
    assert_same(arrays_of(path, safetensors(entries, data)), expected)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (safetensors({"a": ENTRY}, bytes(7)), "the tensors take 8 bytes, and 7 are there"),
        (safetensors({"a": ENTRY}, bytes(9)), "the tensors take 8 bytes, and 9 are there"),
        (safetensors({"a": {**ENTRY, "shape": [3]}}, bytes(8)), "a lies at 0 to 8, not at 0 to 12"),
        (safetensors({"a": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)), "not at 0 to 8"),
        (safetensors({"a": ENTRY, "b": ENTRY}, bytes(8)), "b lies at 0 to 8, not at 8 to 16"),
        (safetensors({"a": {**ENTRY, "dtype": "F8_E4M3"}}, bytes(2)), "a is of the type F8_E4M3"),
        (safetensors({"a": {**ENTRY, "shape": [-2]}}, bytes(8)), "damaged"),
        (safetensors({"a": {**ENTRY, "shape": [True, 2]}}, bytes(8)), "damaged"),
        (safetensors({"a": {**ENTRY, "shape": ["2"]}}, bytes(8)), "damaged"),
        (safetensors({"a": {**ENTRY, "shape": [1] * 99}}, bytes(8)), "a tensor has 99 axes"),
        (safetensors({"a": {**ENTRY, "shape": 2}}, bytes(8)), "damaged"),
        (safetensors({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)), "data_offsets"),
        (safetensors({"a": {**ENTRY, "data_offsets": [0.0, 8]}}, bytes(8)), "the place of a is no size"),
        (safetensors({"a": {**ENTRY, "data_offsets": [False, 8]}}, bytes(8)), "the place of a is no size"),
        (safetensors({"a": 3}), "damaged"),
        (safetensors({"a": {**ENTRY, "data_offsets": [0, "8"]}}, bytes(8)), "damaged"),
        (struct.pack("<Q", 30) + b'{"a":{},"a":{}}' + b" " * 15, "a name stands there twice"),
        (struct.pack("<Q", 20) + b"{" * 20, "damaged"),
        (struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995, "damaged"),
    ],
)
def test_a_safetensors_header_that_is_wrong_is_refused(path: Path, content: bytes, says: str) -> None:
    refused = refusal(path, content)
    assert refused.reason is Reason.BAD_MODEL
    assert says in refused.detail


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", Reason.BAD_MODEL, "it is empty"),
        (b"DICM" * 20, Reason.BAD_MODEL, "neither a PyTorch checkpoint nor safetensors"),
        (b"\x80\x04}.", Reason.BAD_MODEL, "neither a PyTorch checkpoint nor safetensors"),
        (struct.pack("<Q", 2**40) + b"{}", Reason.LIMIT, "its header would take 1099511627776 bytes; 8388608 are"),
        (struct.pack("<Q", 99) + b"{}", Reason.TRUNCATED, "its header ends after 2 of 99 bytes"),
        (safetensors({}), Reason.BAD_MODEL, "it holds no tensors"),
        (torch_zip({"epoch": 3}), Reason.BAD_MODEL, "it holds no tensors; its entries are epoch"),
        (torch_zip([1]), Reason.BAD_MODEL, "it holds no state dict, but something of the type list"),
        (torch_zip(WEIGHTS[NAMES[0]]), Reason.BAD_MODEL, "it holds no state dict, but one tensor"),
        (torch_zip(WEIGHTS, order="middle"), Reason.BAD_MODEL, "its byte order is b'middle'"),
        (torch_zip(WEIGHTS, compression=ZIP_DEFLATED), Reason.BAD_MODEL, "data.pkl is compressed"),
        (torch_zip(WEIGHTS)[:-30], Reason.TRUNCATED, "it is not complete"),
        (torch_zip(WEIGHTS)[:200], Reason.TRUNCATED, "it is not complete"),
        (zipped({"readme": b"", "a/lite_medsam.pth": b""}), Reason.BAD_MODEL, "it has a/lite_medsam.pth, readme"),
        (zipped({"a/data.pkl": b"", "b/data.pkl": b""}), Reason.BAD_MODEL, "no PyTorch checkpoint"),
        (zipped({"a/data.pkl": pickled({}), "a/constants.pkl": b""}), Reason.BAD_MODEL, "TorchScript"),
        (zipped({"a/data.pkl": pickled(WEIGHTS)}), Reason.TRUNCATED, "the zip has no data/0"),
        (
            zipped({"a/data.pkl": pickled(WEIGHTS), "a/data/0": bytes(5)}),
            Reason.BAD_MODEL,
            "data/0 has 5 bytes instead of 48",
        ),
        (zipped({"a/data.pkl": bytes(2**21 + 1)}), Reason.LIMIT, "data.pkl takes 2097153 bytes; 2097152 are allowed"),
    ],
)
def test_what_is_no_checkpoint_is_refused_and_said(path: Path, content: bytes, reason: Reason, says: str) -> None:
    refused = refusal(path, content)
    assert refused.reason is reason
    assert says in refused.detail


def test_an_error_is_one_line_whatever_a_file_calls_its_parts(path: Path) -> None:
    key = "\x1b[2J\n" * 1000
    data = pickled({"a": WEIGHTS[NAMES[0]]})
    named = b"X" + struct.pack("<I", len(key)) + key.encode()
    odd = data.replace(b"X" + struct.pack("<I", 1) + b"0", named)
    assert odd != data
    detail = refusal(path, zipped({"a/data.pkl": odd})).detail
    assert detail.isprintable()
    assert len(detail) < 300


def test_a_changed_byte_in_a_tensor_is_noticed(path: Path) -> None:
    content = bytearray(torch_zip(WEIGHTS))
    content[content.index(WEIGHTS[NAMES[3]].tobytes()) + 5] ^= 1
    refused = refusal(path, bytes(content))
    assert refused.reason is Reason.TRUNCATED
    assert "CRC" in refused.detail


def test_a_storage_that_claims_to_be_huge_is_not_read(path: Path) -> None:
    storage = np.zeros(4, np.float32)
    content = torch_zip({"a": Stored(storage, 0, (4,), (1,), "FloatStorage")})
    claimed = content.replace(b"J" + struct.pack("<i", 4) + b"tQ", b"J" + struct.pack("<i", 2**31 - 1) + b"tQ")
    assert claimed != content
    assert "CRC" in refusal(path, claimed).detail  # of the pickle
    refused = refusal(
        path,
        zipped(
            {
                "a/data.pkl": pickled({"a": Stored(np.zeros(9, "f4"), 0, (9,), (1,), "FloatStorage")}),
                "a/data/0": bytes(16),
            }
        ),
    )
    assert "data/0 has 16 bytes instead of 36" in refused.detail


def test_a_zip_with_a_huge_list_of_members_is_not_read(path: Path) -> None:
    content = bytearray(torch_zip(WEIGHTS))
    struct.pack_into("<L", content, len(content) - 10, 2**25)
    refused = refusal(path, bytes(content))
    assert refused.reason is Reason.LIMIT
    assert "33554432 bytes; 16777216 are allowed" in refused.detail


@pytest.mark.parametrize("origin", [torch_zip({"model": WEIGHTS, "epoch": 3}), safetensors({"a": ENTRY}, bytes(8))])
def test_a_thousand_mutated_files_are_read_or_refused(path: Path, origin: bytes) -> None:
    rng = Random(7)  # noqa: S311 - to be repeated, not secret
    refused = 0
    for _ in range(1000):
        data = bytearray(origin[: rng.choice((len(origin), len(origin), rng.randrange(len(origin))))])
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 1, 1, 4))] = rng.randbytes(rng.choice((0, 1, 1, 4)))
        try:
            arrays_of(path, bytes(data))
        except Refused:
            refused += 1
    assert 300 < refused <= 1000
