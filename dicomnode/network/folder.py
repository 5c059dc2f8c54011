"""A destination that is a folder: objects are files in it, whole or not there at all."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from dicomnode.domain import Proof, ProvenBy
from dicomnode.errors import ClassRefused, PeerUnreachable
from dicomnode.network.destinations import Parcel, Transaction, place_of
from dicomnode.network.sender import Encode


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderDestination:
    """A folder that exists; what lies in it is STUDY/SERIES/OBJECT.dcm, each part a UID."""

    path: Path
    encode: Encode
    proof: Proof = Proof.AUTO
    keeps_by: ProvenBy = ProvenBy.CONTENT
    commits: bool = False

    def send(self, parcel: Parcel) -> int:
        """Write an object, durable on return, in the first of its syntaxes."""
        target, content = self._target(parcel), self._content(parcel)
        part = target.with_suffix(".part")
        with _translated(self.path):
            self._check()
            _make(target.parent, self.path)
            try:
                with part.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                part.rename(target)
            except OSError:
                with suppress(OSError):
                    part.unlink()
                raise
            _sync(target.parent)
        return 0

    def keeps(self, parcel: Parcel) -> bool:
        """Return whether the file, read back, is what was written."""
        target, wanted = self._target(parcel), hashlib.sha256(self._content(parcel)).digest()
        with _translated(self.path):
            self._check()
            try:
                with target.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").digest() == wanted
            except FileNotFoundError:
                return False

    def commit(self, transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        """Refuse: a folder commits to nothing."""
        raise ClassRefused(f"{len(parcels)} objects of {transaction.uid}", f"{self.path} is a folder")

    def probe(self) -> None:
        """Return if the folder can be written."""
        with _translated(self.path):
            self._check()
            with TemporaryFile(dir=self.path) as file:
                file.write(b"0")
                file.flush()

    def _check(self) -> None:
        """Do not make a folder that is not there: what is not mounted would be written below its mount point."""
        if not self.path.is_dir():
            raise PeerUnreachable(f"the folder {self.path} is not there")

    def _target(self, parcel: Parcel) -> Path:
        place = place_of(parcel.path)
        return self.path / place.study / place.series / f"{place.instance}.dcm"

    def _content(self, parcel: Parcel) -> bytes:
        content = parcel.path.read_bytes()
        return self.encode(content, parcel.syntaxes[0]) if parcel.syntaxes else content


def _make(folder: Path, root: Path) -> None:
    """Make `folder` below `root` durably."""
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(root) and not one.is_dir()]
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync(new.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PeerUnreachable(f"the folder {path} cannot be used: {error.strerror}") from error
