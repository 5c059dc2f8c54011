"""Say of an imported model where its weights come from, and which files it is made of: the file `model.toml`."""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import (
    DECODER_NAME,
    ENCODER_NAME,
    INT8_FILES,
    WEIGHTS_NAME,
)

LINEAGE_NAME = "model.toml"
UNKNOWN = "unknown"

_FILES = frozenset({WEIGHTS_NAME, ENCODER_NAME, DECODER_NAME, *INT8_FILES})
_BLOCK = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The file that weights came from and its form; `git_blob` is what `git hash-object` prints for it."""

    file: str
    form: str
    sha256: str
    git_blob: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """What the folder of a model says of it.

    `weights_sha256` is of what was computed from the sources and identifies the model, whatever it is called; `files`
    are the names of its files and their sha256. `training` says of a model that was trained here with what, else it is
    empty.
    """

    name: str
    architecture: str
    origin: str
    licence: str
    imported_by: str
    weights_sha256: str
    files: Mapping[str, str]
    sources: tuple[Source, ...]
    training: Mapping[str, str] = field(default_factory=dict)


def read_lineage(path: Path) -> Lineage:
    """Return the lineage in the file at `path`."""
    try:
        return _lineage(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise Refused(Reason.BAD_MODEL, str(path), f"it cannot be read: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refused(
            Reason.BAD_MODEL, str(path), f"it is damaged: {error}; remove the model, and import it again"
        ) from error


def lineage_text(lineage: Lineage) -> str:
    """Return the content of the file that says `lineage`."""
    document = tomlkit.document()
    document.add(
        tomlkit.comment("Where this model comes from, and the sha256 of its files; written by dicomnode models import.")
    )
    said = asdict(lineage)
    document.update({name: value for name, value in said.items() if value or name != "training"})
    return tomlkit.dumps(document)


def source_of(path: Path, form: str) -> Source:
    """Return what identifies the file at `path`, which has the form `form`."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        git_blob = hashlib.sha1(f"blob {os.fstat(file.fileno()).st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(_BLOCK):
            sha256.update(block)
            git_blob.update(block)
    name = os.fsencode(path.name).decode(errors="replace")  # what is no text in a name cannot be written
    return Source(file=name, form=form, sha256=sha256.hexdigest(), git_blob=git_blob.hexdigest())


def sha256_of(path: Path) -> str:
    """Return the sha256 of the file at `path`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lineage(data: Mapping[str, Any]) -> Lineage:
    if not all(isinstance(value, str) for value in _values(data)):
        raise ValueError("a value is no text")
    files = dict(data["files"])
    if unknown := set(files) - _FILES:
        raise ValueError(f"it has a file {min(unknown)!r}; there are {', '.join(sorted(_FILES))}")
    return Lineage(**{**data, "files": files, "sources": tuple(Source(**one) for one in data["sources"])})


def _values(data: object) -> Iterator[object]:
    """Yield each value in nested tables and arrays."""
    if isinstance(data, dict | list):
        for one in data.values() if isinstance(data, dict) else data:
            yield from _values(one)
    else:
        yield data
