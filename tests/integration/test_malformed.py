"""Headers that are broken or ask for too much, each as small as shows it."""

import struct
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from dicomnode.dicom.instances import describe
from dicomnode.domain import ImageInstance, OtherInstance
from dicomnode.errors import Reason, Refused
from dicomnode.inspecting import inspect_paths
from tests.attacks import ATTACKS, dicom

SPACING, POSITION, IMAGE_TYPE, CHARACTER_SET = 0x00280030, 0x00200032, 0x00080008, 0x00080005
ORIENTATION = 0x00200037
PLACED = {
    POSITION: ("DS", b"0\\0\\0"),
    ORIENTATION: ("DS", b"1\\0\\0\\0\\1\\0"),
    SPACING: ("DS", b"1\\1"),
}


def reason_of(data: bytes) -> Reason | None:
    """Return why `data` is left out, None where it is an image."""
    try:
        found = describe(BytesIO(data), path=Path("x"), digest="")
    except Refused as error:
        return error.reason
    assert isinstance(found, ImageInstance | OtherInstance)
    return found.exclusion.reason if isinstance(found, OtherInstance) else None


def test_the_file_is_an_image_as_it_is() -> None:
    assert reason_of(dicom()) is None


def test_what_does_not_begin_with_the_first_group_is_not_searched_for_elements() -> None:
    without_meta = dicom(syntax=ImplicitVRLittleEndian).partition(b"1.2.840.10008.1.2\0")[2]
    assert reason_of(without_meta) is None
    assert reason_of(bytes(8) + without_meta) is Reason.NOT_DICOM


def test_numbers_that_are_longer_than_any_are_not_read() -> None:
    long = {**PLACED, SPACING: ("DS", b"1\\1" + b"\\1" * 40_000)}
    assert reason_of(dicom(syntax=ImplicitVRLittleEndian, elements=long)) is Reason.INVALID_HEADER


def test_text_that_is_longer_than_any_is_as_good_as_none() -> None:
    long = {**PLACED, IMAGE_TYPE: ("CS", b"A\\B\\LOCALIZER" + b"\\A" * 40_000)}
    assert reason_of(dicom(syntax=ImplicitVRLittleEndian, elements=long)) is None


@pytest.mark.parametrize("vr", ["LO", "OB"])
def test_the_characters_of_a_text_are_not_numbers(vr: str) -> None:
    assert reason_of(dicom(elements={**PLACED, SPACING: (vr, b"12")})) is Reason.INVALID_HEADER


@pytest.mark.parametrize("value", [b"1e308\\0\\0", b"0\\0\\-1e7"])
def test_a_position_farther_than_any_scanner_is_refused(value: bytes) -> None:
    assert reason_of(dicom(elements={**PLACED, POSITION: ("DS", value)})) is Reason.INVALID_HEADER


@pytest.mark.parametrize("value", [b"1e308\\1", b"1\\1e-320", b"1\\0", b"-1\\1"])
def test_a_distance_that_no_pixels_have_is_refused(value: bytes) -> None:
    assert reason_of(dicom(elements={**PLACED, SPACING: ("DS", value)})) is Reason.INVALID_HEADER


def test_thousands_of_character_sets_are_refused() -> None:
    many = {**PLACED, CHARACTER_SET: ("CS", b"ISO_IR 100\\" * 1_000)}
    assert reason_of(dicom(elements=many)) is Reason.LIMIT


def test_a_limit_passed_in_a_sequence_is_told_as_such() -> None:
    make, _ = ATTACKS["a million empty items in a functional group"]
    assert reason_of(make()) is Reason.LIMIT


def test_pixel_data_of_no_representation_is_no_pixel_data(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    whole = dicom(CTImageStorage)
    at = whole.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(whole[: at + 4] + b"O\xc2" + whole[at + 6 :])
    assert [one.reason for one in inspect_paths([path]).refused] == [Reason.TRUNCATED]
