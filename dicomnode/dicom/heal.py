"""Heal a source header, so that what is copied from it into a result is valid and means the same."""

import re
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, TM

from dicomnode.dicom.reading import PARSER_ERRORS, text

_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_TYPE_2 = (  # patient and general study modules, PS3.3 C.7.1.1 and C.7.2.1
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
_CLINICAL_TRIAL_TYPE_2 = ("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName")  # PS3.3 C.7.1.3
_DATES, _TIME = ("PatientBirthDate", "StudyDate"), "StudyTime"
_ACR_DATE, _ACR_TIME = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})"), re.compile(r"(\d{2}):(\d{2}):(\d{2}(?:\.\d+)?)")
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_SEXES = frozenset({"M", "F", "O", ""})


def heal(ds: Dataset) -> Dataset:
    """Return `ds` with everything repaired that would make a copy of its header invalid; identifiers stay untouched.

    Texts are decoded by the character set they were written in and will be written as UTF-8; absent type 2 elements
    of patient and study become empty; dates and times of ACR-NEMA become DICOM's; impossible dates, times, sexes and
    ages become empty, 'O' or absent; private elements go, and sequences without an item, which are optional. Other
    sequences are written in one form, whatever the sender's was.
    """
    ds.remove_private_tags()
    _drop_empty_sequences(ds)
    _decode_texts(ds)
    _modernise(ds)
    for keyword in _TYPE_2:
        if not text(ds, keyword):
            setattr(ds, keyword, "")
    sex = text(ds, "PatientSex").upper()
    ds.PatientSex = sex if sex in _SEXES else "O"
    for keyword in _DATES:
        if not is_valid(text(ds, keyword), DA):
            setattr(ds, keyword, "")
    if not is_valid(text(ds, _TIME), TM):
        ds.StudyTime = ""
    _heal_age(ds)
    if any(keyword_for_tag(tag).startswith("ClinicalTrial") for tag in list(ds.keys())):
        for keyword in _CLINICAL_TRIAL_TYPE_2:
            setattr(ds, keyword, text(ds, keyword))
    _complete_deidentification(ds)
    _give_lengths(ds)
    return ds


def is_valid(value: str, kind: type[DA | TM]) -> bool:
    """Return whether `value` is a date or time of PS3.5 6.2, or empty."""
    try:
        kind(value)
    except PARSER_ERRORS:
        return False
    return True


def _drop_empty_sequences(ds: Dataset) -> None:
    for tag in [element.tag for element in ds if element.VR == "SQ" and not element.value]:
        del ds[tag]


def _modernise(ds: Dataset) -> None:
    """Write dates and times as DICOM does where they are as ACR-NEMA had them (PS3.5 6.2, notes on DA and TM)."""
    for keyword, pattern in {**dict.fromkeys(_DATES, _ACR_DATE), _TIME: _ACR_TIME}.items():
        if found := pattern.fullmatch(text(ds, keyword)):
            setattr(ds, keyword, "".join(found.groups()))


def _heal_age(ds: Dataset) -> None:
    """Give an age its three digits (PS3.5 6.2, AS), and leave out what is none: it is optional (PS3.3 C.7.2.2)."""
    age = text(ds, "PatientAge")
    found = _AGE.fullmatch(age)
    if found:
        ds.PatientAge = found[1].zfill(3) + found[2]
    elif age:
        del ds.PatientAge


def _complete_deidentification(ds: Dataset) -> None:
    """Say that the method is not stated where identity was removed and no method is named (type 1C, PS3.3 C.7.1.1)."""
    if text(ds, "DeidentificationMethod"):
        return
    if "DeidentificationMethod" in ds:
        del ds.DeidentificationMethod
    if text(ds, "PatientIdentityRemoved") == "YES" and not ds.get("DeidentificationMethodCodeSequence"):
        ds.DeidentificationMethod = "not stated"


def _decode_texts(ds: Dataset) -> None:
    """Make every text of `ds` the one that was meant, and declare UTF-8 from here on (PS3.3 C.12.1.1.2).

    A parser decodes by the declared character set, and as Latin 1 where none is declared. Bytes that were UTF-8 all
    the same are then turned back: Latin 1 gives every byte a character, so nothing is lost on the way.
    """
    declared = bool(text(ds, "SpecificCharacterSet"))

    def decode(_: Dataset, element: DataElement) -> None:
        if element.VR in _TEXT_VRS and element.value:
            element.value = _each(element.value, str if declared else _utf8_where_it_is)

    ds.walk(decode)
    ds.SpecificCharacterSet = "ISO_IR 192"


def _each(value: Any, change: Any) -> Any:  # noqa: ANN401 - an element holds one text or several
    return [change(one) for one in value] if isinstance(value, MultiValue) else change(value)


def _utf8_where_it_is(value: object) -> str:
    try:
        return str(value).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return str(value)


def _give_lengths(ds: Dataset) -> None:
    """Let sequences and items in `ds` be written with their lengths, whichever way their source did (PS3.5 7.5.2)."""
    ds.is_undefined_length_sequence_item = False
    for tag in [one.tag for one in ds.values() if one.VR in {"SQ", None}]:  # None is not known yet
        element = ds[tag]
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                _give_lengths(item)
