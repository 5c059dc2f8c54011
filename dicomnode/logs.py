"""Write one line an event: when, how serious, an `action`, a sentence, and the event's own fields; no patient data.

What dicomnode logs is written whole. Other libraries quote element values in their messages, so of theirs only errors
are passed on, and of those only where they came from. Of an exception that is not ours, its type and its place are
written, never its message.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO

from dicomnode.errors import DicomNodeError

log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "action", "taskName"}


class LogLevel(StrEnum):
    """How serious an event must be to be written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    """How a line is laid out: for people, or for programs."""

    TEXT = "text"
    JSON = "json"


def configure(level: LogLevel, layout: LogFormat, stream: IO[str] | None = None) -> None:
    """Write events from `level` on to `stream` (stderr if None), replacing what was configured before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if layout is LogFormat.JSON else TextLines())
    handler.addFilter(_passes)
    logging.captureWarnings(capture=True)  # a warning quotes values too
    logging.basicConfig(level=level.value, handlers=[handler], force=True)
    threading.excepthook = _tell_of_a_thread


def hand_over(send: Callable[[Mapping[str, object]], None]) -> None:
    """Write nothing, and `send` our warnings and errors as values: for a child process, whose parent writes them."""
    logging.captureWarnings(capture=True)
    logging.basicConfig(handlers=[_HandsOver(send)], force=True)


def take_over(sent: Mapping[str, object]) -> None:
    """Write what a child process sent."""
    record = logging.makeLogRecord(sent)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


class _HandsOver(logging.Handler):
    """Sends the fields of our warnings and errors, without the exceptions and arguments that they were made with."""

    def __init__(self, send: Callable[[Mapping[str, object]], None]) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(_is_ours)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send the fields of `record`."""
        left = {"args": None, "exc_info": None, "exc_text": None, "stack_info": None}
        self._send(vars(record) | left | {"msg": record.getMessage()})


class TextLines(logging.Formatter):
    """Lay an event out for people: `2026-01-31T12:00:00.000Z INFO study_ready a study is ready images=42`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`."""
        event = dict(_event(record))
        head = " ".join(str(event.pop(key)) for key in ("time", "level", "action", "message"))
        del event["logger"]
        return _one_line(" ".join([head, *(f"{key}={value}" for key, value in event.items())]))


class JsonLines(logging.Formatter):
    """Lay an event out for programs: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`."""
        return json.dumps(dict(_event(record)), default=str)


def _tell_of_a_thread(died: threading.ExceptHookArgs) -> None:
    """Log that an exception ended a thread; Python would print its message."""
    if died.exc_value is not None and not isinstance(died.exc_value, SystemExit):
        name = died.thread.name if died.thread else "unknown"
        log.critical("thread %s died", name, exc_info=died.exc_value, extra={"action": "thread_died"})


def _event(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield the fields of the event that `record` tells of, in the order they are written."""
    yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield "level", record.levelname
    if _is_ours(record):
        yield "action", getattr(record, "action", "note")
        yield "message", record.getMessage()
        yield "logger", record.name
        yield from _own_fields(vars(record))
    else:
        yield "action", "library_error"
        yield "message", f"{record.name} reports an error at {record.module}:{record.lineno}"
        yield "logger", record.name
    if record.exc_info and record.exc_info[1] is not None:
        yield "error", _told(record.exc_info[1])


def _own_fields(fields: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    return ((key, value) for key, value in fields.items() if key not in _STANDARD)


def _passes(record: logging.LogRecord) -> bool:
    """Return whether `record` is written: everything of ours, of other libraries only errors."""
    return _is_ours(record) or record.levelno >= logging.ERROR


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.split(".", 1)[0] in {"dicomnode", "dicomnode_cli"}


def _told(error: BaseException) -> str:
    """Return the type of `error`, its message where it is ours, and the calls that led to it, innermost first."""
    message = f": {error}" if isinstance(error, DicomNodeError) else ""
    calls = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in traceback.extract_tb(error.__traceback__)]
    where = f" in {' < '.join(reversed(calls))}" if calls else ""  # one from another process brings no calls
    return f"{type(error).__name__}{message}{where}"


def _one_line(text: str) -> str:
    """Return `text` with every control character escaped, so that no value can forge a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
