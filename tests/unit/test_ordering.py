"""Planes at the same places that only a time tells apart: they are ordered where that is clear, else refused."""

from collections.abc import Sequence

import pytest

from dicomnode.dicom.grouping import group
from dicomnode.dicom.ordering import ranks, seconds_of
from dicomnode.domain import ImageInstance
from dicomnode.errors import Reason
from tests.values import image

HEIGHTS = (0.0, 2.5, 5.0, 7.5, 10.0)
MIDNIGHT = ("235957", "235958", "235959", "000000", "000001")


def phase(prefix: str, name: str, times: Sequence[str | float]) -> list[ImageInstance]:
    """Return a plane for each of `times`, which they have as tag `name`."""
    return [
        image(f"{prefix}.{index}", (0.0, 0.0, height), tags={name: time})
        for index, (height, time) in enumerate(zip(HEIGHTS, times, strict=True))
    ]


def prefixes(images: list[ImageInstance]) -> list[set[str]]:
    """Return the prefixes in each stack; none where the planes are refused for lying at the same places."""
    stacks, exclusions = group(images)
    assert [one.reason for one in exclusions] == ([] if stacks else [Reason.DUPLICATE_POSITIONS])
    return [{plane.image.sop_instance_uid.rpartition(".")[0] for plane in stack.planes} for stack in stacks]


@pytest.mark.parametrize("name", ["ContentTime", "AcquisitionTime", "FrameReferenceTime"])
def test_phases_that_take_turns_from_place_to_place_are_refused(name: str) -> None:
    times = [(2 * index, 2 * index + 1)[:: -1 if index % 2 else 1] for index in range(5)]
    as_text = float if name == "FrameReferenceTime" else lambda second: f"1000{second:02d}"
    first, second = ([as_text(pair[which]) for pair in times] for which in (0, 1))
    assert prefixes([*phase("1.3", name, first), *phase("1.4", name, second)]) == []


def test_phases_of_which_the_second_begins_before_the_first_ends_are_refused() -> None:
    first = [f"1000{10 * index:02d}" for index in range(5)]
    second = [f"1000{10 * index + 35:02d}" for index in range(2)] + ["100100", "100110", "100120"]
    assert prefixes([*phase("1.3", "ContentTime", first), *phase("1.4", "ContentTime", second)]) == []


def test_phases_that_follow_each_other_over_midnight_without_dates_are_not_mixed() -> None:
    second = [f"0001{40 + index}" for index in range(5)]
    images = [*phase("1.3", "AcquisitionTime", MIDNIGHT), *phase("1.4", "AcquisitionTime", second)]
    assert prefixes(images) == [{"1.3"}, {"1.4"}]


def test_delays_after_a_heart_beat_that_vary_with_the_rate_are_the_phases() -> None:
    phases = [
        phase(f"1.{number}", "TriggerTime", [number * (30.0 + index) for index in range(5)]) for number in (3, 30, 31)
    ]
    assert prefixes([one for each in phases for one in each]) == [{"1.3"}, {"1.30"}, {"1.31"}]


def test_a_scan_and_the_overlapping_half_of_another_are_refused() -> None:
    first = phase("1.3", "ContentTime", [f"10000{index}" for index in range(5)])
    second = [
        image(f"1.4.{index}", (0.0, 0.0, 7.5 + 2.5 * index), tags={"ContentTime": f"10010{index}"})
        for index in range(5)
    ]
    assert prefixes([*first, *second]) == []


def test_ranks_that_touch_in_time_are_not_told_apart() -> None:
    assert ranks("ContentTime", ["100000", "100001", "100001", "100002"], [1, 1, 2, 2]) is None
    assert ranks("ContentTime", ["100000", "100002", "100001", "100003"], [1, 1, 2, 2]) == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "ascending",
    [
        ("20200101 235959", "20200102 000000", "20200201 00"),
        ("100000", "100000.5", "1001"),
        ("10:00:00", "10:00:01", "10:01:00"),
        ("20200101100000+0000", "20200101100000.5", "20200101100000-0100"),
        ("200000", "235959", "000000", "040000"),
    ],
)
def test_times_ascend_as_they_went_by(ascending: tuple[str, ...]) -> None:
    times = seconds_of(ascending) or []
    assert len(set(times)) == len(ascending)
    assert times == sorted(times)


@pytest.mark.parametrize(
    "values",
    [
        ("100000", None),
        ("100000", "noon"),
        ("20201332 100000", "20200101 100000"),
        ("20200101 100000", "100000"),
        ("100000", 5.0),
        ("000000", "080000", "160000"),
    ],
    ids=["absent", "no time", "no date", "one without a date", "text and number", "no pause of half a day"],
)
def test_times_that_do_not_compare_are_none(values: tuple[str | float | None, ...]) -> None:
    assert seconds_of(values) is None
