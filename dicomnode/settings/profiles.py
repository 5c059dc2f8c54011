"""The output profiles of the settings file: what a destination gets, and in which form."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dicomnode.domain import SEG_ONLY, ObjectKind, OutputProfile, SegForm, SegSyntax, SegType
from dicomnode.settings.table import Table, matching

# A type, native, or a type and a syntax; RLE Lossless knows no pixels of one bit (PS3.5 A.4.2).
FORMS: Mapping[str, SegForm] = {
    kind.lower() + (f"-{syntax}" if syntax is not SegSyntax.NATIVE else ""): SegForm(type=kind, syntax=syntax)
    for kind, syntax in product(SegType, SegSyntax)
    if (kind, syntax) != (SegType.BINARY, SegSyntax.RLE)
}


def _built_in(name: str, *objects: ObjectKind) -> OutputProfile:
    return OutputProfile(name=name, objects=objects, seg=SEG_ONLY.seg)


BUILT_IN_PROFILES: Mapping[str, OutputProfile] = {
    profile.name: profile
    for profile in (
        SEG_ONLY,
        _built_in("results", ObjectKind.SEG, ObjectKind.SR),
        _built_in("planning", ObjectKind.SEG, ObjectKind.RTSTRUCT),
        _built_in("preview", ObjectKind.SEG, ObjectKind.SC, ObjectKind.PR),
        _built_in("all", *ObjectKind),
    )
}


def _profile_name(text: str) -> str:
    return matching(text, r"[a-z0-9_-]+")


def _forms(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in FORMS:
            raise PydanticCustomError("rule", "there is no {name}", {"name": name})
    return _once(names)


def _once(words: Sequence[str]) -> Sequence[str]:
    for word in words:
        if words.count(word) > 1:
            raise PydanticCustomError("rule", "{word} stands there twice", {"word": word})
    if not words:
        raise PydanticCustomError("rule", "it is empty", {})
    return words


class Profile(Table):
    """What a destination gets, and in which form."""

    name: Annotated[str, AfterValidator(_profile_name)] = Field(
        description=f"lower-case letters, digits, - and _; each name once, and none of: {', '.join(BUILT_IN_PROFILES)}"
    )
    objects: Annotated[Sequence[Annotated[ObjectKind, Field(strict=False)]], AfterValidator(_once)] = Field(
        description=f"a list of: {', '.join(ObjectKind)}; each once, and SR only with SEG"
    )
    seg: Annotated[Sequence[str], AfterValidator(_forms)] = Field(
        default=["binary"], description=f"a list of: {', '.join(FORMS)}; each once"
    )

    @model_validator(mode="after")
    def _has_what_it_refers_to(self) -> Self:
        if ObjectKind.SR in self.objects and ObjectKind.SEG not in self.objects:
            raise PydanticCustomError("rule", "an SR refers to the SEG, so that it goes with SEG only", {})
        return self

    def value(self) -> OutputProfile:
        """Return the profile as the node takes it."""
        kinds = tuple(kind for kind in ObjectKind if kind in self.objects)
        return OutputProfile(name=self.name, objects=kinds, seg=tuple(FORMS[form] for form in self.seg))


def unique_profiles(profiles: tuple[Profile, ...]) -> tuple[Profile, ...]:
    """Return `profiles`, no two of which have the same name, nor that of a built-in one."""
    names = [*BUILT_IN_PROFILES, *(profile.name for profile in profiles)]
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError("rule", "two profiles have the name {name}", {"name": name})
    return profiles
