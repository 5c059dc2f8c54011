"""Read the tables of the names that sites give to structures: the shipped one, then a site's own."""

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from dicomnode.domain import Code
from dicomnode.errors import SettingsError
from dicomnode.shared import shared_file

LEFT = Code(value="7771000", scheme="SCT", meaning="Left")
RIGHT = Code(value="24028007", scheme="SCT", meaning="Right")
BILATERAL = Code(value="51440002", scheme="SCT", meaning="Bilateral")

_SHIPPED = "config/labels.toml"
_SEPARATORS = re.compile(r"[\s_\-.,()]+")
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS = re.compile(r"(?<!\d) | (?!\d)")
_MARKS = re.compile(r"[\u0300-\u036f]")  # accents; other scripts' signs tell words apart and stay


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What a name means in codes: property category and type, the side as a modifier, and a colour (R, G, B)."""

    category: Code
    type: Code
    modifiers: tuple[Code, ...] = ()
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """The names of structures by `key_of`, the keys that may bear a side, and the structures by code.

    `types` are (value, scheme) -> the structure without side. `digest` is the sha256 of all files, for the identity
    of what is named by them.
    """

    names: Mapping[str, Named]
    paired: frozenset[str]
    types: Mapping[tuple[str, str], Named]
    digest: str


def read_tables(files: Sequence[Path] = ()) -> Tables:
    """Return the shipped table with those of `files` over it: of several meanings of a name the last counts."""
    names: dict[str, Named] = {}
    paired: set[str] = set()
    types: dict[tuple[str, str], Named] = {}
    digest = hashlib.sha256()
    for path in (shared_file(_SHIPPED), *files):
        content = _content(path)
        digest.update(hashlib.sha256(content).digest())
        entries = _entries(content, path)
        found = _names(entries, path)
        names |= found
        paired -= found.keys()
        paired |= {key_of(words_of(name)) for entry in entries.values() if entry.paired for name in entry.names}
        types |= {entry.code[:2]: entry.named for entry in entries.values()}
    return Tables(names=names, paired=frozenset(paired), types=types, digest=digest.hexdigest())


def words_of(name: str) -> list[str]:
    """Return the words of `name` in lower case without accents: "Nerf_optique (L)" is nerf, optique, l."""
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", name))
    chunks = [chunk for chunk in _SEPARATORS.split(plain) if chunk]
    return [word.casefold() for chunk in chunks for word in _NEW_WORD.split(chunk)]


def key_of(words: Sequence[str]) -> str:
    """Return what is compared: the words in one, but with a space between numbers, so that 1 1 is not 11."""
    return _BETWEEN_WORDS.sub("", " ".join(words))


def _text(text: str, longest: int) -> str:
    if not re.fullmatch(rf"[^\\\x00-\x1f\x7f]{{1,{longest}}}", text) or text != text.strip():
        raise PydanticCustomError("text", "is no text of DICOM", {})
    return text


def _name(text: str) -> str:
    if not key_of(words_of(text)):
        raise PydanticCustomError("name", "is no name", {})
    return text


_Short = Annotated[str, AfterValidator(lambda text: _text(text, 16))]
_Long = Annotated[str, AfterValidator(lambda text: _text(text, 64))]
_Byte = Annotated[int, Field(ge=0, le=255)]
_Name = Annotated[str, AfterValidator(_name)]
_Coding = tuple[_Short, _Short, _Long]

_CODING = "three texts without backslash: a code's value and its scheme (1 to 16 characters), its meaning (1 to 64)"
_NAMES = "a list of names, each with a letter or digit"


class _Entry(BaseModel):
    """A table of a file: a structure, its names and how it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    code: _Coding = Field(strict=False, description=_CODING)
    category: _Coding = Field(
        default=("91723000", "SCT", "Anatomical Structure"), strict=False, description=f"{_CODING}, of PS3.16 CID 7150"
    )
    names: tuple[_Name, ...] = Field(strict=False, min_length=1, description=f"{_NAMES}, one at least")
    paired: bool = Field(default=False, description="true or false")
    both: tuple[_Name, ...] = Field(default=(), strict=False, description=_NAMES)
    left: tuple[_Name, ...] = Field(default=(), strict=False, description=_NAMES)
    right: tuple[_Name, ...] = Field(default=(), strict=False, description=_NAMES)
    colour: tuple[_Byte, _Byte, _Byte] | None = Field(
        default=None, strict=False, description="three whole numbers from 0 to 255: red, green, blue"
    )

    @property
    def named(self) -> Named:
        """Return the structure without side."""
        return Named(category=_code(self.category), type=_code(self.code), colour=self.colour)

    def meanings(self) -> Iterator[tuple[str, Named]]:
        """Yield each name and what it means."""
        sides = ((self.names, ()), (self.both, (BILATERAL,)), (self.left, (LEFT,)), (self.right, (RIGHT,)))
        for names, modifiers in sides:
            yield from ((name, replace(self.named, modifiers=modifiers)) for name in names)


def _code(coding: _Coding) -> Code:
    value, scheme, meaning = coding
    return Code(value=value, scheme=scheme, meaning=meaning)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(str(path), f"is a table of names that cannot be read: {error.strerror}") from error


def _entries(content: bytes, path: Path) -> dict[str, _Entry]:
    """Return the structures in the TOML text `content` of the file `path`, by the names of their tables."""
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), f"byte {error.start} is not UTF-8; a table of names is UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(path), f"is no valid TOML: {error}") from error
    entries: dict[str, _Entry] = {}
    problems: list[str] = []
    for title, table in document.items():
        try:
            entries[title] = _Entry.model_validate(table)
        except ValidationError as error:
            problems.extend(_problem(title, details) for details in error.errors())
    if problems:
        raise SettingsError(str(path), "; ".join(problems))
    return entries


def _problem(title: str, details: ErrorDetails) -> str:
    """Return the sentence on a mistake in the table `title`."""
    where = ".".join((title, *map(str, details["loc"])))
    if not details["loc"]:
        return f"{where}: found {details['input']!r}; allowed: a [{title}] table with code and names"
    key = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return f"{where}: there is no such key; there are: {', '.join(_Entry.model_fields)}"
    allowed = _Entry.model_fields[key].description
    if details["type"] == "missing" and len(details["loc"]) == 1:
        return f"{where} is missing; it must be {allowed}"
    return f"{where}: found {details['input']!r}; allowed: {allowed}"


def _names(entries: Mapping[str, _Entry], path: Path) -> dict[str, Named]:
    """Return the names of `entries` by their keys; one that means two things is a mistake."""
    found: dict[str, Named] = {}
    titles: dict[str, str] = {}
    for title, entry in entries.items():
        for name, named in entry.meanings():
            key = key_of(words_of(name))
            if found.setdefault(key, named) != named:
                raise SettingsError(str(path), f"{title}: the name {name!r} means something else in {titles[key]}")
            titles.setdefault(key, title)
    return found
