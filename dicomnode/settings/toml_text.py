"""Work on TOML text: read it, tell the line of a key, and change a key without losing comments."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError
from tomlkit.items import AoT, Table

from dicomnode.errors import SettingsError

Location = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."' -]+?)\s*=""")


def read_text(path: Path) -> str:
    """Return the text of the settings file at `path`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), f"byte {error.start} is not UTF-8; a settings file is UTF-8 text") from error
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read: {error.strerror}") from error


def parse(text: str, what: str) -> dict[str, Any]:
    """Return what the TOML `text` holds; `what` names it in the error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(what, f"is no valid TOML: {error}") from error


def value_of(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Return `text` as a TOML value, or as the string it is when it is none."""
    try:
        return tomlkit.value(text).unwrap()
    except ParseError:
        return text


def line_of(text: str, location: Location) -> int | None:
    """Return the line, from 1, where `location` stands in the TOML `text`, or the nearest thing that holds it.

    A location is keys and, in an array of tables, numbers from 0: `("destinations", 0, "port")`.
    """
    lines = dict(_reversed_locations(text))
    for length in range(len(location), 0, -1):
        if location[:length] in lines:
            return lines[location[:length]]
    return None


def with_value(text: str, location: Location, value: object) -> str:
    """Return the TOML `text` with `location` set to `value`; missing tables are made, comments are kept."""
    document = tomlkit.parse(text)
    holder: Any = document
    for step, following in pairwise(location):
        if isinstance(step, str) and step not in holder:
            holder.add(tomlkit.nl())
            holder[step] = tomlkit.aot() if isinstance(following, int) else tomlkit.table()
        holder = holder[step]
    last = location[-1]
    if isinstance(last, int) and last == len(holder):
        holder.append(_spaced_table(value) if isinstance(holder, AoT) else value)
    else:
        holder[last] = value
    return tomlkit.dumps(document).rstrip() + "\n"


def _reversed_locations(text: str) -> Iterator[tuple[Location, int]]:
    """Yield each location and its line, last first, so that a dict keeps the first."""
    return reversed(list(_locations(text)))


def _locations(text: str) -> Iterator[tuple[Location, int]]:
    counts: dict[Location, int] = {}
    table: Location = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _keys(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                yield table, number
                table = (*table, counts[table])
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_keys(key[1])), number


def _keys(dotted: str) -> Location:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _spaced_table(value: object) -> Table:
    """Return the mapping `value` as a table with an empty line after it."""
    table = tomlkit.table()
    if isinstance(value, Mapping):
        table.update(value)
    table.add(tomlkit.nl())
    return table
