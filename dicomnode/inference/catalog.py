"""Read the catalog of models: where each comes from, under which licence, and how its file is told."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from dicomnode.errors import SettingsError
from dicomnode.inference.layouts import WEIGHTS_NAME
from dicomnode.inference.lineage import Source
from dicomnode.shared import shared_file


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogEntry:
    """One model of the catalog.

    `weights` is the name of its file, "none" for a model without; `git_blob` and `sha256` are of that file, where they
    are known; `origins` are addresses that it can be fetched from, `page` is where a person finds it; `input_size` is
    the side of the square that the network sees, in pixels; `files` are the names and sha256 of those that come with
    the package.
    """

    description: str
    origin: str
    licence: str
    weights: str
    card: str
    input_size: int | None = None
    git_blob: str | None = None
    sha256: str | None = None
    page: str | None = None
    origins: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights_sha256(self) -> str | None:
        """Return the sha256 of the weights that come with the package."""
        return self.files.get(WEIGHTS_NAME)

    def is_of(self, source: Source) -> bool:
        """Return whether `source` is the published file."""
        return source.sha256 == self.sha256 if self.sha256 else source.git_blob == self.git_blob


Catalog = Mapping[str, CatalogEntry]


def read_catalog() -> Catalog:
    """Return the catalog that comes with the package."""
    data = tomllib.loads(shared_file("models/catalog.toml").read_text(encoding="utf-8"))
    return {name: CatalogEntry(**{**entry, "origins": tuple(entry.get("origins", ()))}) for name, entry in data.items()}


def entry_of(catalog: Catalog, name: str) -> CatalogEntry:
    """Return the entry `name`; the error lists those there are."""
    if name not in catalog:
        raise SettingsError(f"model {name!r}", f"there is none in the catalog; there are: {', '.join(catalog)}")
    return catalog[name]
