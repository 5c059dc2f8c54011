"""Read the checkpoints that `torch.save` writes, which are zips, without torch."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from dicomnode.errors import Reason, Refused
from dicomnode.inference.pickles import read_pickle
from dicomnode.inference.tensor_files import Order, TensorFile
from dicomnode.inference.words import few, shown

ZIP_BEGIN = b"PK\x03\x04"

_LARGEST_PICKLE = 2 * 2**20  # bytes; a checkpoint of 1,000 tensors with its optimizer has half a million
_LARGEST_STORAGE = 2**30
_LARGEST_DIRECTORY = 16 * 2**20
_END, _END_SIZE = b"PK\x05\x06", 22  # of the central directory, in APPNOTE.TXT 4.3.16
_END_64, _END_64_SIZE = b"PK\x06\x06", 56  # 4.3.14
_LOCATOR_SIZE = 20
_LONGEST_COMMENT = 2**16
_ORDERS: dict[bytes, Order] = {b"little": "<", b"big": ">"}
_ERRORS = (
    *(BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError),
    *(struct.error, zlib.error),
)


@contextmanager
def open_torch_zip(path: Path) -> Iterator[TensorFile]:
    """Open the checkpoint at `path`; what it is made of is bounded before it is read."""
    what = str(path)
    with path.open("rb") as file:
        _check_directory(file, what)
        with _opened(file, what) as archive:
            members = _Members(archive, what)
            data = members.read("data.pkl", _LARGEST_PICKLE)
            yield TensorFile(
                kind="PyTorch zip",
                content=read_pickle(data, what),
                read=lambda key, size: members.read(f"data/{key}", _LARGEST_STORAGE, size),
                order=members.order(),
            )


class _Members:
    """The files in an open zip, below the one folder that `torch.save` puts everything in."""

    def __init__(self, archive: ZipFile, what: str) -> None:
        self._archive, self._what = archive, what
        names = Counter(archive.namelist())
        twice = [name for name, count in names.items() if count > 1]
        folders = [
            name.removesuffix("/data.pkl") for name in names if name.count("/") == 1 and name[-9:] == "/data.pkl"
        ]
        if twice:
            raise Refused(Reason.BAD_MODEL, what, f"the zip has {shown(twice[0])} twice")
        if len(folders) != 1:
            raise Refused(Reason.BAD_MODEL, what, f"the zip is no PyTorch checkpoint; it has {few(sorted(names), 3)}")
        self._folder = folders[0]
        if f"{self._folder}/constants.pkl" in names:
            raise Refused(Reason.BAD_MODEL, what, "it is a TorchScript program, not a checkpoint: save its state dict")
        self._names = names

    def order(self) -> Order:
        """Return < where numbers are stored with the low byte first, else >; old files do not say, and mean <."""
        if f"{self._folder}/byteorder" not in self._names:
            return "<"
        found = self.read("byteorder", max(map(len, _ORDERS)))
        if found not in _ORDERS:
            raise Refused(Reason.BAD_MODEL, self._what, f"its byte order is {found!r}; little and big are known")
        return _ORDERS[found]

    def read(self, name: str, largest: int, size: int | None = None) -> bytes:
        """Return the member `name`, of at most `largest` bytes, or of exactly `size`."""
        info, said = self._info(name), shown(name)
        if info.file_size > largest:
            raise Refused(Reason.LIMIT, self._what, f"{said} takes {info.file_size} bytes; {largest} are allowed")
        if size is not None and info.file_size != size:
            raise Refused(Reason.BAD_MODEL, self._what, f"{said} has {info.file_size} bytes instead of {size}")
        try:
            content = self._archive.read(info)
        except _ERRORS as error:
            raise Refused(Reason.TRUNCATED, self._what, f"{said} cannot be read: {shown(error)}") from error
        if len(content) != info.file_size:
            raise Refused(Reason.TRUNCATED, self._what, f"{said} ends after {len(content)} of {info.file_size} bytes")
        return content

    def _info(self, name: str) -> ZipInfo:
        if f"{self._folder}/{name}" not in self._names:
            raise Refused(Reason.TRUNCATED, self._what, f"the zip has no {shown(name)}")
        info = self._archive.getinfo(f"{self._folder}/{name}")
        if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
            raise Refused(Reason.BAD_MODEL, self._what, f"{shown(name)} is compressed, which PyTorch never does")
        return info


def _opened(file: BinaryIO, what: str) -> ZipFile:
    try:
        return ZipFile(file)
    except _ERRORS as error:
        raise Refused(Reason.TRUNCATED, what, f"the zip cannot be read: {shown(error)}") from error


def _check_directory(file: BinaryIO, what: str) -> None:
    """Refuse a zip whose list of members is too large to be read; one without an end of that list is cut off."""
    size = file.seek(0, 2)
    start = max(0, size - _LONGEST_COMMENT - _END_SIZE - _LOCATOR_SIZE - _END_64_SIZE)
    file.seek(start)
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + _END_SIZE:
        raise Refused(Reason.TRUNCATED, what, "it begins as a zip and does not end as one: it is not complete")
    (directory,) = struct.unpack_from("<L", tail, end + 12)
    large = end - _LOCATOR_SIZE - _END_64_SIZE
    if large >= 0 and tail[large : large + len(_END_64)] == _END_64:
        (directory,) = struct.unpack_from("<Q", tail, large + 40)
    if directory > _LARGEST_DIRECTORY:
        detail = f"its list of members takes {directory} bytes; {_LARGEST_DIRECTORY} are allowed"
        raise Refused(Reason.LIMIT, what, detail)
