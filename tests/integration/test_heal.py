"""Headers that are not as they should be: a SEG is written all the same, it is valid, and it means the same."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.builders import ct_series, rtstruct, save, square
from tests.folders import seg_of
from tests.validation import errors_of


def seg_with(folder: Path, change: Callable[[Dataset], None]) -> Dataset:
    """Return the SEG on a series to whose every image `change` was done."""
    with disable_value_validation():
        images = ct_series()
        drawn = rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (2.5, 5.0)]})
        for image in images:
            change(image)
        return seg_of(images, drawn, folder)


def assert_valid(seg: Dataset, folder: Path) -> None:
    save([seg], folder / "seg")
    assert errors_of(folder / "seg" / f"{seg.SOPInstanceUID}.dcm") == []


def setting(**elements: object) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(ds, keyword, value)

    return change


def writing(keyword: str, written: str) -> Callable[[Dataset], None]:
    """Return what gives the element `keyword` the text `written`, byte by byte as a file has it."""

    def change(ds: Dataset) -> None:
        tag, vr = Tag(keyword), dictionary_VR(keyword)
        value = written.encode() + b" " * (len(written) % 2)
        ds[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)

    return change


def without(*keywords: str) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        for keyword in keywords:
            del ds[keyword]

    return change


def named(raw: bytes, *character_sets: str) -> Callable[[Dataset], None]:
    """Give the patient the name `raw`, byte by byte as a file has it, under the declared character sets."""

    def change(ds: Dataset) -> None:
        if character_sets:
            ds.SpecificCharacterSet = list(character_sets) if len(character_sets) > 1 else character_sets[0]
        else:
            del ds.SpecificCharacterSet
        padded = raw + b" " * (len(raw) % 2)
        tag = Tag("PatientName")
        ds[tag] = RawDataElement(tag, "PN", len(padded), padded, 0, is_implicit_VR=False, is_little_endian=True)

    return change


@pytest.mark.peer
@pytest.mark.parametrize(
    ("raw", "character_sets", "name"),
    [
        (b"Phantom^Test", ("",), "Phantom^Test"),
        (b"Phantom^Test", (), "Phantom^Test"),
        ("Müller^Jörg".encode("latin-1"), ("ISO_IR 100",), "Müller^Jörg"),
        ("Müller^Jörg".encode("latin-1"), ("ISO_IR_100",), "Müller^Jörg"),
        ("Müller^Jörg".encode(), ("ISO_IR 192",), "Müller^Jörg"),
        ("Müller^Jörg".encode(), ("UTF-8",), "Müller^Jörg"),
        ("Müller^Jörg".encode(), (), "Müller^Jörg"),
        ("Müller^Jörg".encode("latin-1"), (), "Müller^Jörg"),
        ("Иванов^Иван".encode("iso8859-5"), ("ISO_IR 144",), "Иванов^Иван"),
        ("王^小東".encode("gb18030"), ("GB18030",), "王^小東"),
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_name_in_any_character_set_is_the_same_name_in_utf_8(
    tmp_path: Path, raw: bytes, character_sets: Sequence[str], name: str
) -> None:
    seg = seg_with(tmp_path, named(raw, *character_sets))
    assert (str(seg.PatientName), seg.SpecificCharacterSet) == (name, "ISO_IR 192")
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
        *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
    ],
)
def test_an_element_that_may_be_empty_but_not_absent_becomes_empty(tmp_path: Path, keyword: str) -> None:
    seg = seg_with(tmp_path, without(keyword))
    assert keyword in seg
    assert not seg[keyword].value
    assert_valid(seg, tmp_path)


@pytest.mark.peer
def test_a_sequence_without_an_item_is_left_out(tmp_path: Path) -> None:
    seg = seg_with(tmp_path, setting(ReferencedStudySequence=[]))
    assert "ReferencedStudySequence" not in seg
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(("written", "meant"), [("X", "O"), ("m", "M"), ("F ", "F"), ("", ""), ("Female", "O")])
def test_a_sex_is_one_of_the_defined_terms(tmp_path: Path, written: str, meant: str) -> None:
    seg = seg_with(tmp_path, setting(PatientSex=written))
    assert seg.PatientSex == meant
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("keyword", "written"),
    [
        *(("PatientBirthDate", "19701332"), ("PatientBirthDate", "0000"), ("StudyDate", "2026-13-40")),
        *(("StudyTime", "256199"), ("StudyTime", "ten")),
    ],
)
def test_an_impossible_date_or_time_becomes_empty(tmp_path: Path, keyword: str, written: str) -> None:
    seg = seg_with(tmp_path, writing(keyword, written))
    assert not seg[keyword].value
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("keyword", "written", "meant"),
    [
        *(("PatientBirthDate", "1970.02.03", "19700203"), ("StudyDate", "2026.01.02", "20260102")),
        *(("StudyTime", "10:11:12", "101112"), ("StudyTime", "10:11:12.5", "101112.5")),
        *(("PatientAge", "0Y", "000Y"), ("PatientAge", "45Y", "045Y"), ("PatientAge", "003M", "003M")),
    ],
)
def test_dates_times_and_ages_of_another_form_keep_their_meaning(
    tmp_path: Path, keyword: str, written: str, meant: str
) -> None:
    seg = seg_with(tmp_path, writing(keyword, written))
    assert seg[keyword].value == meant
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize("written", ["old", "45", "1234", "-1Y"])
def test_what_is_no_age_is_left_out(tmp_path: Path, written: str) -> None:
    seg = seg_with(tmp_path, writing("PatientAge", written))
    assert "PatientAge" not in seg
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(
    "change",
    [
        setting(ClinicalTrialSponsorName="Sponsor", ClinicalTrialProtocolID="1", ClinicalTrialSubjectID="7"),
        setting(SpacingBetweenSlices=-2.5),
        setting(SliceThickness=None),
        without("SliceThickness"),
        setting(PatientIdentityRemoved="YES"),
        setting(PatientIdentityRemoved="YES", DeidentificationMethod=""),
        setting(DeidentificationMethod=""),
        setting(ContentDate="", ContentTime=""),
        setting(AcquisitionDate="20261340", AcquisitionTime="999999"),
        setting(PositionReferenceIndicator=None),
        setting(SeriesNumber=None),
        setting(Laterality=""),
        setting(PatientAge="", PatientWeight=None),
        without("InstanceNumber", "AcquisitionNumber", "Manufacturer", "SeriesNumber"),
        setting(BodyPartExamined="CHEST", TimezoneOffsetFromUTC="+0100"),
        setting(
            LossyImageCompression="01", LossyImageCompressionRatio=[8.0], LossyImageCompressionMethod="ISO_10918_1"
        ),
    ],
    ids=range(16),
)
def test_what_else_is_wrong_or_missing_in_headers_still_gives_a_valid_seg(
    tmp_path: Path, change: Callable[[Dataset], None]
) -> None:
    seg = seg_with(tmp_path, change)
    assert_valid(seg, tmp_path)
    assert float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness) == 2.5
    assert float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices) == 2.5


def test_over_long_identifiers_are_passed_through(tmp_path: Path) -> None:
    seg = seg_with(tmp_path, setting(AccessionNumber="A" * 20, StudyID="S" * 17, PatientID="P" * 70))
    with disable_value_validation():
        assert (seg.AccessionNumber, seg.StudyID, seg.PatientID) == ("A" * 20, "S" * 17, "P" * 70)


def test_lossy_sources_body_part_and_time_zone_are_carried_over(tmp_path: Path) -> None:
    seg = seg_with(
        tmp_path,
        setting(
            LossyImageCompression="01",
            LossyImageCompressionRatio=[8.0],
            LossyImageCompressionMethod="ISO_10918_1",
            BodyPartExamined="CHEST",
            TimezoneOffsetFromUTC="+0100",
        ),
    )
    assert compression_of(seg) == ("01", 8.0, "ISO_10918_1")
    assert (seg.BodyPartExamined, seg.TimezoneOffsetFromUTC) == ("CHEST", "+0100")


def test_no_private_element_is_copied(tmp_path: Path) -> None:
    def change(ds: Dataset) -> None:
        ds.private_block(0x0009, "BUILDER", create=True).add_new(1, "LO", "secret")
        ds.private_block(0x0011, "BUILDER", create=True).add_new(1, "LO", "secret")

    seg = seg_with(tmp_path, change)
    private: list[DataElement] = []
    seg.walk(lambda _, element: private.append(element) if element.tag.is_private else None)
    assert private == []


def compression_of(seg: Dataset) -> tuple[object, ...]:
    """Return whether something was lost in compression, the ratio and the method."""
    names = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
    return tuple(seg.get(name) for name in names)


@pytest.mark.peer
def test_one_lossy_image_of_several_makes_a_lossy_seg(tmp_path: Path) -> None:
    def change(ds: Dataset) -> None:
        ds.LossyImageCompression = "01" if ds.InstanceNumber == 4 else "00"
        if ds.InstanceNumber == 4:
            ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod = 12.5, "ISO_15444_1"

    seg = seg_with(tmp_path, change)
    assert compression_of(seg) == ("01", 12.5, "ISO_15444_1")
    assert_valid(seg, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize("stated", ["01", "00", ""])
def test_a_ratio_or_method_without_a_value_is_left_out(tmp_path: Path, stated: str) -> None:
    change = setting(LossyImageCompression=stated, LossyImageCompressionRatio=None, LossyImageCompressionMethod="")
    seg = seg_with(tmp_path, change)
    assert compression_of(seg) == (stated or "00", None, None)
    assert_valid(seg, tmp_path)


def test_nothing_of_the_source_is_copied_but_patient_and_study(tmp_path: Path) -> None:
    """A result has the patient and study modules of its source; all else that may name somebody stays there."""
    marked = {
        **dict.fromkeys(_COPIED, "MARK"),
        **dict.fromkeys(_LEFT, "MARK"),
        "PatientName": "MARK^MARK",
        "ReferringPhysicianName": "MARK^MARK",
    }
    names = Dataset()
    names.PatientID, names.IssuerOfPatientID = "MARK", "MARK"
    request = Dataset()
    request.RequestedProcedureDescription, request.ScheduledProcedureStepID = "MARK", "MARK"
    seg = seg_with(tmp_path, setting(**marked, OtherPatientIDsSequence=[names], RequestAttributesSequence=[request]))
    found: set[str] = set()
    seg.walk(lambda _, element: found.add(element.keyword) if "MARK" in str(element.value) else None, recursive=False)
    assert found - {"ContributingEquipmentSequence"} == set(_COPIED)
    scanner, *others = seg.ContributingEquipmentSequence
    assert {element.keyword for element in scanner if "MARK" in str(element.value)} == set(_OF_THE_SCANNER)
    assert not any("MARK" in str(item) for item in others)


_COPIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientComments", "Occupation"),
    *("AdditionalPatientHistory", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
    *("AdmissionID", "BodyPartExamined"),
)
_OF_THE_SCANNER = ("StationName", "DeviceSerialNumber", "ManufacturerModelName", "SoftwareVersions")
_LEFT = (
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "OperatorsName"),
    *("PerformingPhysicianName", "RequestingPhysician", "OtherPatientIDs", "OtherPatientNames", "PatientAddress"),
    *("PatientTelephoneNumbers", "PatientMotherBirthName", "MedicalRecordLocator", "CurrentPatientLocation"),
    *("SeriesDescription", "ProtocolName", "ImageComments", "RequestedProcedureDescription"),
    *_OF_THE_SCANNER,
)
