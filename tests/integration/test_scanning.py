"""Who an object is, by its first bytes alone: the same as by its whole header, or not known."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    RTStructureSetStorage,
)
from pynetdicom.dsutils import encode

from dicomnode.dicom.instances import describe
from dicomnode.dicom.scanning import scan
from dicomnode.domain import Annotation, ImageInstance, Instance, Uid, Undescribed
from dicomnode.errors import Refused
from dicomnode.network.part10 import anonymous_header, request_of
from tests.builders import ct_series, rtstruct, square

IMAGES = ct_series(planes=1)


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    content = encode(ds, is_implicit_vr=syntax == ImplicitVRLittleEndian, is_little_endian=True)
    assert content is not None
    return content


def described(data_set: bytes, syntax: str) -> Instance | None:
    source = BytesIO(anonymous_header(Uid(syntax)) + data_set)
    try:
        return describe(source, path=Path("it.dcm"), digest="aa")
    except Refused:
        return None


def identity(one: Instance | Undescribed) -> tuple[str, ...]:
    return one.sop_class_uid, one.sop_instance_uid, one.study_uid, one.series_uid


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_an_image_is_known_by_its_first_bytes(syntax: UID) -> None:
    (ds,) = IMAGES
    found = scan(encoded(ds, syntax)[:1000], syntax, "aa")
    assert found == Undescribed(
        sop_instance_uid=ds.SOPInstanceUID,
        sop_class_uid=ds.SOPClassUID,
        series_uid=ds.SeriesInstanceUID,
        study_uid=ds.StudyInstanceUID,
        digest="aa",
        modality="CT",
    )


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("undefined", [(True, True), (True, False), (False, True)])
def test_sequences_of_any_kind_of_length_are_passed_over(syntax: UID, undefined: tuple[bool, bool]) -> None:
    (ds,) = ct_series(planes=1)
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.SOPInstanceUID = "1", "1.2.3.4"
    outer.PurposeOfReferenceCodeSequence = [inner, Dataset()]
    ds.ProcedureCodeSequence = [outer, inner]
    for holder, keyword in ((ds, "ProcedureCodeSequence"), (outer, "PurposeOfReferenceCodeSequence")):
        holder[keyword].is_undefined_length = undefined[0]
    for item in (inner, outer):
        item.is_undefined_length_sequence_item = undefined[1]
    content = encoded(ds, syntax)
    found, whole = scan(content, syntax, "aa"), described(content, syntax)
    assert found is not None
    assert whole is not None
    assert identity(found) == identity(whole)


def test_the_header_of_an_image_with_compressed_pixels_is_known_too() -> None:
    assert scan(encoded(IMAGES[0]), JPEG2000Lossless, "aa") is not None


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, "1.2"])
def test_what_is_in_another_syntax_is_not_known(syntax: str) -> None:
    assert scan(encoded(IMAGES[0]), syntax, "aa") is None


def test_what_has_a_vr_is_not_taken_for_what_has_none_and_the_other_way_round() -> None:
    assert scan(encoded(IMAGES[0], ImplicitVRLittleEndian), ExplicitVRLittleEndian, "aa") is None


def test_an_annotation_is_left_to_be_read_at_once() -> None:
    drawn = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 0.0)]})
    content = encoded(drawn)
    assert isinstance(described(content, ExplicitVRLittleEndian), Annotation)
    assert scan(content, ExplicitVRLittleEndian, "aa") is None


@pytest.mark.parametrize(("maker", "known"), [("dicomnode", False), ("ACME", True)])
def test_what_dicomnode_may_have_made_is_left_to_be_read_at_once(maker: str, known: bool) -> None:  # noqa: FBT001
    (ds,) = ct_series(planes=1)
    equipment = Dataset()
    equipment.Manufacturer = maker
    ds.ContributingEquipmentSequence = [equipment]
    assert (scan(encoded(ds), ExplicitVRLittleEndian, "aa") is not None) is known


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyInstanceUID", ""),
        ("SeriesInstanceUID", "1.2.x"),
        ("SOPInstanceUID", "1.2\\1.3"),
        ("SOPClassUID", MediaStorageDirectoryStorage),
        ("Modality", "C\\T"),
    ],
)
def test_what_is_refused_or_odd_is_left_to_be_read(keyword: str, value: str) -> None:
    (ds,) = ct_series(planes=1)
    setattr(ds, keyword, value.split("\\"))
    assert scan(encoded(ds), ExplicitVRLittleEndian, "aa") is None


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_next_of_a_series_is_known_by_what_differs(syntax: UID) -> None:
    for ds in ct_series(planes=12):
        ds.ContentTime = f"1200{ds.InstanceNumber:02}"
        content = encoded(ds, syntax)
        found, whole = scan(content, syntax, ds.SOPInstanceUID), described(content, syntax)
        assert found is not None
        assert whole is not None
        assert identity(found) == identity(whole)
        assert (found.modality, found.digest) == ("CT", ds.SOPInstanceUID)


@pytest.mark.parametrize(
    ("keyword", "value", "known"),
    [
        ("StudyInstanceUID", "1.2.3.4.5.6.7", True),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4", True),
        ("Modality", "MR", True),
        ("SOPInstanceUID", "1.2.x", False),
        ("Modality", "", True),
        ("SOPClassUID", RTStructureSetStorage, False),
        ("AccessionNumber", "longer", True),
        ("ContributingEquipmentSequence", "dicomnode", False),
    ],
)
def test_one_that_differs_in_more_is_not_taken_for_the_next(keyword: str, value: str, *, known: bool) -> None:
    first, second = ct_series(planes=2)
    for ds in (first, second):
        ds.ContributingEquipmentSequence = [Dataset()]
        ds.ContributingEquipmentSequence[0].Manufacturer = "ACME"
    assert scan(encoded(first), ExplicitVRLittleEndian, "aa") is not None
    if keyword == "ContributingEquipmentSequence":
        second.ContributingEquipmentSequence[0].Manufacturer = value
    else:
        setattr(second, keyword, value)
    found = scan(encoded(second), ExplicitVRLittleEndian, "bb")
    assert (found is not None) is known
    if found is not None:
        assert identity(found) == (
            second.SOPClassUID,
            second.SOPInstanceUID,
            second.StudyInstanceUID,
            second.SeriesInstanceUID,
        )
        assert (found.modality, found.digest) == (second.Modality, "bb")


def test_a_sequence_without_a_length_may_end_elsewhere_in_the_next() -> None:
    first, second = ct_series(planes=2)
    for ds, meaning in ((first, "ACME 1"), (second, "1")):
        ds.ProcedureCodeSequence = [Dataset()]
        ds.ProcedureCodeSequence[0].CodeMeaning = meaning
        ds["ProcedureCodeSequence"].is_undefined_length = True
    for ds in (first, second):
        found = scan(encoded(ds), ExplicitVRLittleEndian, "aa")
        assert found is not None
        assert (found.sop_instance_uid, found.series_uid) == (ds.SOPInstanceUID, ds.SeriesInstanceUID)


@given(st.data())
def test_a_damaged_header_is_known_as_it_is_read_or_not_at_all(data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]))
    (ds,) = ct_series(planes=1)
    ds.ProcedureCodeSequence = [Dataset(), Dataset()]
    ds.ProcedureCodeSequence[0].CodeValue = "1"
    ds["ProcedureCodeSequence"].is_undefined_length = True
    content = bytearray(encoded(ds, syntax)[: data.draw(st.integers(0, 3000))])
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, min(len(content), 600) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # behind one of the same series
        (before,) = ct_series(planes=1)
        before.ProcedureCodeSequence = ds.ProcedureCodeSequence
        assert scan(encoded(before, syntax), syntax, "aa") is not None
    found, whole = scan(bytes(content), syntax, "aa"), described(bytes(content), syntax)
    assert found is None or whole is None or identity(found) == identity(whole)


@pytest.mark.data
def test_real_objects_are_known_as_they_are_read(data_dir: Path) -> None:
    known = 0
    for path in sorted(data_dir.rglob("*.dcm"))[::40]:
        content = path.read_bytes()
        try:
            request, data_set = request_of(content, "X", 1)
        except Refused:
            continue
        syntax = request.transfer_syntax_uid
        if (found := scan(data_set, syntax, "aa")) is None:
            continue
        known += 1
        whole = described(data_set, syntax)
        assert whole is None or identity(found) == identity(whole), path
        if isinstance(whole, ImageInstance):
            assert found.modality == whole.modality
    assert known > 30
