"""Stacks read from files: every common transfer syntax, odd pixels, and images that cannot be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicomnode.dicom import stack as stack_module
from dicomnode.domain import Fact
from dicomnode.errors import Reason, Refused
from tests.builders import bright_square, ct_series, rtstruct, save, square
from tests.folders import job_in, planes_of, prompts_in, stack_in, stack_of

PIXELS = bright_square((32, 40))


def compressed(images: list[Dataset], syntax: UID) -> list[Dataset]:
    for image in images:
        image.PixelRepresentation = 0
        image.compress(syntax, generate_instance_uid=False)
    return images


def set_stored(ds: Dataset, stored: NDArray[np.uint16]) -> None:
    ds.PixelData = stored.astype("<u2").tobytes()


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name
)
def test_uncompressed_pixels_are_read_as_they_were_stored(tmp_path: Path, syntax: UID) -> None:
    images = ct_series(planes=2)
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})], tmp_path, syntax=syntax)
    stack = planes_of(job_in(tmp_path).images)
    assert all(np.array_equal(plane.stored, PIXELS) for plane in stack.planes)
    assert stack.planes[0].values()[0, 0] == PIXELS[0, 0] - 1024


def test_a_stack_has_the_body_part_of_its_first_plane_in_capitals(tmp_path: Path) -> None:
    images = ct_series(planes=2)
    images[0].BodyPartExamined, images[1].BodyPartExamined = " Chest", "ABDOMEN"
    assert stack_of(images, tmp_path / "part").body_part == "CHEST"
    assert stack_of(ct_series(planes=1), tmp_path / "none").body_part == ""


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_lossless_pixels_are_read_as_they_were_stored(tmp_path: Path, syntax: UID) -> None:
    images = compressed(ct_series(planes=2), syntax)
    for image in images:
        image.save_as(tmp_path / image.SOPInstanceUID, enforce_file_format=True)
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})
    save([drawn], tmp_path)
    stack = planes_of(job_in(tmp_path).images)
    assert all(np.array_equal(plane.stored, PIXELS) for plane in stack.planes)


def test_bits_above_the_stored_ones_are_no_part_of_a_value(tmp_path: Path) -> None:
    """An overlay may lie in the high bits of a 12 bit image (retired in PS3.5 2011, and still in archives)."""
    images = ct_series(planes=1)
    images[0].BitsStored, images[0].HighBit, images[0].PixelRepresentation = 12, 11, 0
    overlay = np.zeros((32, 40), dtype=np.uint16)
    overlay[3:6, 3:6] = 0x8000
    set_stored(images[0], PIXELS.astype(np.uint16) | overlay)
    assert np.array_equal(stack_of(images, tmp_path).planes[0].stored, PIXELS)


def test_negative_values_of_twelve_bits_stay_negative(tmp_path: Path) -> None:
    images = ct_series(planes=1)
    images[0].BitsStored, images[0].HighBit = 12, 11
    stored = np.full((32, 40), -1000 & 0x0FFF, dtype=np.uint16)
    set_stored(images[0], stored)
    assert (stack_of(images, tmp_path).planes[0].stored == -1000).all()


def test_each_plane_has_its_own_slope(tmp_path: Path) -> None:
    images = ct_series(planes=3)
    for number, image in enumerate(images, start=1):
        image.RescaleSlope, image.RescaleIntercept = number * 0.25, 0
    stack = stack_of(images, tmp_path)
    assert [plane.values()[0, 0] for plane in stack.planes] == [PIXELS[0, 0] * number * 0.25 for number in (1, 2, 3)]


def test_padding_and_monochrome1_are_known_by_the_plane(tmp_path: Path) -> None:
    images = ct_series(planes=1, PhotometricInterpretation="MONOCHROME1")
    images[0].add_new("PixelPaddingValue", "SS", -2000)
    images[0].add_new("PixelPaddingRangeLimit", "SS", -1900)
    (plane,) = stack_of(images, tmp_path).planes
    assert (plane.padding, plane.inverted) == ((-2000, -1900), True)


def test_planes_lie_where_their_images_say_whatever_their_numbers(tmp_path: Path) -> None:
    images = ct_series(planes=4)
    for number, image in enumerate(reversed(images), start=1):
        image.InstanceNumber, image.SliceLocation = number, number
    stack = stack_of(images, tmp_path)
    assert [plane.position[2] for plane in stack.planes] == [0, 2.5, 5, 7.5]
    assert stack.facts == {Fact.REGULAR}


def test_an_image_whose_pixels_are_cut_off_loses_its_plane_and_no_contour_moves_to_the_next(tmp_path: Path) -> None:
    images = ct_series(planes=3)
    drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (0.0, 2.5, 5.0)]})
    paths = save([*images, drawn], tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:-500])
    job = job_in(tmp_path)
    stack = planes_of(job.images)
    assert [(one.what, one.reason) for one in stack.exclusions] == [(str(paths[1]), Reason.TRUNCATED)]
    assert [plane.position[2] for plane in stack.planes] == [0, 5]
    assert stack.lost == ((0, 0, 2.5),)
    found = prompts_in(job)
    assert [key.sop_instance_uid for key in found.prompts[0].boxes] == [
        images[0].SOPInstanceUID,
        images[2].SOPInstanceUID,
    ]
    assert [one.reason for one in found.exclusions] == [Reason.CONTOUR_OFF_STACK]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PixelData": b""}, Reason.TRUNCATED),
        ({"BitsAllocated": 12}, Reason.INVALID_HEADER),
        ({"RescaleSlope": None}, None),
        ({"Rows": 31}, None),
        ({"Rows": 33}, Reason.TRUNCATED),
    ],
    ids=str,
)
def test_pixels_that_do_not_fit_their_header_are_refused(
    tmp_path: Path, change: dict[str, Any], reason: Reason | None
) -> None:
    images = ct_series(planes=1, **change)
    if reason is None:
        assert len(stack_of(images, tmp_path).planes) == 1
        return
    with pytest.raises(Refused) as refused:
        stack_of(images, tmp_path)
    assert refused.value.reason is reason


def test_a_file_that_is_gone_loses_its_plane(tmp_path: Path) -> None:
    images = ct_series(planes=3)
    paths = save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})], tmp_path)
    job = job_in(tmp_path)
    paths[0].unlink()
    assert [one.reason for one in planes_of(job.images).exclusions] == [Reason.UNREADABLE]


def test_a_transfer_syntax_that_nothing_here_decodes_is_named(tmp_path: Path) -> None:
    images = ct_series(planes=1)
    images[0].BitsStored, images[0].HighBit, images[0].PixelRepresentation = 12, 11, 0
    frame_of_12_bits = b"\xff\xc1\x00\x0b\x0c\x00\x20\x00\x28\x01\x01\x11\x00"  # 32 rows of 40 columns
    images[0].PixelData = encapsulate([b"\xff\xd8" + frame_of_12_bits + bytes(50)])
    save(images, tmp_path, syntax=JPEGExtended12Bit)
    with pytest.raises(Refused, match="JPEG Extended") as refused:
        stack_in(tmp_path)
    assert refused.value.reason is Reason.NO_DECODER


@pytest.mark.parametrize(("bits", "fits"), [(16, True), (32, False)])
def test_the_size_of_a_stack_counts_its_pixels_as_they_are_stored(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bits: int,
    fits: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(stack_module, "MOST_BYTES", 4 * 32 * 40 * 2)
    images = ct_series(planes=4)
    for image in images:
        image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
        image.PixelData = bytes(32 * 40 * bits // 8)
    if fits:
        assert len(stack_of(images, tmp_path).planes) == 4
        return
    with pytest.raises(Refused, match="8 GiB") as refused:
        stack_of(images, tmp_path)
    assert refused.value.reason is Reason.LIMIT
