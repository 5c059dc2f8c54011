"""Read what is in an object, and in the sources that it was made of, as texts that can be compared."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import DataElement, Dataset, dcmread
from pydicom.uid import UID

Keywords = tuple[str, ...]  # of the sequences that an attribute lies in, then its own
_REFERENCES = {  # an attribute that names another object -> what the other one calls it
    "ReferencedSOPClassUID": "SOPClassUID",
    "ReferencedSOPInstanceUID": "SOPInstanceUID",
    "ReferencedFrameOfReferenceUID": "FrameOfReferenceUID",
}


@dataclass(kw_only=True, slots=True)
class Seen:
    """The values and VRs of an object's attributes by path, how many items sequences have, and private attributes."""

    values: dict[Keywords, list[str]] = field(default_factory=lambda: defaultdict(list))
    vrs: dict[Keywords, str] = field(default_factory=dict)
    items: Counter[Keywords] = field(default_factory=lambda: Counter({(): 1}))
    private: int = 0

    @classmethod
    def of(cls, ds: Dataset) -> "Seen":
        """Return what is in `ds`."""
        seen = cls()
        seen.add(ds, ())
        return seen

    def add(self, ds: Dataset, path: Keywords) -> str:
        """Note what is in `ds`, an item at `path`; return it as a text."""
        words = []
        for element in ds:
            if element.tag.is_private:
                self.private += 1
                continue
            here = (*path, element.keyword)
            text = self._of_items(element.value, here) if element.VR == "SQ" else _text(element)
            self.values[here].append(text)
            self.vrs[here] = element.VR
            words.append(f"{element.keyword}={text}")
        return _coded(ds) if "CodeValue" in ds else ", ".join(words)

    def filled(self, path: Keywords) -> set[str]:
        """Return the values that are there and not empty."""
        return {value for value in self.values.get(path, ()) if value}

    def _of_items(self, items: Sequence[Dataset], path: Keywords) -> str:
        self.items[path] += len(items)
        return "; ".join(self.add(item, path) for item in items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What an object was made of: the values that attributes of each name have there, and the serial number set."""

    values: Mapping[str, set[str]]
    serial_number: str


def sources_of(files: Iterable[Path], serial_number: str) -> Sources:
    """Return what is in the headers of `files`, the images and the annotation that objects are made of."""
    values: dict[str, set[str]] = defaultdict(set)
    for path in files:
        for keywords, seen in Seen.of(dcmread(path, stop_before_pixels=True)).values.items():
            values[keywords[-1]].update(seen)
    for reference, name in _REFERENCES.items():
        values[reference] |= values[name]
    return Sources(values=values, serial_number=serial_number)


def _text(element: DataElement) -> str:
    """Return the value as a text, the same for the same value: of bulk a hash, of UIDs with what they mean."""
    value = element.value
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest() if value else ""
    if element.VR == "UI" and (name := UID(value).name) != value:
        return f"{value} ({name})"
    if value is None or value == "":
        return ""
    values = value if element.VM > 1 else [value]
    return "\\".join(_number(one) if element.VR == "DS" else str(one) for one in values)


def _number(value: float) -> str:
    """Return a decimal string's number, the same for 1 and 1.0."""
    return str(float(value)).removesuffix(".0")


def _coded(item: Dataset) -> str:
    return f"({item.CodeValue}, {item.CodingSchemeDesignator}, {item.CodeMeaning!r})"
