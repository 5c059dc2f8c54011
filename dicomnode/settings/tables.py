"""The tables of the settings file: every setting, its default and what is allowed."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from dicomnode.dicom.labels import read_tables
from dicomnode.domain import JobOptions
from dicomnode.inference.runtime import RUNTIMES
from dicomnode.logs import LogFormat, LogLevel


def _matching(text: str, pattern: str) -> str:
    if not re.fullmatch(pattern, text):
        raise PydanticCustomError("pattern", "does not match {pattern}", {"pattern": pattern})
    return text


def _ae_title(text: str) -> str:
    return _matching(text.strip(" "), r"[ -\[\]-~]{1,16}")


def _long_string(text: str) -> str:
    return _matching(text.strip(" "), r"[ -\[\]-~]{1,64}")


def _host(text: str) -> str:
    return _matching(text, r"[A-Za-z0-9._:%-]+")


def _destination_name(text: str) -> str:
    return _matching(text, r"[a-z0-9_-]+")


def _model(text: str) -> str:
    return _matching(text, "|".join(map(re.escape, RUNTIMES)))


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise PydanticCustomError("path", "is not absolute", {})
    return path


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError("rule", "{error}", {"error": str(error)}) from error
    return text


def _types(types: Sequence[str]) -> Sequence[str]:
    return [_matching(one.strip().upper(), r"[A-Z0-9_ ]{1,16}") for one in types]


def _unique_names(destinations: tuple["Destination", ...]) -> tuple["Destination", ...]:
    names = [destination.name for destination in destinations]
    if len(set(names)) < len(names):
        raise PydanticCustomError("rule", "two destinations have the same name", {})
    return destinations


# The description of a field says what is allowed; errors quote it.
AeTitle = Annotated[
    str,
    AfterValidator(_ae_title),
    Field(description="1 to 16 printable ASCII characters, no backslash, not only spaces (PS3.5 6.2, AE)"),
]
Host = Annotated[str, AfterValidator(_host), Field(description="a host name or an address")]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Table(BaseModel):
    """A table of the settings file: nothing unknown in it, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Node(Table):
    """Who this node is and where it keeps its data."""

    ae_title: AeTitle = "DICOMNODE"
    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(strict=False, description="the path of a folder")
    device_serial_number: Annotated[str, AfterValidator(_long_string)] = Field(
        default="not assigned",
        description="1 to 64 printable ASCII characters, no backslash, not only spaces (PS3.5 6.2, LO)",
    )


class Listener(Table):
    """How the node listens for instances; port 0 takes any free port, which is for tests."""

    host: Host = "0.0.0.0"  # noqa: S104 - a DICOM node is there to be reached from other machines
    port: int = Field(default=11112, ge=0, le=65535, description="a whole number from 0 to 65535; 0 is any free port")
    max_associations: int = Field(default=32, ge=1, description="a whole number, 1 or more")
    max_pdu_bytes: int = Field(
        default=131072, ge=4096, le=16777216, description="a whole number of bytes from 4096 to 16777216"
    )
    idle_seconds: Seconds = Field(default=60.0, gt=0, description="a number of seconds greater than 0")


class Readiness(Table):
    """When a study counts as complete."""

    quiet_seconds: Seconds = Field(default=10.0, ge=0, description="a number of seconds, 0 or more")


class Model(Table):
    """What segments."""

    name: Annotated[str, AfterValidator(_model)] = Field(
        default="classical", description=f"one of: {', '.join(sorted(RUNTIMES))}"
    )


class PromptSettings(Table):
    """Which regions are segmented, how annotations are read, and what their regions are called in codes."""

    roi: Annotated[str, AfterValidator(_regular_expression)] | None = Field(
        default=None, description="a regular expression (Python's syntax) on the names of regions"
    )
    roi_types: Annotated[Sequence[str], AfterValidator(_types)] = Field(
        default=[], description="a list of RT ROI Interpreted Types (PS3.3 C.8.8.8.1)"
    )
    margin_mm: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="a number of millimetres, 0 or more")
    interpolate: bool = Field(default=True, description="true or false")
    split_components: bool = Field(default=False, description="true or false")
    length_as_box: bool = Field(default=False, description="true or false")
    swap_spacing: bool = Field(default=False, description="true or false")
    own_results: bool = Field(default=False, description="true or false")
    labels: Sequence[Annotated[Path, Field(strict=False), AfterValidator(_absolute)]] = Field(
        default=[], description="a list of paths of files"
    )


class Destination(Table):
    """A PACS that results are sent to."""

    name: Annotated[str, AfterValidator(_destination_name)] = Field(
        description="lower-case letters, digits, - and _; each name once"
    )
    ae_title: AeTitle
    host: Host
    port: int = Field(ge=1, le=65535, description="a whole number from 1 to 65535")


class Log(Table):
    """How much is logged, and how."""

    level: LogLevel = Field(default=LogLevel.INFO, strict=False, description=f"one of: {', '.join(LogLevel)}")
    format: LogFormat = Field(default=LogFormat.TEXT, strict=False, description=f"one of: {', '.join(LogFormat)}")


class Settings(Table):
    """Everything that can be set."""

    node: Node
    listener: Listener = Listener()
    readiness: Readiness = Readiness()
    model: Model = Model()
    prompts: PromptSettings = PromptSettings()
    destinations: Annotated[tuple[Destination, ...], AfterValidator(_unique_names)] = Field(
        default=(), strict=False, description="[[destinations]] tables, each with a name of its own"
    )
    log: Log = Log()

    def job_options(self) -> JobOptions:
        """Return what is asked of each job; the tables of names that are there now belong to it."""
        asked = self.prompts
        return JobOptions(
            roi=asked.roi,
            margin_mm=asked.margin_mm,
            split_components=asked.split_components,
            interpolate=asked.interpolate,
            roi_types=tuple(asked.roi_types),
            length_as_box=asked.length_as_box,
            swap_spacing=asked.swap_spacing,
            labels=tuple(map(str, asked.labels)),
            names_digest=read_tables(asked.labels).digest,
            device_serial_number=self.node.device_serial_number,
        )
