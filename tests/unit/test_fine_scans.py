"""Planes that lie nearer to each other than others are rounded, and still each at a place of its own."""

from collections.abc import Callable, Sequence

import pytest

from dicomnode.dicom.grouping import group
from dicomnode.domain import ImageInstance
from tests.values import image

FAR = [round(0.08 * number, 2) for number in range(20)] + [10.0]
TWICE = [round(0.082 * number + 2 * (number >= 60), 4) for number in range(120)]


def scan(heights: Sequence[float], **tags: Callable[[int], float | str]) -> list[ImageInstance]:
    """Return planes at `heights` in mm; each of `tags` is made of their index."""
    return [
        image(f"1.3.{index}", (0.0, 0.0, height), tags={name: made(index) for name, made in tags.items()})
        for index, height in enumerate(heights)
    ]


def sizes(images: list[ImageInstance]) -> list[int]:
    stacks, exclusions = group(images)
    assert exclusions == ()
    return [len(stack.planes) for stack in stacks]


def test_planes_of_a_fine_scan_are_not_taken_for_one_place() -> None:
    images = [
        image(f"1.3.{number}", (0.0, 0.0, 0.05 * number), tags={"AcquisitionNumber": number % 2}) for number in range(9)
    ]
    assert sizes(images) == [9]


@pytest.mark.parametrize("heights", [FAR, TWICE], ids=["one far off", "two runs"])
@pytest.mark.parametrize("name", ["ContentTime", "AcquisitionTime", "AcquisitionNumber"])
def test_a_wide_gap_does_not_tear_a_fine_scan_apart(heights: Sequence[float], name: str) -> None:
    tag = float if name == "AcquisitionNumber" else lambda index: f"10{index // 60:02d}{index % 60:02d}"
    assert sizes(scan(heights, **{name: tag})) == [len(heights)]


def test_fine_scans_at_the_same_places_are_still_split() -> None:
    tags = [{"AcquisitionNumber": number} for number in (1.0, 2.0)]
    images = [
        image(f"1.{number}.{index}", (0.0, 0.0, height), tags=own)
        for number, own in enumerate(tags)
        for index, height in enumerate(FAR)
    ]
    assert sizes(images) == [21, 21]


@pytest.mark.parametrize(("apart", "expected"), [(0.09, [5, 5]), (0.11, [10])])
def test_scans_that_differ_by_less_than_a_tenth_of_a_millimetre_are_at_the_same_places(
    apart: float, expected: list[int]
) -> None:
    heights = [2.5 * number + apart * odd for number in range(5) for odd in (0, 1)]
    assert sizes(scan(heights, AcquisitionTime=lambda index: f"10{index % 2:02d}{index // 2:02d}")) == expected


@pytest.mark.parametrize(("apart", "expected"), [(0.018, [5, 5]), (0.019, [10])])
def test_scans_that_differ_by_less_than_a_tenth_of_their_gaps_are_at_the_same_places(
    apart: float, expected: list[int]
) -> None:
    heights = [0.2 * number + apart * odd for number in range(5) for odd in (0, 1)]
    assert sizes(scan(heights, AcquisitionTime=lambda index: f"10{index % 2:02d}{index // 2:02d}")) == expected
