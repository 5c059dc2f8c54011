"""Read settings from their file; say of every mistake where it is, what was found and what is allowed."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dicomnode.dicom.labels import read_tables
from dicomnode.errors import SettingsError
from dicomnode.settings import toml_text
from dicomnode.settings.places import Surroundings, find
from dicomnode.settings.profiles import Profile
from dicomnode.settings.remotes import Destination, Pull, Source
from dicomnode.settings.rules import ModelRule
from dicomnode.settings.tables import JobPriority, Settings

_LISTS: dict[str, tuple[type[BaseModel], str]] = {  # what each [[table]] of a key is
    "destinations": (Destination, "a table with name, and ae_title, host and port, or kind and url or path"),
    "sources": (Source, "a table with name, and ae_title, host and port, or kind and url"),
    "pulls": (Pull, "a table with name, source, cron and query"),
    "priorities": (JobPriority, "a table with priority, and what it fits"),
    "profiles": (Profile, "a table with name, objects and perhaps seg; SR only with SEG"),
    "rules": (ModelRule, "a table with window (without roi), strategy or propagate, and what it fits"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """Settings, and the file they come from; None where every value is the default."""

    settings: Settings
    path: Path | None


def load(explicit: Path | None, around: Surroundings) -> Loaded:
    """Return the settings that count here: of the first file found, or the defaults."""
    path = find(explicit, around)
    text = toml_text.read_text(path) if path else ""
    return Loaded(settings=parse(text, path, around), path=path)


def parse(text: str, path: Path | None, around: Surroundings) -> Settings:
    """Return the settings that `text`, the content of the file at `path`, holds.

    What they name is checked too: profiles, and files with tables of names.
    """
    what = str(path) if path else "default settings"
    data = toml_text.parse(text, what)
    try:
        settings = Settings.model_validate(_with_absolute_paths(data, path, around))
    except ValidationError as error:
        problems = sorted(_problem(details, text, data) for details in error.errors())
        raise SettingsError(what, "; ".join(sentence for _, sentence in problems)) from error
    if settings.prompts.labels:
        read_tables(settings.prompts.labels)
    for location, sentence in _unknown_names(settings):
        raise SettingsError(what, f"line {toml_text.line_of(text, location)}: {sentence}")
    return settings


def get(settings: Settings, key: str) -> Any:  # noqa: ANN401 - any value a settings file can hold
    """Return the value of `key`, such as `listener.port` or `destinations.pacs.port`."""
    value: Any = settings.model_dump(mode="json")
    for table in ("destinations", "profiles", "sources", "pulls"):
        value[table] = {one["name"]: one for one in value[table]}
    for part in key.split("."):
        known = list(value) if isinstance(value, dict) else []
        if part not in known:
            raise SettingsError(key, f"there is no such setting{did_you_mean(part, known)}")
        value = value[part]
    return value


def did_you_mean(word: str, known: list[str]) -> str:
    """Return the end of a sentence that says `word` is unknown: the nearest of `known`, or all of them."""
    close = get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(known)}" if known else ""


def _unknown_names(settings: Settings) -> Iterator[tuple[toml_text.Location, str]]:
    """Yield where a name stands that no other table has, and the sentence on it."""
    sources = [source.name for source in settings.sources]
    for number, pull in enumerate(settings.pulls):
        if pull.source not in sources:
            known = f"allowed: one of: {', '.join(sources)}" if sources else "there is no [[sources]] table"
            yield ("pulls", number, "source"), f"pulls.{pull.name}.source: found {pull.source!r}; {known}"
    for number, to in enumerate(settings.destinations):
        try:
            settings.profile(to.profile)
        except SettingsError as error:
            yield ("destinations", number, "profile"), f"destinations.{to.name}.profile: {error.detail}"


def _with_absolute_paths(data: dict[str, Any], path: Path | None, around: Surroundings) -> dict[str, Any]:
    for resolve in (_with_data_dir, _with_models_folder, _with_labels, _with_files_of_remotes):
        data = resolve(data, path, around)
    return data


def _with_data_dir(data: dict[str, Any], path: Path | None, around: Surroundings) -> dict[str, Any]:
    """Return `data` with `node.data_dir` as an absolute path: its default, `~` and relative paths resolved."""
    node = data.get("node", {})
    if not isinstance(node, dict):
        return data  # the tables say what is wrong with it
    given = node.get("data_dir")
    if given is None:
        resolved: Path | str | None = _default_data_dir(around)
    elif isinstance(given, str) and given.strip():
        resolved = _resolved(given, path, around)
    else:
        resolved = None
    return data if resolved is None else {**data, "node": {**node, "data_dir": resolved}}


def _with_models_folder(data: dict[str, Any], path: Path | None, around: Surroundings) -> dict[str, Any]:
    """Return `data` with `model.folder` as an absolute path where it is given."""
    model = data.get("model", {})
    given = model.get("folder") if isinstance(model, dict) else None
    if not isinstance(given, str) or not given.strip():
        return data  # nothing to do, or the tables say what is wrong with it
    return {**data, "model": {**model, "folder": _resolved(given, path, around)}}


def _with_labels(data: dict[str, Any], path: Path | None, around: Surroundings) -> dict[str, Any]:
    """Return `data` with the files of `prompts.labels` as absolute paths."""
    prompts = data.get("prompts", {})
    given = prompts.get("labels") if isinstance(prompts, dict) else None
    if not isinstance(given, list):
        return data  # nothing to do, or the tables say what is wrong with it
    files = [_resolved(one, path, around) if isinstance(one, str) and one.strip() else one for one in given]
    return {**data, "prompts": {**prompts, "labels": files}}


def _with_files_of_remotes(data: dict[str, Any], path: Path | None, around: Surroundings) -> dict[str, Any]:
    """Return `data` with the paths of destinations and sources as absolute ones."""
    for table in ("destinations", "sources"):
        given = data.get(table)
        if isinstance(given, list):
            resolved = [_with_paths(one, path, around) if isinstance(one, dict) else one for one in given]
            data = {**data, table: resolved}
    return data


def _with_paths(remote: dict[str, Any], path: Path | None, around: Surroundings) -> dict[str, Any]:
    given = {key: remote.get(key) for key in ("path", "authorization_file")}
    texts = {key: value for key, value in given.items() if isinstance(value, str) and value.strip()}
    return remote | {key: _resolved(value, path, around) for key, value in texts.items()}


def _default_data_dir(around: Surroundings) -> Path:
    base = around.base("XDG_DATA_HOME", ".local/share")
    if base is None:
        raise SettingsError("node.data_dir", "has no default, as neither XDG_DATA_HOME nor HOME is set; set it")
    return base / "dicomnode"


def _resolved(given: str, path: Path | None, around: Surroundings) -> Path | str:
    if given.startswith("~"):
        home = around.home if given == "~" or given.startswith("~/") else None
        return home / given[2:] if home else given
    return (path.parent if path else around.folder).absolute() / given


def _problem(details: ErrorDetails, text: str, data: dict[str, Any]) -> tuple[int, str]:
    """Return the line of a mistake (0 if it has none) and the sentence on it."""
    location = details["loc"]
    key = _spoken(location, data)
    line = toml_text.line_of(text, location)
    where = f"line {line}: {key}" if line else key
    model, allowed = _allowed(location)
    if details["type"] == "extra_forbidden":
        return (
            line or 0,
            f"{where}: there is no such setting{did_you_mean(str(location[-1]), list(model.model_fields))}",
        )
    if details["type"] == "missing":
        return line or 0, f"{where} is missing; it must be {allowed}"
    reason = f" ({details['msg']})" if details["type"] == "rule" else ""
    return line or 0, f"{where}: found {details['input']!r}{reason}; allowed: {allowed}"


def _spoken(location: toml_text.Location, data: dict[str, Any]) -> str:
    """Return `location` as users write it: one of several by its name, or by its number from 1 if it has none."""
    parts: list[str] = []
    here: Any = data
    for part in location:
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) else None
            name = here.get("name") if isinstance(here, dict) else None
            parts.append(name if isinstance(name, str) and name else f"#{part + 1}")
        else:
            here = here.get(part) if isinstance(here, dict) else None
            parts.append(part)
    return ".".join(parts)


def _allowed(location: toml_text.Location) -> tuple[type[BaseModel], str]:
    """Return the table that the last key of `location` stands in, and what is allowed as its value."""
    model: type[BaseModel] = Settings
    allowed = "the tables of the settings file"
    for before, part in pairwise(("", *location)):
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if isinstance(before, str) and before in _LISTS:
            model, allowed = _LISTS[before]
        elif field is not None:
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model, allowed = kind, f"a [{part}] table"
            else:
                allowed = field.description or "another value"
    return model, allowed
