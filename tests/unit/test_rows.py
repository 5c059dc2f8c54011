from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomnode.domain import JobState
from dicomnode.overview import Disk
from dicomnode_cli.rows import ago, plain, short

NOON = datetime(2026, 1, 2, 12, 0, 0, 5000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=119), "1 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=23, minutes=59), "23 h 59 min"),
        (timedelta(days=3, hours=4, minutes=5), "3 d 4 h"),
    ],
)
def test_a_time_is_told_in_its_largest_units(past: timedelta, words: str) -> None:
    assert ago(NOON, NOON + past) == words


def test_a_uid_is_told_by_its_end() -> None:
    assert short("1.2.3") == "1.2.3"
    assert short("1.2.840.10008.5.1.4.1.1.2") == "....1.4.1.1.2"


def test_values_are_told_as_json_has_them() -> None:
    disk = Disk(free=1, total=2, stop=3, clean=4)
    told = plain({"at": NOON, "path": Path("/data"), "disk": disk, JobState.DONE: (JobState.READY, None)})
    assert told == {
        "at": "2026-01-02T12:00:00.005Z",
        "path": "/data",
        "disk": {"free": 1, "total": 2, "stop": 3, "clean": 4},
        "done": ["ready", None],
    }
