"""A source in memory that answers queries as an archive does, and gives what it has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BytesIO

from pydicom import Dataset

from dicomnode.errors import DicomNodeError, Reason, Refused
from dicomnode.network.part10 import request_of
from dicomnode.network.portions import Portion, Recipient, Told, recorded
from dicomnode.network.query import Match

_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass(kw_only=True)
class Archive:
    """Holds `objects`; `asked` are the queries and retrievals so far.

    `error` is raised by whatever it is asked. It answers no relational queries unless it is `relational`, tells how
    many objects a series has where it `counts`, and keeps for itself the objects whose UIDs are in `withheld`.
    """

    objects: Sequence[Dataset] = ()
    name: str = "archive"
    fetch: bool = True
    count: bool = True
    pushes: bool = False
    relational: bool = True
    counts: bool = True
    tells_classes: bool = True
    error: DicomNodeError | None = None
    withheld: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    given: Callable[[int], None] = lambda _number: None

    def search(
        self,
        level: str,
        keys: Match,
        *,
        limit: int | None = None,
        seconds: float | None = None,  # noqa: ARG002
    ) -> tuple[Match, ...]:
        """Return what matches."""
        self.asked.append(level)
        if self.error is not None:
            raise self.error
        if level != "STUDY" and not keys["StudyInstanceUID"] and not self.relational:
            raise Refused(Reason.PEER_REFUSED, "query", "no relational queries")
        found = {self._value(ds, _UNIQUE[level]): ds for ds in self.objects if self._matches(ds, keys)}
        return tuple({key: self._value(ds, key) for key in keys} for ds in found.values())[:limit]

    def retrieve(self, portions: Sequence[Portion], recipient: Recipient, told: Told) -> None:
        """Give the objects of `portions`."""
        self.asked.append("retrieve")
        wanted = {uid for portion in portions for uid in portion.objects} - self.withheld
        with recorded(recipient, self.name) as number:
            for given, ds in enumerate((ds for ds in self.objects if ds.SOPInstanceUID in wanted), start=1):
                self.given(given)
                request, data_set = request_of(_file(ds), self.name, number)
                recipient.intake.keep(request, [data_set])
                told()

    def _matches(self, ds: Dataset, keys: Mapping[str, str]) -> bool:
        return all(
            any(fnmatchcase(value, one) for one in wanted.split("\\") for value in self._value(ds, key).split("\\"))
            for key, wanted in keys.items()
            if wanted
        )

    def _value(self, ds: Dataset, keyword: str) -> str:
        if keyword == "NumberOfSeriesRelatedInstances":
            alike = [one for one in self.objects if one.SeriesInstanceUID == ds.SeriesInstanceUID]
            return str(len(alike)) if self.counts else ""
        if keyword == "ModalitiesInStudy":
            of_study = (one for one in self.objects if one.StudyInstanceUID == ds.StudyInstanceUID)
            return "\\".join(sorted({one.Modality for one in of_study}))
        if keyword == "SOPClassUID" and not self.tells_classes:
            return ""
        return str(ds.get(keyword, ""))


def _file(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()
