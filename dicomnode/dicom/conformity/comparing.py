"""Tell by objects of studies that differ where each of their attributes comes from, and when it is there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.tag import Tag

from dicomnode.dicom.conformity.seen import Keywords, Seen, Sources

_NOT_ENTERED = frozenset({"ContentSequence"})  # a tree of its own, which templates describe
_CODE = frozenset({"CodeValue", "CodingSchemeDesignator", "CodeMeaning"})
_SHOWN = 3  # values, of a fixed attribute that has several


class Presence(StrEnum):
    """When an attribute is there, in the words of PS3.2."""

    ALWAYS = "ALWAYS"  # with a value
    VNAP = "VNAP"  # value not always present: else it is empty
    ANAP = "ANAP"  # attribute not always present
    EMPTY = "EMPTY"  # always, and always empty


class Source(StrEnum):
    """Where the values of an attribute come from, in the words of PS3.2."""

    COPY = "COPY"  # each is one that the sources have in an attribute of this name
    FIXED = "FIXED"  # they are the same whatever the sources are
    CONFIG = "CONFIG"  # from the settings
    AUTO = "AUTO"  # made by dicomnode
    NONE = ""  # there is none


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One attribute of an object; `depth` is in how many sequences it lies, `fixed` the value that all objects have."""

    depth: int
    name: str
    tag: str
    vr: str
    type: str
    presence: Presence
    source: Source
    fixed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two objects of full sources and one of bare ones, what those sources have, and the types of attributes."""

    seen: Sequence[Seen]
    sources: Sequence[Sources]
    types: Mapping[Keywords, str]

    def paths(self) -> Iterator[Keywords]:
        """Yield the attributes in the order of their tags, each sequence before what is in it; not inside copies."""
        closed: set[Keywords] = set()
        known = {path for one in self.seen for path in one.values}
        for path in sorted(known, key=lambda path: [_tag(keyword) for keyword in path]):
            if path[:-1] in closed or self._source(path) is Source.COPY or path[-1] in _NOT_ENTERED:
                closed.add(path)
            if path[:-1] not in closed and not (path[-1] in _CODE and self._codes(path[:-1])):
                yield path

    def row(self, path: Keywords) -> Row:
        """Return what is to be said of an attribute."""
        source = self._source(path)
        vr = next(one.vrs[path] for one in self.seen if path in one.vrs)
        fixed = source is Source.FIXED and (vr != "SQ" or self._codes(path))
        values = sorted(self.seen[0].filled(path))
        return Row(
            depth=len(path) - 1,
            name=dictionary_description(path[-1]),
            tag=str(Tag(_tag(path[-1]))).upper(),
            vr=vr,
            type=self.types.get(path, ""),
            presence=self._presence(path),
            source=source,
            fixed="; ".join(values) if fixed and len(values) <= _SHOWN else "",
        )

    def alike(self) -> Iterator[str]:
        """Yield what is called fixed and may as well be copied."""
        for path in self.paths():
            if self._source(path) is Source.FIXED and self._is_copied(path):
                yield path[-1]

    def _codes(self, path: Keywords) -> bool:
        """Return whether the items of a sequence are codes."""
        return any((*path, "CodeValue") in one.values for one in self.seen)

    def _presence(self, path: Keywords) -> Presence:
        places = [(one.items[path[:-1]], one.values.get(path, [])) for one in self.seen if one.items[path[:-1]]]
        if any(len(values) < count for count, values in places):
            return Presence.ANAP
        filled = [bool(value) for _, values in places for value in values]
        if all(filled):
            return Presence.ALWAYS
        return Presence.VNAP if any(filled) else Presence.EMPTY

    def _source(self, path: Keywords) -> Source:
        first, second, bare = (one.filled(path) for one in self.seen)
        if not first | second | bare:
            return Source.NONE
        if first == second and bare <= first:
            return Source.FIXED
        if [first, second] == [{one.serial_number} for one in self.sources]:
            return Source.CONFIG
        return Source.COPY if self._is_copied(path) else Source.AUTO

    def _is_copied(self, path: Keywords) -> bool:
        found = [one.filled(path) for one in self.seen[:2]]
        return any(found) and all(
            values <= source.values.get(path[-1], set()) for values, source in zip(found, self.sources, strict=True)
        )


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    return tag if tag is not None else 0
