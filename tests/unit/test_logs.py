"""Log lines: one an event, in UTC, with an action, and nothing that could be a patient's."""

import io
import json
import logging
import pickle
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dicomnode.errors import Reason, Refused
from dicomnode.logs import LogFormat, LogLevel, configure, hand_over, take_over

OURS = logging.getLogger("dicomnode.listener")
FOREIGN = logging.getLogger("pynetdicom.association")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    root.handlers.clear()
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    threading.excepthook = hook


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_a_text_line_has_time_level_action_sentence_and_fields(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.TEXT, stream)
    OURS.info("a study is ready", extra={"action": "study_ready", "images": 42})
    time, rest = stream.getvalue().split(" ", 1)
    assert rest == "INFO study_ready a study is ready images=42\n"
    assert time.endswith("Z")
    assert len(time) == len("2026-01-31T12:00:00.000Z")


def test_a_json_line_is_one_object(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.JSON, stream)
    OURS.warning("no answer from %s", "pacs", extra={"action": "peer_silent", "attempts": 3})
    event = json.loads(stream.getvalue())
    del event["time"]
    assert event == {
        "level": "WARNING",
        "action": "peer_silent",
        "message": "no answer from pacs",
        "logger": "dicomnode.listener",
        "attempts": 3,
    }


def test_the_time_is_utc(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.JSON, stream)
    record = logging.makeLogRecord({"name": "dicomnode", "levelno": 20, "levelname": "INFO", "created": 0.5})
    OURS.handle(record)
    assert json.loads(stream.getvalue())["time"] == "1970-01-01T00:00:00.500Z"


def test_events_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure(LogLevel.WARNING, LogFormat.TEXT, stream)
    OURS.info("a detail")
    assert stream.getvalue() == ""


def test_configuring_again_replaces_what_was(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.TEXT, io.StringIO())
    configure(LogLevel.INFO, LogFormat.TEXT, stream)
    OURS.info("once")
    assert stream.getvalue().count("once") == 1


def test_a_value_cannot_forge_a_line(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.TEXT, stream)
    OURS.info("from %s", "X\n2026-01-01T00:00:00.000Z INFO deleted", extra={"peer": "A\r\x1b[2J"})
    assert stream.getvalue().count("\n") == 1
    assert "\\r\\x1b[2J" in stream.getvalue()


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("layout", list(LogFormat))
def test_what_another_library_says_is_not_written(layout: LogFormat, stream: io.StringIO) -> None:
    configure(LogLevel.DEBUG, layout, stream)
    FOREIGN.warning("Patient's Name: DOE^JANE")
    warnings.warn("Invalid value for VR PN: 'DOE^JANE'", stacklevel=1)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("layout", list(LogFormat))
def test_of_another_librarys_error_only_its_place_is_written(layout: LogFormat, stream: io.StringIO) -> None:
    configure(LogLevel.INFO, layout, stream)
    FOREIGN.error("cannot handle DOE^JANE", extra={"name_of_patient": "DOE^JANE"})
    assert "pynetdicom.association reports an error at test_logs:" in stream.getvalue()
    assert "DOE" not in stream.getvalue()


def test_an_exceptions_message_is_not_written_but_its_type_and_place_are(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.TEXT, stream)
    try:
        int("DOE^JANE")
    except ValueError:
        OURS.exception("a step failed", extra={"action": "step_failed"})
    assert "error=ValueError in test_an_exceptions_message" in stream.getvalue()
    assert "DOE" not in stream.getvalue()


def test_the_message_of_an_error_of_ours_is_written(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.JSON, stream)
    try:
        raise Refused(Reason.NO_IMAGES, "RTSTRUCT 1.2", "slice 7 of 3")  # noqa: TRY301 - the line under test
    except Refused:
        OURS.exception("a job was refused")
    assert "Refused: RTSTRUCT 1.2: NO_IMAGES: slice 7 of 3 in " in json.loads(stream.getvalue())["error"]


def test_a_thread_that_dies_is_an_event_without_its_exceptions_message(stream: io.StringIO) -> None:
    configure(LogLevel.INFO, LogFormat.TEXT, stream)
    thread = threading.Thread(target=int, args=("DOE^JANE",), name="lane jobs")
    thread.start()
    thread.join()
    assert "CRITICAL thread_died thread lane jobs died error=ValueError in run" in stream.getvalue()
    assert "DOE" not in stream.getvalue()


@pytest.mark.filterwarnings("always")
def test_a_child_process_writes_nothing_and_hands_over_what_is_ours(
    capfd: pytest.CaptureFixture[str], stream: io.StringIO
) -> None:
    sent: list[Mapping[str, object]] = []
    hand_over(sent.append)
    OURS.info("nothing to speak of")
    OURS.error("%d of %s", 3, Path("four"), extra={"action": "failed", "planes": 7})
    FOREIGN.error("DOE^JANE")
    warnings.warn("DOE^JANE", stacklevel=1)
    assert capfd.readouterr() == ("", "")
    configure(LogLevel.INFO, LogFormat.TEXT, stream)
    for one in sent:
        take_over(pickle.loads(pickle.dumps(one)))  # noqa: S301 - as between processes
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("ERROR failed 3 of four planes=7")


def test_what_a_child_process_sends_is_as_serious_as_the_settings_ask_for(stream: io.StringIO) -> None:
    sent: list[Mapping[str, object]] = []
    hand_over(sent.append)
    OURS.warning("a warning", extra={"action": "odd"})
    configure(LogLevel.ERROR, LogFormat.TEXT, stream)
    take_over(sent[0])
    assert stream.getvalue() == ""
