"""The modules that an object of a SOP class is made of, and their attributes (PS3.3 annex A), as highdicom has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from highdicom import _standard_utils as standard

_USAGES = {"M": "mandatory", "C": "conditional", "U": "user option"}  # PS3.3 A.1.3
_WORDS = {
    "of": "of",
    "icc": "ICC",
    "lut": "LUT",
    "roi": "ROI",
    "rt": "RT",
    "sc": "SC",
    "sop": "SOP",
    "sr": "SR",
    "voi": "VOI",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """An attribute of a module, and its type (PS3.5 7.4); `path` is the keywords of the sequences that it lies in."""

    keyword: str
    type: str
    path: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """A module, its usage in the IOD in words, and its attributes in their order."""

    key: str
    usage: str
    attributes: tuple[Listed, ...]

    @property
    def name(self) -> str:
        """Return what PS3.3 calls it."""
        words = self.key.replace("multi-frame", "multi_frame").split("-")
        return " ".join(_WORDS.get(word, word.capitalize()) for word in words).replace("_", "-")

    @property
    def keywords(self) -> frozenset[str]:
        """Return the attributes that lie in no sequence."""
        return frozenset(one.keyword for one in self.attributes if not one.path)


def modules_of(sop_class_uid: str) -> tuple[Module, ...]:
    """Return the modules of the IOD of a SOP class in the order of PS3.3, none for a class that is not known."""
    iod = standard.get_sop_class_iod_map().get(sop_class_uid, "")
    attributes = standard.get_module_attribute_map()
    return tuple(
        Module(key=one["key"], usage=_USAGES[one["usage"]], attributes=tuple(_listed(attributes.get(one["key"], []))))
        for one in standard.get_iod_module_map().get(iod, ())
    )


def _listed(attributes: list[dict[str, Any]]) -> Iterator[Listed]:
    for one in attributes:
        yield Listed(keyword=one["keyword"], type=one["type"], path=tuple(one["path"]))
