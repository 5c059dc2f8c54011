"""Where a settings file is looked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dicomnode.errors import SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What decides where files are looked for: the variables of the process and the folder it runs in."""

    environment: Mapping[str, str]
    folder: Path

    def base(self, variable: str, below_home: str) -> Path | None:
        """Return the folder that `variable` names (XDG base directories), else `below_home` in the user's home."""
        if self.environment.get(variable):
            return Path(self.environment[variable])
        return self.home / below_home if self.home else None

    @property
    def home(self) -> Path | None:
        """Return the user's home, if there is one."""
        return Path(self.environment["HOME"]) if self.environment.get("HOME") else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a settings file may lie, and who says so; one that was asked for must be there."""

    source: str
    path: Path
    required: bool = False


def places(explicit: Path | None, around: Surroundings) -> tuple[Place, ...]:
    """Return where a settings file is looked for, in order; the first that is there counts, alone."""
    found = []
    if explicit is not None:
        found.append(Place(source="--config", path=around.folder / explicit, required=True))
    if around.environment.get("DICOMNODE_CONFIG"):
        named = around.folder / around.environment["DICOMNODE_CONFIG"]
        found.append(Place(source="DICOMNODE_CONFIG", path=named, required=True))
    found.append(Place(source="current folder", path=around.folder / "dicomnode.toml"))
    if own := around.base("XDG_CONFIG_HOME", ".config"):
        found.append(Place(source="user", path=own / "dicomnode" / "dicomnode.toml"))
    found.append(Place(source="system", path=Path("/etc/dicomnode/dicomnode.toml")))
    return tuple(found)


def find(explicit: Path | None, around: Surroundings) -> Path | None:
    """Return the settings file that counts, None if there is none."""
    for place in places(explicit, around):
        if place.path.is_file():
            return place.path
        if place.required:
            raise SettingsError(str(place.path), f"there is no such file, and {place.source} asks for it")
    return None
