"""Read what a segmentation says of a segment: codes, colour, tracking identifiers (PS3.3 C.8.20.4)."""

from collections.abc import Iterator

from highdicom.color import CIELabColor
from pydicom import Dataset

from dicomnode.dicom.prompts.codes import code_in
from dicomnode.dicom.prompts.region import Codes
from dicomnode.dicom.prompts.seg_frames import is_label_map
from dicomnode.dicom.reading import PARSER_ERRORS, first_item, items, numbers, text
from dicomnode.domain import Code, Uid, parse_uid
from dicomnode.errors import Reason, Refused


def codes_of(item: Dataset) -> Codes:
    """Return what the description `item` of a segment states in codes; nothing where that cannot be read."""
    try:
        return _codes(item)
    except PARSER_ERRORS:
        return Codes()


def _codes(item: Dataset) -> Codes:
    categories = _codes_in(item, "SegmentedPropertyCategoryCodeSequence")
    kinds = _codes_in(item, "SegmentedPropertyTypeCodeSequence")
    kind, site = (
        first_item(item, keyword) for keyword in ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence")
    )
    return Codes(
        category=categories[0] if categories else None,
        type=kinds[0] if kinds else None,
        modifiers=_codes_in(kind, "SegmentedPropertyTypeModifierCodeSequence"),
        sites=(*_codes_in(item, "AnatomicRegionSequence"), *_codes_in(site, "AnatomicRegionModifierSequence")),
    )


def colour_of(item: Dataset) -> tuple[int, int, int] | None:
    """Return the recommended colour as three values in 0..255, None where it is absent or no colour."""
    try:
        values = [int(value) for value in item.get("RecommendedDisplayCIELabValue") or ()]
        red, green, blue = CIELabColor.from_dicom_value(values).to_rgb(clip=True)
    except PARSER_ERRORS:
        return None
    return round(red), round(green), round(blue)


def tracking_uid_of(item: Dataset, what: str) -> Uid | None:
    """Return the tracking UID, None where it is absent or no UID."""
    try:
        return parse_uid(text(item, "TrackingUID"), what)
    except Refused:
        return None


def _codes_in(holder: Dataset, keyword: str) -> tuple[Code, ...]:
    return tuple(code for item in items(holder, keyword) if (code := code_in(item)))


def segments_of(ds: Dataset, what: str) -> Iterator[tuple[int, Dataset]]:
    """Yield the number and description of each segment; in a label map, 0 is the background (PS3.3 C.8.20.4)."""
    try:
        described = items(ds, "SegmentSequence")
    except PARSER_ERRORS as error:
        raise Refused(Reason.INVALID_HEADER, what, f"SegmentSequence: {type(error).__name__}: {error}") from error
    for item in described:
        number = numbers(item, "SegmentNumber", 1, f"{what}, SegmentSequence")
        if number is not None and not (is_label_map(ds) and number[0] == 0):
            yield int(number[0]), item
