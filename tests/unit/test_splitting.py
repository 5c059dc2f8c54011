from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from dicomnode.dicom.grouping import group
from dicomnode.dicom.splitting import split
from dicomnode.domain import ImageInstance, PlaneSource, Tags
from dicomnode.errors import Reason
from tests.values import frame, image

HEIGHTS = (0.0, 2.5, 5.0, 7.5, 10.0)


def volume(prefix: str, tags: Tags | Sequence[Tags]) -> list[ImageInstance]:
    """Return five planes with `tags`, the same for all or one after the other."""
    each = [tags] * len(HEIGHTS) if isinstance(tags, Mapping) else tags
    return [
        image(f"{prefix}.{number}", (0.0, 0.0, height), tags=own)
        for number, (height, own) in enumerate(zip(HEIGHTS, each, strict=True), start=1)
    ]


def parts_of(images: list[ImageInstance]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """Return what splits the stacks of `images`, and the prefixes of the images in each."""
    stacks, exclusions = group(images)
    assert exclusions == ()
    return {
        stack.split: sorted({plane.image.sop_instance_uid.rpartition(".")[0] for plane in stack.planes})
        for stack in stacks
    }


def test_positions_that_are_unique_are_not_split_whatever_the_tags_say() -> None:
    images = volume("1.3", [{"EchoTime": float(number), "AcquisitionNumber": 7.0} for number in range(5)])
    assert parts_of(images) == {(): ["1.3"]}


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("EchoTime", 4.6, 12.0),
        ("DiffusionBValue", 0.0, 800.0),
        ("AcquisitionNumber", 2.0, 10.0),
        ("TemporalPositionIdentifier", 1.0, 2.0),
        ("NominalPercentageOfCardiacPhase", 0.0, 40.0),
        ("ImageType", "DIXON\\FAT", "DIXON\\WATER"),
        ("ConvolutionKernel", "B30f", "B70f"),
        ("SliceThickness", 1.25, 5.0),
        ("ImageType values 1-2", "DERIVED\\SECONDARY", "ORIGINAL\\PRIMARY"),
        ("MRTimingIndex", 1.0, 2.0),
    ],
)
def test_planes_at_one_position_are_split_by_what_tells_them_apart(
    name: str, one: float | str, other: float | str
) -> None:
    words = [f"{value:g}" if isinstance(value, float) else value for value in (one, other)]
    images = [*volume("1.4", {name: other}), *volume("1.3", {name: one})]
    assert parts_of(images) == {((name, words[0]),): ["1.3"], ((name, words[1]),): ["1.4"]}


def test_numbers_are_ordered_as_numbers_and_what_is_absent_comes_last() -> None:
    images = [
        *volume("1.5", {}),
        *volume("1.4", {"DiffusionBValue": 1000.0}),
        *volume("1.3", {"DiffusionBValue": 50.0}),
    ]
    stacks, _ = group(images)
    assert [dict(stack.split)["DiffusionBValue"] for stack in stacks] == ["50", "1000", "absent"]


def test_the_split_in_the_fewest_parts_is_taken() -> None:
    fine = [{"EchoTime": float(number % 3), "AcquisitionNumber": 1.0} for number in range(5)]
    coarse = [{"EchoTime": float(3 + number % 3), "AcquisitionNumber": 2.0} for number in range(5)]
    found = parts_of([*volume("1.3", fine), *volume("1.4", coarse)])
    assert found == {(("AcquisitionNumber", "1"),): ["1.3"], (("AcquisitionNumber", "2"),): ["1.4"]}


def test_two_tags_split_together_where_neither_does_alone() -> None:
    images = [
        one
        for echo in (1.0, 2.0)
        for phase in (10.0, 20.0)
        for one in volume(f"1.{echo:.0f}.{phase:.0f}", {"EchoNumbers": echo, "NominalPercentageOfCardiacPhase": phase})
    ]
    found = parts_of(images)
    assert len(found) == 4
    assert found[("EchoNumbers", "2"), ("NominalPercentageOfCardiacPhase", "10")] == ["1.2.10"]


def test_times_that_go_on_from_plane_to_plane_split_by_their_order_at_each_position() -> None:
    first = volume("1.3", [{"TriggerTime": 10.0 * number} for number in range(5)])
    second = volume("1.4", [{"TriggerTime": 500.0 + 7.0 * number} for number in range(5)])
    assert parts_of([*second, *first]) == {
        (("order of TriggerTime", "1"),): ["1.3"],
        (("order of TriggerTime", "2"),): ["1.4"],
    }


def test_the_order_in_time_mixes_no_echoes_whatever_order_they_were_reconstructed_in() -> None:
    kinds = [(echo, kind) for echo in (5.0, 10.0) for kind in ("M", "P")]
    images = []
    for index, height in enumerate(HEIGHTS):
        turned = kinds[index % 4 :] + kinds[: index % 4]
        for number, (echo, kind) in enumerate(turned):
            tags = {"EchoTime": echo, "ImageType": kind, "ContentTime": f"20200101 12{index:02d}{number:02d}"}
            images.append(image(f"1.{echo:.0f}.{kind == 'P':d}.{index}", (0.0, 0.0, height), tags=tags))
    assert parts_of(images) == {
        (("EchoTime", "5"), ("ImageType", "M")): ["1.5.0"],
        (("EchoTime", "5"), ("ImageType", "P")): ["1.5.1"],
        (("EchoTime", "10"), ("ImageType", "M")): ["1.10.0"],
        (("EchoTime", "10"), ("ImageType", "P")): ["1.10.1"],
    }


def test_phases_of_fat_and_water_are_ordered_in_time_each_for_itself() -> None:
    images = [
        one
        for phase in (1, 2)
        for kind in ("FAT", "WATER")
        for one in volume(
            f"1.{phase}.{len(kind)}",
            [{"ImageType": kind, "ContentTime": f"12{phase:02d}{number:02d}.{len(kind)}"} for number in range(5)],
        )
    ]
    assert parts_of(images) == {
        (("ImageType", "FAT"), ("order of ContentTime", "1")): ["1.1.3"],
        (("ImageType", "FAT"), ("order of ContentTime", "2")): ["1.2.3"],
        (("ImageType", "WATER"), ("order of ContentTime", "1")): ["1.1.5"],
        (("ImageType", "WATER"), ("order of ContentTime", "2")): ["1.2.5"],
    }


def long_scan(**tags: Callable[[int], float | str]) -> list[ImageInstance]:
    """Return 120 planes; each of `tags` is made of their index."""
    return [
        image(f"1.3.{index}", (0.0, 0.0, 1.25 * index), tags={name: made(index) for name, made in tags.items()})
        for index in range(120)
    ]


def test_a_repeated_plane_does_not_tear_a_scan_apart() -> None:
    images = long_scan(ContentTime=lambda index: f"1200{index // 3:02d}")
    repeat = image("1.4.1", (0.0, 0.0, 75.0), tags={"ContentTime": "130000"})
    assert parts_of([*images, repeat]) == {
        (("order of ContentTime", "1"),): ["1.3"],
        (("order of ContentTime", "2"),): ["1.4"],
    }


def test_a_number_that_counts_rotations_does_not_tear_a_scan_apart() -> None:
    images = long_scan(AcquisitionNumber=lambda index: float(index // 4))
    repeat = image("1.4.1", (0.0, 0.0, 75.0), tags={"AcquisitionNumber": 31.0})
    _, (exclusion,) = group([*images, repeat])
    assert exclusion.reason is Reason.DUPLICATE_POSITIONS


def test_stations_that_overlap_are_a_stack_each() -> None:
    images = [
        image(
            f"1.{station}.{index}", (0.0, 0.0, 5.0 * (18 * station + index)), tags={"AcquisitionNumber": float(station)}
        )
        for station in (1, 2, 3, 4, 5, 6)
        for index in range(20)
    ]
    assert [len(stack.planes) for stack in group(images)[0]] == [20] * 6


def test_phases_of_which_one_plane_has_more_are_refused_for_none_fits_the_others() -> None:
    images = [
        image(f"1.{number}.{index}", (0.0, 0.0, height), tags={"TriggerTime": 30.0 * number + index})
        for index, height in enumerate(HEIGHTS)
        for number in range(6 if index == 2 else 5)
    ]
    _, (exclusion,) = group(images)
    assert exclusion.reason is Reason.DUPLICATE_POSITIONS


@pytest.mark.parametrize("offset", [0.3, 1.0])
def test_two_scans_between_each_others_planes_are_split(offset: float) -> None:
    first = volume("1.3", {"AcquisitionNumber": 1.0})
    second = [
        image(f"1.4.{number}", (0.0, 0.0, height + offset), tags={"AcquisitionNumber": 2.0})
        for number, height in enumerate(HEIGHTS)
    ]
    assert parts_of([*first, *second]) == {
        (("AcquisitionNumber", "1"),): ["1.3"],
        (("AcquisitionNumber", "2"),): ["1.4"],
    }


@pytest.mark.parametrize("heights", [(0.0, 2.5, 6.0, 8.5), (0.0, 2.5, 6.0, 8.5, 12.0)])
def test_two_planes_do_not_say_that_they_are_even(heights: tuple[float, ...]) -> None:
    images = [
        image(f"1.3.{number}", (0.0, 0.0, height), tags={"AcquisitionNumber": 1.0 + number % 2})
        for number, height in enumerate(heights)
    ]
    assert parts_of(images) == {(): ["1.3"]}


def test_a_scan_that_goes_on_in_wider_steps_stays_one() -> None:
    heights = (0.0, 4.0, 8.0, 12.0, 19.0, 26.0, 33.0)
    images = [
        image(f"1.3.{number}", (0.0, 0.0, height), tags={"AcquisitionNumber": 1.0 + (height > 12)})
        for number, height in enumerate(heights)
    ]
    assert parts_of(images) == {(): ["1.3"]}


def test_even_planes_taken_in_two_passes_stay_one() -> None:
    images = [
        image(f"1.3.{number}", (0.0, 0.0, 2.5 * number), tags={"AcquisitionNumber": 1.0 + number % 2})
        for number in range(10)
    ]
    assert parts_of(images) == {(): ["1.3"]}


def test_two_fields_of_view_at_the_same_heights_are_split_by_where_they_lie() -> None:
    left = volume("1.3", {})
    right = [image(f"1.4.{number}", (200.0, 0.0, height)) for number, height in enumerate(HEIGHTS)]
    assert parts_of([*left, *right]) == {
        (("ImagePositionPatient", "0\\0 mm in the plane"),): ["1.3"],
        (("ImagePositionPatient", "200\\0 mm in the plane"),): ["1.4"],
    }


def test_of_many_private_dimensions_not_every_combination_is_tried() -> None:
    frames = tuple(
        frame(
            (0.0, 0.0, 5.0 * (number % 2)),
            number=number + 1,
            tags={f"(0011,{one:04x})": float((number * one) % 7) for one in range(300)},
        )
        for number in range(40)
    )
    stacks, exclusions = group([image("1.3.1", frames=frames)])
    assert stacks or exclusions


def test_an_order_is_made_up_for_no_one_whose_position_has_another_number_of_planes() -> None:
    first = volume("1.3", [{"TriggerTime": 10.0 * number} for number in range(5)])
    second = volume("1.4", [{"TriggerTime": 500.0 + 7.0 * number} for number in range(5)])[:-1]
    _, (exclusion,) = group([*first, *second])
    assert exclusion.reason is Reason.DUPLICATE_POSITIONS


def test_a_tag_that_makes_each_plane_a_stack_of_its_own_splits_nothing() -> None:
    images = [
        *volume("1.3", [{"AcquisitionNumber": float(number)} for number in range(5)]),
        *volume("1.4", [{"AcquisitionNumber": float(5 + number)} for number in range(5)]),
    ]
    _, (exclusion,) = group(images)
    assert exclusion.reason is Reason.DUPLICATE_POSITIONS


def test_planes_that_all_lie_at_one_position_are_stacks_of_one() -> None:
    images = [image(f"1.3.{number}", tags={"AcquisitionNumber": float(number)}) for number in range(4)]
    stacks, _ = group(images)
    assert [len(stack.planes) for stack in stacks] == [1, 1, 1, 1]


def test_one_repeated_plane_with_another_acquisition_number_is_a_stack_of_its_own() -> None:
    images = [*volume("1.3", {"AcquisitionNumber": 1.0}), image("1.4.1", tags={"AcquisitionNumber": 2.0})]
    assert parts_of(images) == {(("AcquisitionNumber", "1"),): ["1.3"], (("AcquisitionNumber", "2"),): ["1.4"]}


def test_two_multi_frame_images_of_one_place_are_a_stack_each() -> None:
    images = [
        image(uid, frames=tuple(frame((0.0, 0.0, height), number=number) for number, height in enumerate(HEIGHTS, 1)))
        for uid in ("1.3", "1.4")
    ]
    stacks, _ = group(images)
    assert [stack.split for stack in stacks] == [(("SOPInstanceUID", "1.3"),), (("SOPInstanceUID", "1.4"),)]


def test_phases_whose_positions_differ_by_a_rounding_are_split() -> None:
    first = volume("1.3", {"AcquisitionNumber": 1.0})
    second = [
        image(f"1.4.{number}", (0.0, 0.0, height + 0.04), tags={"AcquisitionNumber": 2.0})
        for number, height in enumerate(HEIGHTS, start=1)
    ]
    assert parts_of([*first, *second]) == {
        (("AcquisitionNumber", "1"),): ["1.3"],
        (("AcquisitionNumber", "2"),): ["1.4"],
    }


def test_planes_a_rounding_apart_that_nothing_tells_apart_stay_one_stack() -> None:
    assert parts_of([*volume("1.3", {}), image("1.4.1", (0.0, 0.0, 5.04))]) == {(): ["1.3", "1.4"]}


def test_nothing_is_guessed_from_the_names_of_single_frame_images() -> None:
    planes = [PlaneSource(one, one.frames[0]) for one in [*volume("1.3", {}), *volume("1.4", {})]]
    assert split(planes, np.array([*HEIGHTS, *HEIGHTS])) is None
