"""What every table of the settings file is, and the checks that several share."""

import re
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from dicomnode.errors import SettingsError
from dicomnode.inference.windows import ALLOWED, parse_window


class Table(BaseModel):
    """A table of the settings file: nothing unknown in it, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Named = TypeVar("Named", bound=_Named)


def matching(text: str, pattern: str) -> str:
    """Return `text`, of which all must match `pattern`."""
    if not re.fullmatch(pattern, text):
        raise PydanticCustomError("pattern", "does not match {pattern}", {"pattern": pattern})
    return text


def absolute(path: Path) -> Path:
    """Return `path`, which must be absolute."""
    if not path.is_absolute():
        raise PydanticCustomError("path", "is not absolute", {})
    return path


def unique_names(tables: tuple[Named, ...]) -> tuple[Named, ...]:
    """Return `tables`, no two of which have the same name."""
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError("rule", "two have the name {name}", {"name": name})
    return tables


def _ae_title(text: str) -> str:
    return matching(text.strip(" "), r"[ -\[\]-~]{1,16}")


def _host(text: str) -> str:
    return matching(text, r"[A-Za-z0-9._:%-]+")


def _name(text: str) -> str:
    return matching(text, r"[a-z0-9_-]+")


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError("rule", "{error}", {"error": str(error)}) from error
    return text


def _window(text: str) -> str:
    try:
        parse_window(text)
    except SettingsError as error:
        raise PydanticCustomError("window", "is none", {}) from error
    return text


def _reach(value: Any) -> int | str:  # noqa: ANN401 - whatever stands in the file
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise PydanticCustomError("reach", "is none", {})


# The description of a field says what is allowed; errors quote it.
AE_TITLE = "1 to 16 printable ASCII characters, no backslash, not only spaces (PS3.5 6.2, AE)"
AeTitle = Annotated[str, AfterValidator(_ae_title), Field(description=AE_TITLE)]
HOST = "a host name or an address"
Host = Annotated[str, AfterValidator(_host), Field(description=HOST)]
NAME = "lower-case letters, digits, - and _; each name once"
Name = Annotated[str, AfterValidator(_name), Field(description=NAME)]
REGULAR_EXPRESSION = "a regular expression (Python's syntax) on the names of regions"
RegularExpression = Annotated[str, AfterValidator(_regular_expression)]
WINDOW = f"one of: {ALLOWED}"
Window = Annotated[str, AfterValidator(_window)]
REACH = 'a whole number of planes, 0 or more, or "auto"'
Reach = Annotated[int | str, PlainValidator(_reach)]
