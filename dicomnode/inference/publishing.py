"""Put a finished model into the models folder, whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dicomnode import __version__
from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import ENCODER_NAME, INT8_FILES
from dicomnode.inference.library import ImportedModel, find_model
from dicomnode.inference.lineage import LINEAGE_NAME, UNKNOWN, Lineage, lineage_text, sha256_of
from dicomnode.inference.probing import Probe, Probed
from dicomnode.inference.workplaces import sync, workplace

IMPORTED_BY = f"dicomnode {__version__}"


class Published(NamedTuple):
    """A model in the models folder, what it gave when it was tried, and whether it is new there."""

    model: ImportedModel
    probed: Probed
    new: bool


@contextmanager
def draft(models: Path) -> Iterator[Path]:
    """Make a folder to be filled with the files of a model; what is not published is deleted."""
    with workplace(models) as scratch:
        folder = scratch / "model"
        folder.mkdir()
        yield folder


def files_of(folder: Path) -> dict[str, str]:
    """Return the names of the files in `folder`, and their sha256."""
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def publish(folder: Path, models: Path, lineage: Lineage, probe: Probe) -> Published:
    """Move the model in `folder` into the folder `models`, if `probe` finds that it works.

    A model of that name with other weights stays and is an error; one with the same gets the files that it lacks or
    that are not these, and keeps its lineage where that says more.
    """
    before = _same_model(models, lineage)
    probed = probe(folder)
    if not probed.finite:
        detail = f"its output for a test image is not finite: {probed.lowest} to {probed.highest}"
        raise Refused(Reason.BAD_MODEL, lineage.sources[0].file, detail)
    if before is not None:
        lineage = _with_int8(lineage, before)
        if lineage.origin == UNKNOWN:
            lineage = replace(before.lineage, files=lineage.files, imported_by=lineage.imported_by)
    (folder / LINEAGE_NAME).write_text(lineage_text(lineage), encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)
    target = models / lineage.name
    if before is None:
        _move(folder, target)
    else:
        _restore(folder, target)
    sync(models)
    return Published(ImportedModel(folder=target, lineage=lineage), probed, before is None)


def _same_model(models: Path, lineage: Lineage) -> ImportedModel | None:
    """Return the model of that name if there is one; one with other weights is refused."""
    folder = models / lineage.name
    if not folder.exists():
        return None
    if not (folder / LINEAGE_NAME).exists():
        raise Refused(Reason.BAD_MODEL, str(folder), "it is there already, and no model that was imported")
    before = find_model(models, lineage.name)
    if before.lineage.weights_sha256 != lineage.weights_sha256:
        there, here = (one.weights_sha256[:12] for one in (before.lineage, lineage))
        detail = f"there is one already with other weights, {there} instead of {here}; choose another name with --as"
        raise Refused(Reason.BAD_MODEL, f"model {lineage.name!r}", detail)
    return before


def _with_int8(lineage: Lineage, before: ImportedModel) -> Lineage:
    """Return `lineage` with the int8 form that `before` has, if it is whole and of the same encoder."""
    old = before.lineage.files
    made = {name: old[name] for name in INT8_FILES if name in old}
    whole = all((before.folder / name).is_file() and sha256_of(before.folder / name) == made[name] for name in made)
    if old.get(ENCODER_NAME) != lineage.files.get(ENCODER_NAME) or not whole:
        return lineage
    return replace(lineage, files={**lineage.files, **made})


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        raise Refused(Reason.BAD_MODEL, str(target), f"it cannot be made: {error.strerror}") from error


def _restore(folder: Path, target: Path) -> None:
    """Put the files of `folder` that `target` lacks, or has otherwise, in their place; the lineage comes last."""
    for path in sorted(folder.iterdir(), key=lambda one: one.name == LINEAGE_NAME):
        there = target / path.name
        if not there.is_file() or sha256_of(there) != sha256_of(path):
            path.replace(there)
    sync(target)
