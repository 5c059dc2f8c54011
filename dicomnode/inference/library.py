"""Find, check and remove the models that were imported: one folder each in the models folder."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicomnode.errors import Reason, Refused, SettingsError
from dicomnode.inference.layouts import WEIGHTS_NAME
from dicomnode.inference.lineage import LINEAGE_NAME, Lineage, read_lineage, sha256_of
from dicomnode.inference.runtime import RUNTIMES

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
NAME_RULE = "1 to 64 lower-case letters, digits, ., - and _, the first a letter or a digit"
MODEL_RULE = f"classical, or the name of an imported model: {NAME_RULE}"
BUILT_IN = tuple(RUNTIMES)  # models that come with the package, and have no folder

_GRAVE = ".removed-"  # begins the name of a folder that is being deleted; no model's name begins with a dot


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedModel:
    """One model in the models folder."""

    folder: Path
    lineage: Lineage

    @property
    def name(self) -> str:
        """Return what the settings call it."""
        return self.lineage.name


def models_in(models: Path) -> Iterator[ImportedModel | Refused]:
    """Yield each model in the folder `models` by name; for one whose lineage cannot be read, the error."""
    folders = sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    for folder in folders:
        if not folder.name.startswith("."):
            try:
                yield _model(folder)
            except Refused as error:
                yield error


def find_model(models: Path, name: str) -> ImportedModel:
    """Return the model `name` in the folder `models`; the error lists those there are."""
    folder = models / name
    if folder.parent == models and (folder / LINEAGE_NAME).is_file():
        return _model(folder)
    there = (*BUILT_IN, *(one.name for one in models_in(models) if isinstance(one, ImportedModel)))
    raise SettingsError(f"model {name!r}", f"there is none in {models}; there are: {', '.join(there)}")


def changes(model: ImportedModel) -> Iterator[str]:
    """Yield a sentence on each file of `model` that is missing or not what was imported; every byte is read."""
    for name, sha256 in model.lineage.files.items():
        path = model.folder / name
        try:
            found = sha256_of(path)
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}"
            continue
        if found != sha256:
            yield f"{path} has changed: its sha256 is {found}, and was {sha256}"


def check_files(model: ImportedModel) -> None:
    """Refuse `model` if one of its files is missing or not what was imported; the error names it."""
    for sentence in changes(model):
        raise Refused(Reason.BAD_MODEL, f"model {model.name!r}", f"{sentence}; import it again")


def export_weights(model: ImportedModel, file: Path) -> None:
    """Copy the weights of `model` to the safetensors file `file`, which must not be there yet."""
    check_files(model)
    if WEIGHTS_NAME not in model.lineage.files:
        raise SettingsError(f"model {model.name!r}", "it has its weights in its graphs, and no file of weights")
    try:
        with (model.folder / WEIGHTS_NAME).open("rb") as weights, file.open("xb") as copy:
            shutil.copyfileobj(weights, copy)
    except FileExistsError as error:
        raise SettingsError(str(file), "is there already") from error


def remove_model(models: Path, name: str) -> None:
    """Delete the model `name` in the folder `models`, also a damaged one; whoever looks sees it whole or not at all."""
    folder = models / check_name(name)
    if not folder.is_dir():
        find_model(models, name)
    grave = Path(tempfile.mkdtemp(prefix=_GRAVE, dir=models))
    folder.rename(grave / name)
    shutil.rmtree(grave)


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
