"""Say what objects of a kind hold."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset, dcmread

from dicomnode.dicom.conformity.comparing import Comparison, Row
from dicomnode.dicom.conformity.modules import Module, modules_of
from dicomnode.dicom.conformity.seen import Keywords, Seen, Sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What objects of a kind hold: attributes by module, those of no module of the IOD, and codes that all have.

    `codes` are (name of the sequence, value, scheme, meaning), `templates` (mapping resource, identifier); `private`
    counts private attributes; `alike` are the keywords that FIXED is said of although the sources have that value, too:
    of them the sources do not tell.
    """

    sop_class_uid: str
    transfer_syntax_uid: str
    modules: tuple[tuple[Module, tuple[Row, ...]], ...]
    extended: tuple[Row, ...]
    codes: tuple[tuple[str, str, str, str], ...]
    templates: tuple[tuple[str, str], ...]
    implementation_version_name: str
    private: int
    alike: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Specimen:
    """A made object, a whole Part 10 file, and what it was made of."""

    content: bytes = field(repr=False)
    sources: Sources


def contents_of(full: tuple[Specimen, Specimen], bare: Specimen) -> Contents:
    """Return what the objects hold; the sources of the `full` ones differ in everything, those of `bare` say little."""
    objects = [dcmread(BytesIO(one.content)) for one in (*full, bare)]
    seen = [Seen.of(ds) for ds in objects]
    there = {element.keyword for element in objects[0]}
    modules = [module for module in modules_of(objects[0].SOPClassUID) if _is_there(module, there)]
    comparison = Comparison(seen=seen, sources=[one.sources for one in full], types=_types(modules))
    rows: dict[str, list[Row]] = defaultdict(list)
    for path in comparison.paths():
        rows[_home(path[0], modules)].append(comparison.row(path))
    return Contents(
        sop_class_uid=str(objects[0].SOPClassUID),
        transfer_syntax_uid=str(objects[0].file_meta.TransferSyntaxUID),
        modules=tuple((module, tuple(rows[module.key])) for module in modules if module.key in rows),
        extended=tuple(rows.get("", ())),
        codes=tuple(sorted(set.intersection(*(set(_codes(ds)) for ds in objects)))),
        templates=tuple(sorted(set(_templates(objects[0])))),
        implementation_version_name=str(objects[0].file_meta.ImplementationVersionName),
        private=sum(one.private for one in seen),
        alike=tuple(comparison.alike()),
    )


def _codes(ds: Dataset) -> Iterator[tuple[str, str, str, str]]:
    """Yield the codes in `ds`, also in the tree of a report."""
    for element in ds:
        if element.VR != "SQ" or element.tag.is_private:
            continue
        for item in element.value:
            if "CodeValue" in item:
                yield element.name, str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning)
            yield from _codes(item)


def _templates(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the templates that `ds` says it follows (PS3.3 C.18.8.1.2)."""
    for element in ds:
        for item in element.value if element.VR == "SQ" else ():
            if element.keyword == "ContentTemplateSequence":
                yield str(item.MappingResource), f"TID {item.TemplateIdentifier}"
            yield from _templates(item)


def _types(modules: Sequence[Module]) -> dict[Keywords, str]:
    return {(*one.path, one.keyword): one.type for module in reversed(modules) for one in module.attributes}


def _is_there(module: Module, there: AbstractSet[str]) -> bool:
    """Return whether an object with the attributes `there` has the module: without those of type 1 it has not."""
    needed = {one.keyword for one in module.attributes if one.type == "1" and not one.path}
    return module.usage == "mandatory" or needed <= there


def _home(keyword: str, modules: Sequence[Module]) -> str:
    """Return the first module that has the attribute, '' where none does."""
    return next((module.key for module in modules if keyword in module.keywords), "")
