"""Series as scanners and archives give them: each becomes the right stacks, or says why it does not."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from tests.builders import FRAME_OF_REFERENCE, STUDY, ct_series, rtstruct, save, set_pixels, square
from tests.folders import stack_of
from tests.inspecting import inspect, reasons_in, stacks_in
from tests.reading import segment

REGULAR, SHEARED, SINGLE = ("REGULAR",), ("SHEARED",), ("SINGLE_PLANE",)
MISSING = ("IRREGULAR", "MISSING_SLICES")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Images, the stacks they must make as the indices of their images, and what must be left out of them."""

    images: Callable[[], Sequence[Dataset]]
    stacks: Sequence[tuple[Sequence[int], tuple[str, ...]]]
    left_out: Mapping[str, int] = field(default_factory=dict)


def part(number: int, planes: int = 5, **changes: Any) -> list[Dataset]:  # noqa: ANN401 - any element
    """Return a series that can stand beside others: its images have UIDs of their own."""
    images = ct_series(planes=planes, **changes)
    for index, ds in enumerate(images):
        ds.SOPInstanceUID = f"{STUDY}.2.{number}.{index}"
    return images


def placed(positions: Sequence[tuple[float, float, float]], **changes: Any) -> list[Dataset]:  # noqa: ANN401 - any element
    images = part(1, planes=len(positions), **changes)
    for ds, position in zip(images, positions, strict=True):
        ds.ImagePositionPatient = list(position)
    return images


def drifting() -> list[Dataset]:
    images = part(1)
    for index, ds in enumerate(images):
        ds.ImageOrientationPatient = [1, 5e-5 * index, 0, -5e-5 * index, 1, 0]
    return images


def jumbled() -> list[Dataset]:
    images = part(1)
    for index, ds in enumerate(images):
        ds.InstanceNumber, ds.SliceLocation = len(images) - index, -index
    return images


def again() -> list[Dataset]:
    images = part(1)
    return [*images, images[2]]


def other_at(index: int, **changes: Any) -> list[Dataset]:  # noqa: ANN401 - any element
    """Return a series and, as a sixth image, another one at the place of image `index` with `changes`."""
    return [*part(1), part(2, **changes)[index]]


TILTED = [(0.0, 2.5 * index * math.tan(math.radians(15)), 2.5 * index) for index in range(5)]
CASES = {
    "instance numbers that descend change nothing": Case(images=jumbled, stacks=[(range(5), REGULAR)]),
    "a missing slice is a fact": Case(
        images=lambda: [ds for index, ds in enumerate(part(1, planes=6)) if index != 2], stacks=[(range(5), MISSING)]
    ),
    "gaps of 5/3 mm rounded to 0.1 mm are regular": Case(
        images=lambda: placed([(0, 0, round(index * 5 / 3, 1)) for index in range(9)]), stacks=[(range(9), REGULAR)]
    ),
    "directions that drift by 5e-5 are regular": Case(images=drifting, stacks=[(range(5), REGULAR)]),
    "a tilt of 15 degrees is a shear": Case(images=lambda: placed(TILTED), stacks=[(range(5), SHEARED)]),
    "a localizer in the series is set aside": Case(
        images=lambda: other_at(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        stacks=[(range(5), REGULAR)],
        left_out={"LOCALIZER": 1},
    ),
    "an instance that came twice is there once": Case(
        images=again, stacks=[(range(5), REGULAR)], left_out={"DUPLICATE_INSTANCE": 1}
    ),
    "a plane of another acquisition at the same place is a stack of its own": Case(
        images=lambda: other_at(2, AcquisitionNumber=2), stacks=[(range(5), REGULAR), ([5], SINGLE)]
    ),
    "two phases are two stacks": Case(
        images=lambda: [*part(1, TemporalPositionIdentifier=1), *part(2, TemporalPositionIdentifier=2)],
        stacks=[(range(5), REGULAR), (range(5, 10), REGULAR)],
    ),
    "two frames of reference are two stacks": Case(
        images=lambda: [*part(1), *part(2, FrameOfReferenceUID=f"{FRAME_OF_REFERENCE}.2")],
        stacks=[(range(5), REGULAR), (range(5, 10), REGULAR)],
    ),
    "one plane of another pixel spacing is a stack of its own": Case(
        images=lambda: [*part(1), *part(2, planes=1, spacing=(0.5, 0.5), origin=(0.0, 0.0, 12.5))],
        stacks=[(range(5), REGULAR), ([5], SINGLE)],
    ),
    "two orientations are two stacks": Case(
        images=lambda: [*part(1), *part(2, orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))],
        stacks=[(range(5), REGULAR), (range(5, 10), REGULAR)],
    ),
    "a single slice is a stack": Case(images=lambda: part(1, planes=1), stacks=[([0], SINGLE)]),
    "two planes at one place that nothing tells apart are refused": Case(
        images=lambda: other_at(2), stacks=[], left_out={"DUPLICATE_POSITIONS": 1}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_images_make_the_stacks_they_should(case: Case, tmp_path: Path) -> None:
    images = case.images()
    for index, ds in enumerate(reversed(images)):
        save([ds], tmp_path / f"{index:02}")
    _, document = inspect(tmp_path)
    uids = [str(ds.SOPInstanceUID) for ds in images]
    assert stacks_in(document) == sorted((tuple(uids[index] for index in one), facts) for one, facts in case.stacks)
    assert reasons_in(document) == case.left_out
    for stack in document["stacks"]:
        assert (stack["affine"] is not None) is (tuple(stack["facts"]) == REGULAR)


def test_a_single_slice_gives_a_seg(tmp_path: Path) -> None:
    images = ct_series(planes=1)
    save([*images, rtstruct(images, {"A": [square(4.5, 4.5, 9.5, 9.5, 0)]})], tmp_path / "in")
    told = segment(tmp_path / "in", output=tmp_path / "out")
    assert told.code == 0
    assert [one["planes"] for one in told.document["results"][0]["segments"]] == [1]


def test_values_of_an_image_shown_inverted_are_what_the_scanner_measured(tmp_path: Path) -> None:
    images = ct_series(planes=1, PhotometricInterpretation="MONOCHROME1")
    wanted = np.linspace(-31, 115, 32 * 40).round().astype(np.int16).reshape(32, 40)
    images[0].PixelData = (wanted + 1024).astype("<i2").tobytes()
    (plane,) = stack_of(images, tmp_path).planes
    assert plane.inverted
    assert np.array_equal(plane.values(), wanted)
    assert (plane.values().min(), plane.values().max()) == (-31, 115)


def test_what_is_wrong_with_an_image_costs_that_image_only(tmp_path: Path) -> None:
    images = part(1, planes=6)
    del images[4].Rows
    del images[5].PixelSpacing
    paths = save(images, tmp_path / "ct")
    paths[3].write_bytes(paths[3].read_bytes()[:-1000])
    (paper,) = save([secondary_capture()], tmp_path / "sc")
    code, document = inspect(tmp_path)
    assert code == 4
    assert {(one["what"], one["reason"]) for one in document["refused"]} == {
        (str(paths[3]), "TRUNCATED"),
        (str(paths[4]), "INVALID_HEADER"),
        (str(paths[5]), "NO_GEOMETRY"),
    }
    assert stacks_in(document) == [
        (tuple(path.stem for path in paths[:3]), REGULAR),
        ((paper.stem,), ("NO_FRAME_OF_REFERENCE", "SINGLE_PLANE")),
    ]


def secondary_capture() -> Dataset:
    """Return a scanned page: it lies nowhere and its pixels have no size."""
    (ds,) = ct_series(planes=1)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.Modality = f"{STUDY}.4.1", f"{STUDY}.4", "OT"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID"):
        del ds[keyword]
    set_pixels(ds, np.arange(20 * 30, dtype=np.int16).reshape(20, 30))
    return ds
