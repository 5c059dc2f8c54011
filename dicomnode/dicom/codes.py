"""The coded concepts that name a segment's property, and the categories and older codes of others."""

import re
from functools import cache
from typing import Any

from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from dicomnode.domain import Code

ANATOMICAL = Code(value="91723000", scheme="SCT", meaning="Anatomical Structure")
MORPHOLOGICALLY_ABNORMAL = Code(value="49755003", scheme="SCT", meaning="Morphologically Abnormal Structure")
TISSUE = Code(value="85756007", scheme="SCT", meaning="Tissue")
LESION = Code(value="52988006", scheme="SCT", meaning="Lesion")

_PHYSICAL_OBJECT = Code(value="260787004", scheme="SCT", meaning="Physical object")
_FUNCTION = Code(value="246464006", scheme="SCT", meaning="Function")
_SPATIAL = Code(value="309825002", scheme="SCT", meaning="Spatial and Relational Concept")
_BODY_SUBSTANCE = Code(value="91720002", scheme="SCT", meaning="Body Substance")
_SUBSTANCE = Code(value="105590001", scheme="SCT", meaning="Substance")

# Context groups of property types and the category of each, then anatomy at large; the first that holds a code counts.
CATEGORY_OF_GROUP = {
    7194: MORPHOLOGICALLY_ABNORMAL,
    7192: ANATOMICAL,
    7191: TISSUE,
    7193: _PHYSICAL_OBJECT,
    7195: _FUNCTION,
    7196: _SPATIAL,
    7197: _BODY_SUBSTANCE,
    7198: _SUBSTANCE,
    8134: ANATOMICAL,
}
_OLDER_SCHEMES = ("SRT", "SNM3", "99SDM")  # one system of codes under three names (PS3.16 chapter 8)
_ANATOMICAL_ELSEWHERE = "123037004"  # Body structure: what many programs write for ANATOMICAL
_GROSS_TUMOUR = re.compile(r"GTV(?:n|p|sb|par|v|vas)?(?![a-z])", re.IGNORECASE)  # the suffixes of AAPM TG-263
_PLANNING = re.compile(r"(?<![a-z])[CIP]TV", re.IGNORECASE)  # volumes for planning, alone or less a gross tumour


def to_sct(code: Code) -> Code:
    """Return `code` in SNOMED CT (SCT) where it is one of SNOMED's older codes (PS3.16 annex O), else as it is."""
    newer = mapping["SRT"].get(code.value) if code.scheme in _OLDER_SCHEMES else None
    return Code(value=newer, scheme="SCT", meaning=code.meaning) if newer else code


def category_to_write(category: Code) -> Code:
    """Return the property `category` as DICOM has it (PS3.16 CID 7150)."""
    current = to_sct(category)
    return ANATOMICAL if (current.value, current.scheme) == (_ANATOMICAL_ELSEWHERE, "SCT") else current


def category_of(kind: Code) -> Code | None:
    """Return the category of the property type `kind` by the context groups that hold it; None where none does."""
    return _categories().get((kind.value, kind.scheme))


def is_gross_tumour(name: str) -> bool:
    """Return whether a region of that name is a gross tumour volume; CTV and PTV are volumes for planning."""
    return _GROSS_TUMOUR.match(name.strip()) is not None and _PLANNING.search(name) is None


@cache
def _categories() -> dict[tuple[str, str], Code]:
    """Return the category of each (value, scheme) that PS3.16 has as a segmentation property type or as anatomy."""
    dictionary: dict[str, Any] = concepts
    members = [
        (group, value, scheme)
        for scheme, keywords in dictionary.items()
        for values in keywords.values()
        for value, (_, groups) in values.items()
        for group in groups
        if group in CATEGORY_OF_GROUP
    ]
    order = list(CATEGORY_OF_GROUP)
    members.sort(key=lambda member: order.index(member[0]), reverse=True)
    return {(value, scheme): CATEGORY_OF_GROUP[group] for group, value, scheme in members}
