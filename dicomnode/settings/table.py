"""What every table of the settings file is, and the checks that several share."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator
from pydantic_core import PydanticCustomError

from dicomnode.errors import SettingsError
from dicomnode.inference.windows import ALLOWED, parse_window


class Table(BaseModel):
    """A table of the settings file: nothing unknown in it, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def matching(text: str, pattern: str) -> str:
    """Return `text`, of which all must match `pattern`."""
    if not re.fullmatch(pattern, text):
        raise PydanticCustomError("pattern", "does not match {pattern}", {"pattern": pattern})
    return text


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
REGULAR_EXPRESSION = "a regular expression (Python's syntax) on the names of regions"
RegularExpression = Annotated[str, AfterValidator(_regular_expression)]
WINDOW = f"one of: {ALLOWED}"
Window = Annotated[str, AfterValidator(_window)]
REACH = 'a whole number of planes, 0 or more, or "auto"'
Reach = Annotated[int | str, PlainValidator(_reach)]
