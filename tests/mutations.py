"""Damage DICOM files at random, the same way for the same seed: `python -m tests.mutations SEED OUT` writes one."""

import argparse
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from random import Random

from tests.conftest import CHECKOUT
from tests.elements import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Element,
    Layout,
    deflated_body,
    element_bytes,
    elements_of,
    layout_of,
)

FOLDERS = ("pydicom_testfiles", "pydicom_data_codecs")
_UIDS = (0x0020000E, 0x0020000D, 0x00080018, 0x00020003)
_SERIAL = 6  # last characters of a UID that tell mutants of one file apart
_NUMBERS = {  # elements that say how large things are -> their VR
    0x00280008: "IS",  # NumberOfFrames
    0x00280010: "US",  # Rows
    0x00280011: "US",  # Columns
    0x00280100: "US",  # BitsAllocated
    0x00280101: "US",  # BitsStored
    0x00280102: "US",  # HighBit
    0x00280002: "US",  # SamplesPerPixel
    0x00280103: "US",  # PixelRepresentation
    0x00280006: "US",  # PlanarConfiguration
}
_SHORTS = (0, 1, 2, 3, 4, 7, 8, 9, 12, 15, 16, 17, 32, 33, 64, 255, 4096, 32767, 32768, 65535)
_STRINGS = (
    *("0", "-1", "1e9999", "-1e9999", "NaN", "inf", "1e308", "1e-320", "2147483648", "9" * 400, "1.5", "", "\\", " "),
    *(
        "1\\2\\3\\4\\5\\6\\7",
        "1\n2",
        "\x00",
        "..",
        "1.2.3\n4",
        "0x10",
        "1,5",
        "\xb5\xff",
        "٣",
        "ISO_IR 999",
        "\\ISO 2022 IR 87",
    ),
)
_SYNTAXES = (
    *("1.2", "1.2.1", "1.2.2", "1.2.1.99", "1.2.4.50", "1.2.4.51", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.81"),
    *("1.2.4.90", "1.2.4.91", "1.2.4.100", "1.2.4.201", "1.2.4.203", "1.2.5", "1.2.8.1", "1.2.4.999", "5.1.4.1.1.2"),
)
_VRS = (
    *("AE", "AT", "CS", "DS", "FD", "FL", "IS", "LO", "OB", "OW", "PN", "SQ", "UI", "UL", "UN", "US", "UT"),
    "ZZ",
    "\0\0",
)
_WANTED = (0x00200032, 0x00200037, 0x00280030, 0x00180050, 0x00280004, 0x00080060, 0x00080008, 0x00080005, 0x00280120)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A file to be damaged: its bytes, how its data set is laid out, and where its elements lie, on every level."""

    data: bytes
    layout: Layout
    elements: Sequence[Element]

    @classmethod
    def of(cls, data: bytes) -> "Opened":
        """Return `data` with its elements, as far as they can be told."""
        layout = layout_of(data)
        return cls(data=data, layout=layout, elements=elements_of(data, layout))

    def with_value(self, element: Element, value: bytes) -> bytes:
        """Return the file with the value of `element` replaced, and its length."""
        if element.length == UNDEFINED:
            return self.data
        value += b" " * (len(value) % 2)
        length = struct.pack(
            self.layout.order + "IH"[element.length_size == 2], len(value) % (1 << 8 * element.length_size)
        )
        at, end = element.length_at, element.value_at + element.length
        return (
            self.data[:at] + length + self.data[at + element.length_size : element.value_at] + value + self.data[end:]
        )

    def patched(self, at: int, content: bytes) -> bytes:
        """Return the file with `content` over what lies at `at`."""
        return self.data[:at] + content + self.data[at + len(content) :]


Mutation = Callable[[Random, Opened], bytes]


def mutant(seed: int, origins: Sequence[bytes]) -> bytes:
    """Return one of `origins` with one to three things wrong in it, and UIDs of its own."""
    rng = Random(seed)  # noqa: S311 - to be repeated, not secret
    return damaged(rng, _renamed(rng.choice(origins), 100_000 + seed), origins)


def damaged(rng: Random, data: bytes, origins: Sequence[bytes]) -> bytes:
    """Return the file `data` with one to three things wrong in it, or a part of one of `origins`."""
    if rng.random() < 0.02:
        return _spliced(rng, data, rng.choice(origins))
    data, deflate = _inflated(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_MUTATIONS)(rng, Opened.of(data))
    return deflate(data)


def read_origins(data_dir: Path) -> dict[str, bytes]:
    """Return the content of every file in the folders of broken and odd files, by its path in `data_dir`."""
    paths = sorted(path for folder in FOLDERS for path in data_dir.joinpath(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in paths}


def _renamed(data: bytes, serial: int) -> bytes:
    """Give the file UIDs of the same length that no other mutant has: equal ones would set all but one aside."""
    opened = Opened.of(data)
    for element in opened.elements:
        uid = data[element.value_at : element.value_at + element.length].rstrip(b"\0 ")
        if element.tag in _UIDS and len(uid) > _SERIAL + 4:
            data = data.replace(uid, uid[:-_SERIAL] + str(serial).encode())
    return data


def _inflated(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Return a deflated file inflated, and what deflates it again."""
    start = deflated_body(data)
    if start is None:
        return data, lambda changed: changed
    body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:])
    return data[:start] + body, lambda changed: changed[:start] + zlib.compress(changed[start:])[2:-4]


def _spliced(rng: Random, one: bytes, other: bytes) -> bytes:
    return one[: rng.randrange(len(one) + 1)] + other[rng.randrange(len(other) + 1) :]


def _flip_bits(rng: Random, file: Opened) -> bytes:
    data = bytearray(file.data)
    header = max((element.value_at for element in file.elements), default=len(data))
    end = rng.choice((min(header, len(data)), len(data)))
    for _ in range(rng.randint(1, 8) if end else 0):
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _overwrite(rng: Random, file: Opened) -> bytes:
    at = rng.randrange(len(file.data) + 1)
    return file.patched(at, rng.choice((b"\0", b"\xff")) * rng.choice((1, 2, 4, 16, 300)))


def _truncate(rng: Random, file: Opened) -> bytes:
    return file.data[: rng.randrange(len(file.data) + 1)]


def _truncate_at_element(rng: Random, file: Opened) -> bytes:
    element = _any(rng, file)
    return file.data[: rng.choice((element.start, element.length_at, element.value_at))] if element else b""


def _wrong_length(rng: Random, file: Opened) -> bytes:
    element = _any(rng, file)
    if element is None:
        return file.data
    largest = (1 << 8 * element.length_size) - 1
    near = (element.length + rng.choice((-2, -1, 1, 2, 8))) & largest
    length = rng.choice((largest, largest - 1, 0, rng.randint(0, largest), rng.randint(0, 64), near))
    return file.patched(element.length_at, struct.pack(file.layout.order + "IH"[element.length_size == 2], length))


def _wrong_vr(rng: Random, file: Opened) -> bytes:
    element = _any(rng, file)
    return file.patched(element.start + 4, rng.choice(_VRS).encode()) if element else file.data


def _wrong_tag(rng: Random, file: Opened) -> bytes:
    element, other = _any(rng, file), _any(rng, file)
    if element is None or other is None:
        return file.data
    return file.patched(element.start, rng.choice((file.data[other.start : other.start + 4], rng.randbytes(4))))


def _nest(rng: Random, file: Opened) -> bytes:
    """Insert a sequence in a sequence in a sequence before some element."""
    element = _any(rng, file)
    if element is None:
        return file.data
    tag = rng.choice((0x00081115, 0x52009229, 0x52009230, 0x00400555, 0x30060039, 0x00189346))
    depth = rng.choice((1, 2, 10, 100, rng.randint(1, 1000)))
    made = nested(file.layout, tag, depth, defined=rng.random() < 0.5)
    return file.data[: element.start] + made + file.data[element.start :]


def _extreme_number(rng: Random, file: Opened) -> bytes:
    found = [element for element in file.elements if element.tag in _NUMBERS]
    if not found:
        return file.data
    element = rng.choice(found)
    if _NUMBERS[element.tag] == "IS":
        return file.with_value(element, rng.choice((*_STRINGS, "2", "10", "65535", "100000")).encode())
    return file.with_value(element, struct.pack(file.layout.order + "H", rng.choice(_SHORTS)))


def _odd_value(rng: Random, file: Opened) -> bytes:
    element = _any(rng, file)
    found = [element for element in file.elements if element.tag in _WANTED]
    if found and rng.random() < 0.5:
        element = rng.choice(found)
    return file.with_value(element, rng.choice(_STRINGS).encode()) if element else file.data


def _other_syntax(rng: Random, file: Opened) -> bytes:
    element = next((element for element in file.elements if element.tag == 0x00020010), None)
    uid = f"1.2.840.10008.{rng.choice(_SYNTAXES)}"
    return file.with_value(element, uid.encode() + b"\0" * (len(uid) % 2)) if element else file.data


def _damage_fragments(rng: Random, file: Opened) -> bytes:
    """Damage the offset table, an item's length, the delimiter or the order of compressed pixel data."""
    items = [element for element in file.elements if element.in_pixels and element.tag == ITEM]
    if len(items) < 2:
        return _flip_bits(rng, file)
    table, one, other = items[0], rng.choice(items[1:]), rng.choice(items[1:])
    match rng.randrange(5):
        case 0:
            garbage = rng.choice((rng.randbytes(table.length), rng.randbytes(4 * len(items)), b"\xff" * 8, b"\1"))
            return file.with_value(table, garbage)
        case 1:
            return file.patched(one.length_at, struct.pack("<I", rng.choice((0, 1, UNDEFINED, rng.getrandbits(32)))))
        case 2:
            return file.data[: items[-1].value_at + items[-1].length]
        case 3:
            swapped = file.with_value(one, file.data[other.value_at : other.value_at + other.length])
            return swapped if one.length == other.length else swapped[: other.value_at]
        case _:
            at = one.value_at + rng.randrange(min(one.length, 64) + 1)  # where a codestream's own header lies
            return file.patched(at, rng.randbytes(rng.choice((1, 2, 4))))


def _lose_preamble(_: Random, file: Opened) -> bytes:
    return file.data[file.layout.start :]


def _lose_meta(_: Random, file: Opened) -> bytes:
    first = next((element.start for element in file.elements if element.tag >> 16 != 2), 0)
    return file.data[first:]


def _drop_element(rng: Random, file: Opened) -> bytes:
    element = _any(rng, file)
    if element is None or element.length == UNDEFINED:
        return file.data
    return file.data[: element.start] + file.data[element.value_at + element.length :]


def _repeat_elements(rng: Random, file: Opened) -> bytes:
    one, other = _any(rng, file), _any(rng, file)
    if one is None or other is None:
        return file.data
    start, end = sorted((one.start, other.start))
    return file.data[:end] + file.data[start:end] * rng.choice((1, 2, 20)) + file.data[end:]


_MUTATIONS: tuple[Mutation, ...] = (
    *repeat(_flip_bits, 4),
    _overwrite,
    _truncate,
    _truncate_at_element,
    *repeat(_wrong_length, 4),
    *repeat(_wrong_vr, 2),
    _wrong_tag,
    *repeat(_nest, 2),
    *repeat(_extreme_number, 4),
    *repeat(_odd_value, 4),
    *repeat(_other_syntax, 2),
    *repeat(_damage_fragments, 4),
    _lose_preamble,
    _lose_meta,
    _drop_element,
    _repeat_elements,
)


def _any(rng: Random, file: Opened) -> Element | None:
    """Return some element: the outermost ones and those before the pixels as often as all the others together."""
    if not file.elements:
        return None
    return rng.choice(rng.choice((file.elements, [one for one in file.elements if one.depth == 0] or file.elements)))


def nested(layout: Layout, tag: int, depth: int, *, defined: bool) -> bytes:
    """Return sequence `tag` in an item of sequence `tag`, `depth` deep, with defined or undefined lengths."""
    if not defined:
        begin = element_bytes(layout, tag, "SQ", None) + element_bytes(layout, ITEM, "", None)
        return (
            begin * depth
            + (element_bytes(layout, ITEM_END, "", b"") + element_bytes(layout, SEQUENCE_END, "", b"")) * depth
        )
    heads, size = [], 0
    for _ in range(depth):
        heads.append(element_bytes(layout, tag, "SQ", None, size + 8) + element_bytes(layout, ITEM, "", None, size))
        size += len(heads[-1])
    return b"".join(reversed(heads))


def main() -> None:
    """Write the mutant of a seed, to look at what became of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared" / "data")
    options = parser.parse_args()
    options.out.write_bytes(mutant(options.seed, tuple(read_origins(options.data).values())))


if __name__ == "__main__":
    main()
