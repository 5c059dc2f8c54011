"""Walk the content tree of a structured report within limits (PS3.3 C.17.3)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sr._snomed_dict import mapping as snomed

from dicomnode.dicom.prompts.codes import code_in
from dicomnode.dicom.reading import first_item, items, text
from dicomnode.domain import Code
from dicomnode.errors import Reason, Refused

MAX_ITEMS = 100_000
MAX_DEPTH = 100
Concept = tuple[str, str]  # code value, coding scheme

_SNOMED = frozenset({"SRT", "SNM3", "99SDM"})  # what SNOMED CT was called in DICOM before (PS3.16 8)
_VALUE_TYPE_TAG = {True: b"\x40\x00\x40\xa0", False: b"\x00\x40\xa0\x40"}  # (0040,A040), little endian or not


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ContentItem:
    """One content item: its data set, the one it hangs on, and its number among that one's, from 1."""

    ds: Dataset = field(repr=False)
    parent: "ContentItem | None" = field(repr=False)
    number: int
    depth: int
    value_type: str
    name: Code | None

    @property
    def path(self) -> str:
        """Return the numbers that lead to it from the root, such as '1.4.2'."""
        numbers = [str(self.number)]
        above = self.parent
        while above:
            numbers.append(str(above.number))
            above = above.parent
        return ".".join(reversed(numbers))

    @property
    def concept(self) -> Concept:
        """Return what it is called, by code; the meaning is for people."""
        return concept_of(self.name)

    @property
    def value(self) -> Code | None:
        """Return the code that it states."""
        return in_snomed_ct(code_in(first_item(self.ds, "ConceptCodeSequence")))


def walk(ds: Dataset, what: str) -> tuple[ContentItem, ...]:
    """Return all content items of the report `ds`, each before those that hang on it.

    Refuses with LIMIT, naming `what`, more items or a deeper tree than any true report has.
    """
    _check_size(ds, what)
    return tuple(_items(ds, what))


def concept_of(code: Code | None) -> Concept:
    """Return value and scheme of `code`, of none two empty texts."""
    return (code.value, code.scheme) if code else ("", "")


def in_snomed_ct(code: Code | None) -> Code | None:
    """Return `code` as SNOMED CT has it, where it is one of the older SNOMED's with a successor (PS3.16 annex L)."""
    if code is None or code.scheme not in _SNOMED or code.value not in snomed["SRT"]:
        return code
    return Code(value=snomed["SRT"][code.value], scheme="SCT", meaning=code.meaning)


def _items(ds: Dataset, what: str) -> Iterator[ContentItem]:
    count = 0
    waiting: list[tuple[Dataset, ContentItem | None, int]] = [(ds, None, 1)]
    while waiting:
        found, parent, number = waiting.pop()
        item = _item(found, parent, number)
        below = items(found, "ContentSequence")
        count += 1
        if count + len(waiting) + len(below) > MAX_ITEMS:
            raise Refused(Reason.LIMIT, what, f"it has more than {MAX_ITEMS} content items")
        if item.depth > MAX_DEPTH:
            raise Refused(Reason.LIMIT, what, f"its content items are nested more than {MAX_DEPTH} deep")
        yield item
        waiting.extend(reversed([(child, item, place) for place, child in enumerate(below, start=1)]))


def _item(ds: Dataset, parent: ContentItem | None, number: int) -> ContentItem:
    return ContentItem(
        ds=ds,
        parent=parent,
        number=number,
        depth=parent.depth + 1 if parent else 1,
        value_type=text(ds, "ValueType"),
        name=in_snomed_ct(code_in(first_item(ds, "ConceptNameCodeSequence"))),
    )


def _check_size(ds: Dataset, what: str) -> None:
    """Refuse a report with too many items before they are parsed, which takes kilobytes for each.

    Every content item has its Value Type once; it is counted in the bytes, where they are still bytes.
    """
    raw = ds.get_item("ContentSequence") if "ContentSequence" in ds else None
    if not isinstance(raw, RawDataElement) or not isinstance(raw.value, bytes):
        return
    count = raw.value.count(_VALUE_TYPE_TAG[raw.is_little_endian])
    if count > MAX_ITEMS:
        raise Refused(Reason.LIMIT, what, f"it has {count} content items: {MAX_ITEMS} are the limit")
