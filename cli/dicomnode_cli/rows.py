"""Say values of ours: plain for programs, and short for people."""

import json
import os
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

LIMIT = 50
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="So many at most; 50 without it.")]
StudyOption = Annotated[str | None, typer.Option("--study", metavar="UID", help="Only of this study.")]

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 0, ""))
_WIDE = 200
_TAIL = 10  # the end of a UID that is shown


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever rows hold
    """Return `value` as JSON has it: times in UTC as ISO 8601, values of ours as objects of their fields."""
    return json.loads(json.dumps(value, default=_as_json))


def ago(before: datetime, after: datetime) -> str:
    """Return how long it is from `before` to `after`, in words; of days and hours with the next smaller unit."""
    seconds = max(0, int((after - before).total_seconds()))
    for size, unit, smaller, name in _UNITS:
        if seconds >= size:
            rest = seconds % size // smaller if smaller else 0
            return f"{seconds // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{seconds} s"


def console() -> Console:
    """Return the console of stdout; what is not a terminal is wide, so that nothing is cut off in a file or a pipe."""
    there = Console()
    return there if there.is_terminal or "COLUMNS" in os.environ else Console(width=_WIDE)


def short(uid: str) -> str:
    """Return the end of a UID, as tables show it."""
    return uid if len(uid) <= _TAIL + 3 else f"...{uid[-_TAIL:]}"


def _as_json(value: Any) -> Any:  # noqa: ANN401 - whatever rows hold
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Path):
        return str(value)
    return {one.name: getattr(value, one.name) for one in fields(value)}
