"""Change one setting in a settings file; nothing is written unless the whole file stays valid."""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel

from dicomnode.errors import SettingsError
from dicomnode.settings import toml_text
from dicomnode.settings.load import did_you_mean, parse
from dicomnode.settings.places import Surroundings
from dicomnode.settings.profiles import Profile
from dicomnode.settings.remotes import Destination, Pull, Source
from dicomnode.settings.table import Table
from dicomnode.settings.tables import Settings

_NAMED: dict[str, tuple[type[Table], str, str]] = {  # of the tables that have names: what one is, its name, its value
    "destinations": (Destination, "pacs", '{ae_title = "PACS", host = "127.0.0.1", port = 104}'),
    "profiles": (Profile, "viewer", '{objects = ["SEG", "SR"], seg = ["labelmap", "binary"]}'),
    "sources": (Source, "archive", '{ae_title = "ARCHIVE", host = "127.0.0.1", port = 104}'),
    "pulls": (Pull, "nightly", '{source = "archive", cron = "0 2 * * *", query = {Modality = "RTSTRUCT"}}'),
}


def set_value(path: Path, key: str, text: str, around: Surroundings) -> None:
    """Set `key` in the settings file at `path` to `text`, which is a TOML value or a plain string; keep comments."""
    before = toml_text.read_text(path)
    location = _location(parse(before, path, around), key)
    value = toml_text.value_of(text)
    if isinstance(location[-1], int):
        if not isinstance(value, dict):
            raise SettingsError(key, f"found {text!r}; allowed: a table such as {_NAMED[str(location[0])][2]}")
        value = {"name": key.split(".")[1], **value}
    after = toml_text.with_value(before, location, value)
    try:
        parse(after, path, around)
    except SettingsError as error:
        if isinstance(value, str | dict):
            raise
        after = toml_text.with_value(before, location, text)  # a name may look like a number
        try:
            parse(after, path, around)
        except SettingsError:
            raise error from None
    _replace(path, after)


def _location(settings: Settings, key: str) -> toml_text.Location:
    """Return where `key` stands in a settings file: one setting, or a whole destination or profile by its name."""
    first, *rest = key.split(".")
    if first not in _NAMED:
        _check_setting(Settings, [first, *rest], key)
        return (first, *rest)
    table, name, example = _NAMED[first]
    if not rest:
        raise SettingsError(key, f"name the {first[:-1]}, such as {first}.{name} '{example}'")
    names = [one.name for one in getattr(settings, first)]
    number = names.index(rest[0]) if rest[0] in names else len(names)
    if len(rest) == 1:
        return (first, number)
    _check_setting(table, rest[1:], key)
    if number == len(names):
        add = f"dicomnode config set {first}.{rest[0]} '{example}'"
        raise SettingsError(key, f"there is no {first[:-1]} {rest[0]}; add it as a whole: {add}")
    return (first, number, *rest[1:])


def _check_setting(table: type[BaseModel], parts: list[str], key: str) -> None:
    """Refuse `key` unless `parts` lead from `table` to one setting."""
    kind: object = table
    for part in parts:
        known = list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
        if part not in known:
            raise SettingsError(key, f"there is no such setting{did_you_mean(part, known)}")
        kind = kind.model_fields[part].annotation  # type: ignore[attr-defined] # `part` is known, so `kind` is a table
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        raise SettingsError(key, f"is a table; set one of: {', '.join(f'{key}.{name}' for name in kind.model_fields)}")


def _replace(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader, or a crash, sees the old or the new file whole."""
    path = path.resolve()  # a link stays one
    try:
        mode = path.stat().st_mode
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary = Path(file.name)
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise SettingsError(str(path), f"cannot be written: {error.strerror}") from error
