"""What one file is, said from its header: odd, cut-off and foreign files included."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RTDoseStorage,
    SegmentationStorage,
)

from dicomnode.dicom.instances import describe
from dicomnode.digests import new_digest
from dicomnode.domain import Annotation, ImageInstance, Instance, OtherInstance
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, rtstruct, square

PATH = Path("received")


def encoded(ds: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    ds.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    implicit = syntax == ImplicitVRLittleEndian
    dcmwrite(buffer, ds, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def described(content: bytes) -> Instance:
    return describe(BytesIO(content), path=PATH, digest=new_digest(content).hexdigest())


def image(**changes: Any) -> Dataset:  # noqa: ANN401 - any element
    return ct_series(planes=1, **changes)[0]


def structure_set() -> Dataset:
    images = ct_series(planes=3)
    return rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (0.0, 2.5)], "B": [square(1, 1, 4, 4, 5.0)]})


def reason_of(content: bytes) -> Reason:
    """Return why `content` is refused or set aside."""
    try:
        found = described(content)
    except Refused as error:
        return error.reason
    assert isinstance(found, OtherInstance), found
    return found.exclusion.reason


def with_undefined_lengths(ds: Dataset) -> Dataset:
    """Return `ds` with every sequence and item written with a delimiter instead of a length."""
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                with_undefined_lengths(item)
    return ds


def with_lengths(ds: Dataset) -> Dataset:
    return ds


def test_an_image_is_described_by_its_header() -> None:
    found = described(encoded(image(spacing=(0.5, 2.0), origin=(-3.0, 4.5, 7.0))))
    assert isinstance(found, ImageInstance)
    (frame,) = found.frames
    assert frame.place is not None
    assert (found.rows, found.columns, frame.number) == (32, 40, None)
    assert (frame.spacing, frame.place.position) == ((0.5, 2.0), (-3.0, 4.5, 7.0))
    assert frame.place.orientation == (1, 0, 0, 0, 1, 0)
    assert found.notes == ()


def test_a_structure_set_is_described_by_what_it_refers_to() -> None:
    found = described(encoded(structure_set()))
    assert isinstance(found, Annotation)
    assert [count for _, count in found.references] == [1, 1, 1]
    assert (len(found.referenced_series), len(found.frames_of_reference)) == (1, 1)


@pytest.mark.parametrize("lengths", [with_lengths, with_undefined_lengths])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_structure_set_cut_off_anywhere_is_never_read_in_part(
    syntax: UID, lengths: Callable[[Dataset], Dataset]
) -> None:
    content = encoded(lengths(structure_set()), syntax)
    whole = described(content)
    assert isinstance(whole, Annotation)
    for end in range(0, len(content), 3):
        try:
            found = described(content[:end])
        except Refused:
            continue
        if isinstance(found, Annotation):
            assert found.references == whole.references, end
        else:
            assert isinstance(found, OtherInstance)
            assert found.exclusion.reason.refuses, end


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_header_cut_off_anywhere_is_refused_or_known_to_lack_something(syntax: UID) -> None:
    content = encoded(image(), syntax)
    header = len(content) - 2 * 32 * 40
    for end in range(0, header - 200, 3):
        assert reason_of(content[:end]).refuses or content[:end].count(b"DICM") == 0, end


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n" + bytes(2000), bytes(5000), b"Patient Name;Age\n" * 99])
def test_what_is_no_dicom_is_set_aside(content: bytes) -> None:
    assert reason_of(content) is Reason.NOT_DICOM


def test_a_data_set_without_preamble_and_file_meta_is_read() -> None:
    content = encoded(image(), ImplicitVRLittleEndian)
    first_element = b"\x08\x00\x05\x00"  # SpecificCharacterSet
    assert isinstance(described(content[content.index(first_element) :]), ImageInstance)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_image_without_study_or_series_uid_is_refused(keyword: str) -> None:
    assert reason_of(encoded(image(**{keyword: ""}))) is Reason.MISSING_UID


@pytest.mark.parametrize("uid", ["../escaped", "1.2.840.abc", "1." * 40, "1.2..3"])
def test_what_is_no_uid_is_refused(uid: str) -> None:
    ds = image()
    ds.add_new("SeriesInstanceUID", "LO", uid)
    assert reason_of(encoded(ds)) is Reason.BAD_UID


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.LOCALIZER),
        ({"SOPClassUID": ComprehensiveSRStorage, "Modality": "SR", "Rows": None}, Reason.NOT_A_PROMPT),
        ({"SOPClassUID": SegmentationStorage, "Modality": "SEG"}, Reason.INVALID_HEADER),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7", "Modality": "SEG"}, Reason.INVALID_HEADER),
        ({"SOPClassUID": RTDoseStorage, "Modality": "RTDOSE"}, Reason.NOT_AN_IMAGE),
        ({"SOPClassUID": MediaStorageDirectoryStorage}, Reason.NOT_AN_IMAGE),
        ({"NumberOfFrames": 3}, Reason.NO_GEOMETRY),
        ({"NumberOfFrames": 100_001}, Reason.LIMIT),
        ({"NumberOfFrames": -1}, Reason.INVALID_HEADER),
        ({"Rows": 0}, Reason.INVALID_HEADER),
        ({"PixelSpacing": [0.5, -0.5]}, Reason.INVALID_HEADER),
        ({"PixelSpacing": None}, Reason.NO_GEOMETRY),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, Reason.PROJECTION),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PROJECTION IMAGE"]}, Reason.PROJECTION),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]}, Reason.PROJECTION),
        ({"ImageType": ["DERIVED", "SECONDARY", "MAXIMUM INTENSITY PROJECTION"]}, Reason.PROJECTION),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2", "Modality": "MR"}, Reason.NOT_AN_IMAGE),  # spectroscopy
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Reason.SCREEN_SAVE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, Reason.UNSUPPORTED_MOSAIC),
        ({"ImagePositionPatient": None}, Reason.NO_GEOMETRY),
        ({"PixelSpacing": [0, 1]}, Reason.INVALID_HEADER),
        ({"PixelSpacing": [1]}, Reason.INVALID_HEADER),
        ({"ImagePositionPatient": [0, 0]}, Reason.INVALID_HEADER),
        ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, Reason.INVALID_HEADER),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, Reason.INVALID_HEADER),
        ({"Rows": None}, Reason.INVALID_HEADER),
    ],
    ids=str,
)
def test_what_is_no_image_for_a_stack_says_why(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(encoded(image(**changes))) is reason


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("PixelSpacing", "LO", ["one", "two"]),
        ("ImagePositionPatient", "LO", ["0", "0", "inf"]),
        ("NumberOfFrames", "LO", "many"),
        ("Rows", "US", [32, 40]),
        ("SOPClassUID", "LO", ""),
    ],
)
def test_an_element_that_holds_nonsense_is_refused_and_nothing_else_happens(
    keyword: str, vr: str, value: str | Sequence[object]
) -> None:
    ds = image()
    ds.pop(keyword, None)
    ds.add_new(keyword, vr, value)
    content = encoded(ds)
    if keyword == "SOPClassUID":
        assert isinstance(described(content), ImageInstance)  # the file meta information knows it
    else:
        assert reason_of(content) is Reason.INVALID_HEADER


def test_changed_bytes_raise_nothing_but_refused() -> None:
    contents = [encoded(image()), encoded(structure_set(), ImplicitVRLittleEndian)]
    for content in contents:
        for place in range(132, min(len(content), 1500), 2):
            for value in (0x00, 0x55, 0xFF):
                changed = bytearray(content)
                changed[place] = value
                try:
                    found = described(bytes(changed))
                except Refused:
                    continue
                assert isinstance(found, ImageInstance | Annotation | OtherInstance)
