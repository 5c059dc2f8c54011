"""The other systems of the settings file: where results go, who is asked for what is missing, and what is pulled."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from dicomnode.dicom.keywords import is_keyword
from dicomnode.domain import SEG_ONLY, Proof, parse_cron
from dicomnode.settings.profiles import BUILT_IN_PROFILES
from dicomnode.settings.table import AE_TITLE, HOST, AeTitle, Host, Name, Table, absolute, matching


class DestinationKind(StrEnum):
    """How a destination is reached."""

    DICOM = "dicom"  # C-STORE
    STOW = "stow"  # STOW-RS (PS3.18 10.5)
    FOLDER = "folder"  # files


class SourceKind(StrEnum):
    """How a source is asked."""

    DICOM = "dicom"  # C-FIND, and C-GET or C-MOVE
    DICOMWEB = "dicomweb"  # QIDO-RS and WADO-RS


class Retrieve(StrEnum):
    """How a DICOM source gives what it has."""

    C_GET = "c-get"
    C_MOVE = "c-move"


def _url(text: str) -> str:
    return matching(text, r"https?://[^\s]+")


def _keywords(query: Mapping[str, str]) -> Mapping[str, str]:
    for key in query:
        if not is_keyword(key):
            raise PydanticCustomError("rule", "{key} is no DICOM keyword", {"key": key})
    return query


def _cron(text: str) -> str:
    try:
        parse_cron(text)
    except ValueError as error:
        raise PydanticCustomError("rule", "{error}", {"error": str(error)}) from error
    return text


URL = "an address that begins with http:// or https://"
PORT = "a whole number from 1 to 65535"
AUTHORIZATION = "the path of a file whose first line is the value of the HTTP header Authorization"
Url = Annotated[str, AfterValidator(_url)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(absolute)]


def _must_have(table: Table, kind: str, *names: str) -> None:
    """Refuse `table`, which is of `kind`, unless `names` are set in it."""
    missing = [name for name in names if getattr(table, name) is None]
    if missing:
        raise PydanticCustomError("rule", "{kind} needs {names}", {"kind": kind, "names": " and ".join(missing)})


class Destination(Table):
    """A system that results are sent to."""

    name: Name
    kind: DestinationKind = Field(
        default=DestinationKind.DICOM, strict=False, description=f"one of: {', '.join(DestinationKind)}"
    )
    ae_title: AeTitle | None = Field(default=None, description=AE_TITLE)
    host: Host | None = Field(default=None, description=HOST)
    port: int | None = Field(default=None, ge=1, le=65535, description=PORT)
    url: Url | None = Field(default=None, description=URL)
    authorization_file: FilePath | None = Field(default=None, description=AUTHORIZATION)
    path: FilePath | None = Field(default=None, description="the path of a folder")
    profile: str = Field(
        default=SEG_ONLY.name,
        description=f"one of: {', '.join(BUILT_IN_PROFILES)}, or the name of a [[profiles]] table",
    )
    proof: Proof = Field(default=Proof.AUTO, strict=False, description=f"one of: {', '.join(Proof)}")

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        needed = {
            DestinationKind.DICOM: ("ae_title", "host", "port"),
            DestinationKind.STOW: ("url",),
            DestinationKind.FOLDER: ("path",),
        }
        _must_have(self, self.kind, *needed[self.kind])
        if self.proof is Proof.COMMITMENT and self.kind is not DestinationKind.DICOM:
            raise PydanticCustomError("rule", "storage commitment is of DICOM destinations", {})
        return self


class Source(Table):
    """A system that is asked for objects which are missing here, and for how many it has."""

    name: Name
    kind: SourceKind = Field(default=SourceKind.DICOM, strict=False, description=f"one of: {', '.join(SourceKind)}")
    ae_title: AeTitle | None = Field(default=None, description=AE_TITLE)
    host: Host | None = Field(default=None, description=HOST)
    port: int | None = Field(default=None, ge=1, le=65535, description=PORT)
    retrieve: Retrieve = Field(default=Retrieve.C_GET, strict=False, description=f"one of: {', '.join(Retrieve)}")
    url: Url | None = Field(default=None, description=URL)
    authorization_file: FilePath | None = Field(default=None, description=AUTHORIZATION)
    fetch: bool = Field(default=True, description="true or false")
    count: bool = Field(default=True, description="true or false")

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        needed = {SourceKind.DICOM: ("ae_title", "host", "port"), SourceKind.DICOMWEB: ("url",)}
        _must_have(self, self.kind, *needed[self.kind])
        return self


class Pull(Table):
    """Something that is regularly fetched from a source."""

    name: Name
    source: str = Field(description="the name of a [[sources]] table")
    cron: Annotated[str, AfterValidator(_cron)] = Field(
        description="five fields: minute, hour, day of month, month, day of week"
    )
    query: Annotated[Mapping[str, str], AfterValidator(_keywords)] = Field(
        default={}, description='a table of DICOM keywords and values, such as {Modality = "RTSTRUCT"}'
    )
    limit: int = Field(default=100, ge=1, description="a whole number, 1 or more")
