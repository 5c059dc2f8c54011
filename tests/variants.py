"""Headers as they occur: one small series with something wrong or unusual in it, by name."""

from collections.abc import Callable, Mapping, Sequence

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UID

from tests.builders import STUDY

Change = Callable[[Sequence[Dataset]], None]

_TYPE_2 = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def setting(**elements: object) -> Change:
    """Return what sets `elements` on every image."""

    def change(images: Sequence[Dataset]) -> None:
        for ds in images:
            for keyword, value in elements.items():
                setattr(ds, keyword, value)

    return change


def without(*keywords: str) -> Change:
    """Return what takes the elements `keywords` away from every image."""

    def change(images: Sequence[Dataset]) -> None:
        for ds in images:
            for keyword in keywords:
                del ds[keyword]

    return change


def writing(keyword: str, written: bytes | str) -> Change:
    """Return what gives the element `keyword` of every image the text `written`, byte by byte as a file has it."""
    raw = written.encode() if isinstance(written, str) else written
    value = raw + b" " * (len(raw) % 2)
    tag, vr = Tag(keyword), dictionary_VR(keyword)

    def change(images: Sequence[Dataset]) -> None:
        for ds in images:
            ds[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)

    return change


def named(raw: bytes, *character_sets: str) -> Change:
    """Return what names the patient `raw`, byte by byte as a file has it, under the declared character sets."""
    declare = setting(SpecificCharacterSet=list(character_sets)) if character_sets else without("SpecificCharacterSet")

    def change(images: Sequence[Dataset]) -> None:
        declare(images)
        writing("PatientName", raw)(images)

    return change


def _drifting(images: Sequence[Dataset]) -> None:
    for index, ds in enumerate(images):
        ds.ImageOrientationPatient = [1, 5e-5 * index, 0, -5e-5 * index, 1, 0]


def _at_one_position(images: Sequence[Dataset]) -> None:
    images[2].ImagePositionPatient = images[1].ImagePositionPatient


def _mixed(images: Sequence[Dataset]) -> None:
    """Turn the first image as localizers are, and give the last pixels of another size."""
    images[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    images[-1].PixelSpacing = [0.5, 0.5]


def _leading_zero(images: Sequence[Dataset]) -> None:
    for number, ds in enumerate(images):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.2.007.{number}")


#: 48 headers as they occur
VARIANTS: Mapping[str, Change] = {
    "no character set": without("SpecificCharacterSet"),
    "an empty character set": setting(SpecificCharacterSet=""),
    "Latin 1": named("Müller^Jörg".encode("latin-1"), "ISO_IR 100"),
    "Latin 1, its name misspelt": named("Müller^Jörg".encode("latin-1"), "ISO_IR_100"),
    "Cyrillic": named("Иванов^Иван".encode("iso8859-5"), "ISO_IR 144"),
    "GB18030": named("王^小東".encode("gb18030"), "GB18030"),
    "UTF-8": named("Müller^Jörg".encode(), "ISO_IR 192"),
    "UTF-8, its name misspelt": named("Müller^Jörg".encode(), "UTF-8"),
    "Japanese with code extensions": named(b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "", "ISO 2022 IR 87"),
    "no character set, but Latin 1": named("Müller^Jörg".encode("latin-1")),
    "no character set, but UTF-8": named("Müller^Jörg".encode()),
    "a character set that does not exist": named(b"Phantom^Test", "ISO_IR 999"),
    **{f"no {keyword}": without(keyword) for keyword in _TYPE_2},
    "none of the elements that may be empty": without(*_TYPE_2),
    "a name of one component": writing("PatientName", "HFS"),
    "sex X": setting(PatientSex="X"),
    "sex in a small letter": setting(PatientSex="m"),
    "an impossible date of birth": writing("PatientBirthDate", "19701332"),
    "an impossible study date": writing("StudyDate", "2026-13-40"),
    "an impossible study time": writing("StudyTime", "256199"),
    "an age without unit": writing("PatientAge", "45"),
    "an accession number too long": setting(AccessionNumber="A" * 20),
    "a study id too long": setting(StudyID="S" * 17),
    "a name too long": writing("PatientName", "Long" * 20 + "^Name"),
    "a study UID with a leading zero": setting(StudyInstanceUID=f"{STUDY}.01"),
    "a study UID that is none": setting(StudyInstanceUID="study 1"),
    "image UIDs with a leading zero": _leading_zero,
    "a clinical trial": setting(ClinicalTrialSponsorName="S", ClinicalTrialProtocolID="1", ClinicalTrialSubjectID="7"),
    "identity removed, and no method": setting(PatientIdentityRemoved="YES"),
    "directions not quite at right angles": setting(ImageOrientationPatient=[1, 0, 0, 8e-4, 1, 0]),
    "directions that drift": _drifting,
    "a negative slice spacing": setting(SpacingBetweenSlices=-2.5),
    "an empty slice thickness": setting(SliceThickness=None),
    "no frame of reference": without("FrameOfReferenceUID"),
    "an empty frame of reference": setting(FrameOfReferenceUID=""),
    "no directions": without("ImageOrientationPatient"),
    "no positions": without("ImagePositionPatient"),
    "no pixel spacing": without("PixelSpacing"),
    "two images at one position": _at_one_position,
    "a mixed series": _mixed,
}
