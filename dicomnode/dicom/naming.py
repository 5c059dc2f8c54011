"""Say in codes what a region is: by what its annotation states, else by its name, else in general."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dicomnode.dicom.codes import (
    LESION,
    MORPHOLOGICALLY_ABNORMAL,
    TISSUE,
    category_of,
    category_to_write,
    is_gross_tumour,
    to_sct,
)
from dicomnode.dicom.labels import BILATERAL, LEFT, RIGHT, Named, Tables, key_of, read_tables, words_of
from dicomnode.dicom.prompts.region import Codes
from dicomnode.domain import Code
from dicomnode.errors import SettingsError

__all__ = ["Coded", "Named", "Tables", "codes_for", "name_of", "read_tables", "tables_of"]

_WORDS = {
    LEFT: "l lt left li links linke linker linkes gauche izq izquierdo izquierda sinister sinistra",
    RIGHT: "r rt right re rechts rechte rechter rechtes droit droite derecho derecha dexter dextra",
    BILATERAL: "both bilateral bilat beide beidseits bds bilaterales",
}
_LAST_WORDS = {LEFT: "sin sx", RIGHT: "der dex dx"}  # in front they are other words: German der, Spanish sin
_AT_THE_END = {word: side for words in (_WORDS, _LAST_WORDS) for side, text in words.items() for word in text.split()}
_IN_FRONT = {word: side for side, text in _WORDS.items() for word in text.split()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """What a segment is in codes (PS3.3 C.8.20.4), and its colour (R, G, B) where one is known."""

    category: Code
    type: Code
    modifiers: tuple[Code, ...] = ()
    sites: tuple[Code, ...] = ()
    colour: tuple[int, int, int] | None = None


@cache
def tables_of(files: tuple[str, ...], digest: str) -> Tables:
    """Return the shipped table of names with those of `files` over it.

    Refuses with BAD_SETTING where they are not those of `digest`, if it is given: they have changed since.
    """
    tables = read_tables([Path(file) for file in files])
    if digest and tables.digest != digest:
        raise SettingsError("prompts.labels", f"{', '.join(files) or 'the shipped table'}: changed since it was read")
    return tables


def name_of(label: str, tables: Tables) -> Named | None:
    """Return what the whole of `label` names, with its side; None where the tables do not have it."""
    words = words_of(label)
    if named := tables.names.get(key_of(words)):
        return named
    sided = (_sided(side, key_of(rest), tables) for side, rest in _without_side(words))
    return next((named for named in sided if named), None)


def codes_for(label: str, stated: Codes, *, is_target: bool, tables: Tables) -> Coded:
    """Return the codes of the region called `label`.

    What the annotation states counts first, in SNOMED CT where it states older codes; then what the label names; then
    a target or a gross tumour volume is a lesion, and anything else is tissue.
    """
    named = name_of(label, tables)
    modifiers = tuple(to_sct(code) for code in stated.modifiers)
    sites = tuple(to_sct(code) for code in stated.sites)
    if stated.type is not None:
        coded = _stated(to_sct(stated.type), stated.category, named, is_target=is_target, tables=tables)
    elif named is not None:
        coded = Coded(category=named.category, type=named.type, modifiers=named.modifiers, colour=named.colour)
    elif is_target or is_gross_tumour(label):
        coded = Coded(category=MORPHOLOGICALLY_ABNORMAL, type=LESION)
    else:
        coded = Coded(category=TISSUE, type=TISSUE)
    return replace(coded, modifiers=modifiers or coded.modifiers, sites=sites)


def _stated(kind: Code, category: Code | None, named: Named | None, *, is_target: bool, tables: Tables) -> Coded:
    """Return the stated type `kind` with what it does not state: category, colour, and the side if the name has it."""
    known = tables.types.get((kind.value, kind.scheme))
    if category is not None:
        written = category_to_write(category)
    else:
        generic = MORPHOLOGICALLY_ABNORMAL if is_target else TISSUE
        written = known.category if known else category_of(kind) or generic
    same = named is not None and (named.type.value, named.type.scheme) == (kind.value, kind.scheme)
    return Coded(
        category=written,
        type=kind,
        modifiers=named.modifiers if named and same else (),
        colour=known.colour if known else None,
    )


def _without_side(words: Sequence[str]) -> Iterator[tuple[Code, Sequence[str]]]:
    """Yield the side that the last or the first of `words` names, and the other words."""
    if len(words) > 1 and (side := _AT_THE_END.get(words[-1])):
        yield side, words[:-1]
    if len(words) > 1 and (side := _IN_FRONT.get(words[0])):
        yield side, words[1:]


def _sided(side: Code, key: str, tables: Tables) -> Named | None:
    """Return the structure `key` on that side, None where it is not known to have sides."""
    named = tables.names.get(key)
    if named and key in tables.paired:
        return replace(named, modifiers=(side,))
    return named if named and named.modifiers == (side,) else None
