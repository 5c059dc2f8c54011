"""Cut the power of a folder: of what processes did in it, what they had flushed to the disk is left, and no more."""

import ctypes
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.conftest import require_program

_SOURCE = Path(__file__).with_name("forgetful.c")
_DISK_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a folder: which file or folder it names."""

    identity: str
    is_folder: bool


class Power:
    """The power of `folder`, which is all durable at first; processes with `environment` are those that lose it.

    `lies` is what is not flushed although it is asked for: "files", "folders" or "database".
    """

    def __init__(self, folder: Path, beside: Path, *, lies: str = "") -> None:
        library, self._folder, self._memory = built(beside), folder, beside / "memory"
        self._library = ctypes.CDLL(str(library))
        self._remember_all()
        self.environment = preloaded(library, folder, lies) | {"FORGETFUL_MEMORY": str(self._memory)}

    def cut(self, random: Random | None = None) -> int:
        """Lose what was not flushed, or with `random` some of it; return how many files were lost or are other now.

        No process may have a file of the folder open.
        """
        now = {self._identity(path): path for path in (self._folder, *self._folder.rglob("*"))}
        left = self._folder.with_name(f"{self._folder.name}.left")
        self._restore(self._identity(self._folder), left, now, random)
        before, after = _contents(self._folder), _contents(left)
        shutil.rmtree(self._folder)
        left.rename(self._folder)
        self._remember_all()
        return sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())

    def _restore(self, identity: str, to: Path, now: Mapping[str, Path], random: Random | None) -> None:
        to.mkdir()
        durable = dict(self._durable_entries(identity))
        seen = dict(self._entries_at(now[identity])) if identity in now else {}
        for name in sorted(durable.keys() | seen.keys()):
            entry = seen.get(name) if random and random.random() < 0.5 else durable.get(name)
            if entry is None:
                continue
            if entry.is_folder:
                self._restore(entry.identity, to / name, now, random)
            else:
                (to / name).write_bytes(self._content(entry.identity, now, random))

    def _content(self, identity: str, now: Mapping[str, Path], random: Random | None) -> bytes:
        if random and identity in now and random.random() < 0.5:
            return now[identity].read_bytes()
        flushed = self._memory / identity
        return flushed.read_bytes() if flushed.exists() else b""

    def _durable_entries(self, identity: str) -> Iterator[tuple[str, _Entry]]:
        flushed = self._memory / identity
        for line in flushed.read_text().splitlines() if flushed.exists() else ():
            who, kind, name = line.split(" ", 2)
            yield name, _Entry(who, kind == "d")

    def _entries_at(self, folder: Path) -> Iterator[tuple[str, _Entry]]:
        for path in folder.iterdir():
            yield path.name, _Entry(self._identity(path), path.is_dir())

    def _identity(self, path: Path) -> str:
        found = ctypes.create_string_buffer(64)
        if self._library.forgetful_identity(str(path).encode(), found, ctypes.c_size_t(64)):
            raise FileNotFoundError(path)
        return found.value.decode()

    def _remember_all(self) -> None:
        shutil.rmtree(self._memory, ignore_errors=True)
        self._memory.mkdir()
        for path in (self._folder, *self._folder.rglob("*")):
            if self._library.forgetful_remember(str(path).encode(), str(self._memory).encode()):
                raise OSError(f"{path} cannot be remembered")


class Ext4:
    """A file system of its own on `folder`; when its power is cut, what it has written to its disk is left.

    Its journal is written only when something is flushed; its processes may have `environment`.
    """

    def __init__(self, folder: Path, beside: Path, *, lies: str = "") -> None:
        self._folder, self._disk = folder, beside / "disk.img"
        self.environment = preloaded(built(beside), folder, lies) if lies else {}
        with self._disk.open("wb") as disk:
            disk.truncate(_DISK_BYTES)
        subprocess.run([require_program("mkfs.ext4"), "-q", self._disk], check=True, capture_output=True)
        self._mount()

    def cut(self, _random: Random | None = None) -> int:
        """Lose what is not on the disk; return how many files were lost or are other now. No file may be open."""
        before = _contents(self._folder)
        left = self._disk.with_name("left.img")
        shutil.copyfile(self._disk, left)  # what the file system holds in memory is not in it
        self.unmount()
        left.rename(self._disk)
        self._mount()
        after = _contents(self._folder)
        return sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())

    def unmount(self) -> None:
        """Take the file system away."""
        subprocess.run(["umount", self._folder], check=True)

    def _mount(self) -> None:
        options = "loop,commit=300,noauto_da_alloc"
        subprocess.run(["mount", "-o", options, self._disk, self._folder], check=True, capture_output=True)


def built(beside: Path) -> Path:
    """Build what is loaded into processes; return where it is."""
    library = beside / "forgetful.so"
    build: list[Path | str] = [require_program("gcc"), "-shared", "-fPIC", "-O2", "-o", library, _SOURCE]
    subprocess.run(build, check=True, capture_output=True)
    return library


def preloaded(library: Path, folder: Path, lies: str) -> dict[str, str]:
    """Return the environment of processes that it is loaded into."""
    environment = {"LD_PRELOAD": str(library), "FORGETFUL_FOLDER": str(folder)}
    return environment | ({"FORGETFUL_LIES": lies} if lies else {})


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the files below `folder`; what SQLite shares between processes is no content of a disk."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
