"""Find, check and remove models: those that were imported, a folder each, and those whose files come along."""

import re
import shutil
from collections.abc import Container, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dicomnode.errors import Reason, Refused, SettingsError, Unavailable
from dicomnode.inference.catalog import read_catalog
from dicomnode.inference.layouts import WEIGHTS_NAME
from dicomnode.inference.lineage import LINEAGE_NAME, Lineage, read_lineage, sha256_of
from dicomnode.inference.runtime import RUNTIMES
from dicomnode.inference.workplaces import workplace
from dicomnode.shared import shared_file

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
NAME_RULE = "1 to 64 lower-case letters, digits, ., - and _, the first a letter or a digit"
BUILT_IN = tuple(RUNTIMES)  # models that come with the package
MODEL_RULE = f"{', '.join(BUILT_IN)}, or the name of an imported model: {NAME_RULE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedModel:
    """One model that has files: in the models folder, or `shipped` with the package."""

    folder: Path
    lineage: Lineage
    shipped: bool = False

    @property
    def name(self) -> str:
        """Return what the settings call it."""
        return self.lineage.name

    @property
    def size(self) -> int:
        """Return how many bytes those of its files take that are there."""
        paths = [self.folder / name for name in self.lineage.files]
        return sum(path.stat().st_size for path in paths if path.exists())


def models_in(models: Path) -> Iterator[ImportedModel | Refused]:
    """Yield each model in the folder `models` by name; for one whose lineage cannot be read, the error."""
    folders = sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    for folder in folders:
        if re.fullmatch(NAME_PATTERN, folder.name):
            try:
                yield _model(folder)
            except Refused as error:
                yield error


def shipped_model(name: str) -> ImportedModel:
    """Return the model `name` that comes with the package, as the catalog describes it; one without files is refused.

    Its lineage names no sources and no importer.
    """
    entry = read_catalog()[name]
    if not entry.files:
        raise SettingsError(f"model {name!r}", "it comes with dicomnode, and has no files of its own")
    lineage = Lineage(
        name=name,
        architecture=name,
        origin=entry.origin,
        licence=entry.licence,
        imported_by="",
        weights_sha256=entry.files[WEIGHTS_NAME],
        files=entry.files,
        sources=(),
    )
    return ImportedModel(folder=shared_file(f"models/{entry.card}").parent, lineage=lineage, shipped=True)


def shipped_models() -> tuple[str, ...]:
    """Return the names of the models whose files come with the package."""
    catalog = read_catalog()
    return tuple(name for name in BUILT_IN if catalog[name].files)


def find_model(models: Path, name: str) -> ImportedModel:
    """Return the model `name` in the folder `models`, or of those that come along; the error lists those there are."""
    if name in BUILT_IN:
        return shipped_model(name)
    folder = models / name
    if folder.parent == models and (folder / LINEAGE_NAME).is_file():
        return _model(folder)
    there = (*BUILT_IN, *(one.name for one in models_in(models) if isinstance(one, ImportedModel)))
    raise SettingsError(f"model {name!r}", f"there is none in {models}; there are: {', '.join(there)}")


def changes(model: ImportedModel, without: Container[str] = ()) -> Iterator[str]:
    """Yield a sentence on each file of `model`, `without` some, that is missing or not what was imported."""
    for name, sha256 in model.lineage.files.items():
        if name in without:
            continue
        path = model.folder / name
        try:
            found = sha256_of(path)
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}"
            continue
        if found != sha256:
            yield f"{path} has changed: its sha256 is {found}, and was {sha256}"


def check_files(model: ImportedModel, without: Container[str] = ()) -> None:
    """Refuse `model` if one of its files is missing or not what was imported or shipped; the error names it.

    Files `without` which it can be used are not looked at.
    """
    for sentence in changes(model, without):
        again = "install dicomnode again" if model.shipped else "import it again"
        raise Refused(Reason.BAD_MODEL, f"model {model.name!r}", f"{sentence}; {again}")


def export_weights(model: ImportedModel, file: Path) -> None:
    """Copy the weights of `model` to the safetensors file `file`, which must not be there yet."""
    check_files(model)
    if WEIGHTS_NAME not in model.lineage.files:
        raise SettingsError(f"model {model.name!r}", "it has its weights in its graphs, and no file of weights")
    try:
        with (model.folder / WEIGHTS_NAME).open("rb") as weights, file.open("xb") as copy, ExitStack() as undo:
            undo.callback(file.unlink)
            shutil.copyfileobj(weights, copy)
            copy.flush()
            undo.pop_all()
    except FileExistsError as error:
        raise SettingsError(str(file), "is there already") from error
    except OSError as error:
        raise Unavailable(f"{file}: {error.strerror}") from error


def remove_model(models: Path, name: str) -> None:
    """Delete the model `name` in the folder `models`, also a damaged one; whoever looks sees it whole or not at all."""
    if name in BUILT_IN:
        raise SettingsError(f"model {name!r}", "it comes with dicomnode, and is not removed")
    if not (models / check_name(name)).is_dir():
        find_model(models, name)
    with workplace(models) as grave:
        (models / name).rename(grave / name)


def check_name(name: str) -> str:
    """Return `name` if an imported model can be called so."""
    if name in BUILT_IN:
        raise SettingsError(f"model {name!r}", "it comes with dicomnode, and its name is taken")
    if not re.fullmatch(NAME_PATTERN, name):
        raise SettingsError(f"model {name!r}", f"a name is {NAME_RULE}")
    return name


def _model(folder: Path) -> ImportedModel:
    path = folder / LINEAGE_NAME
    lineage = read_lineage(path)
    if lineage.name != folder.name:
        detail = f"it is of the model {lineage.name!r}, and lies in a folder called {folder.name!r}"
        raise Refused(Reason.BAD_MODEL, str(path), detail)
    return ImportedModel(folder=folder, lineage=lineage)
