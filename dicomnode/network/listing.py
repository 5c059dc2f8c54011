"""List what a source has of what is wanted, series by series."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Protocol

from dicomnode.domain import Uid, Wanted, parse_uid
from dicomnode.errors import Refused
from dicomnode.network.portions import Portion
from dicomnode.network.query import Match

_AT_ONCE = 50  # SOP Instance UIDs in a query
_OF_SERIES = frozenset(  # keys of series (PS3.4 C.6.2.1.3); all others are of studies
    {
        *("Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime"),
        *("BodyPartExamined", "ProtocolName", "PerformedProcedureStepStartDate", "Manufacturer", "StationName"),
    }
)


class Search(Protocol):
    """Asks a source what matches `keys` at `level` (STUDY, SERIES or IMAGE)."""

    def __call__(self, level: str, keys: Match, *, limit: int | None = None) -> tuple[Match, ...]: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a source has of what is wanted, and the UIDs of what it does not have."""

    portions: tuple[Portion, ...]
    unknown: tuple[Uid, ...]

    @property
    def objects(self) -> frozenset[Uid]:
        """Return the SOP Instance UIDs of all that it has."""
        return frozenset(uid for portion in self.portions for uid in portion.objects)


def listing(search: Search, wanted: Wanted, near: Uid | None = None) -> Listing:
    """Return what there is of `wanted`; series and instances are looked for in the study `near` first.

    Elsewhere they are looked for without a study, which is a relational query: a source that refuses it once it was
    asked for `near` does not have them, as far as can be known.
    """
    made = _Listing(search, wanted, near)
    for study in (*wanted.studies, *matching(search, wanted)):
        made.add_study(study)
    for series in wanted.series:
        made.add_series(series)
    made.add_instances(wanted.instances)
    return Listing(portions=tuple(made.portions.values()), unknown=tuple(made.unknown))


def matching(search: Search, wanted: Wanted) -> tuple[Uid, ...]:
    """Return the studies that the query of `wanted` matches, `limit` of them at most.

    Its keys that are of series choose the studies with such a series (PS3.4 C.6.2.1).
    """
    if wanted.query is None:
        return ()
    of_series = {key: value for key, value in wanted.query.items() if key in _OF_SERIES}
    of_studies = {key: value for key, value in wanted.query.items() if key not in _OF_SERIES}
    if "Modality" in of_series:
        of_studies["ModalitiesInStudy"] = of_series["Modality"]
    found = search("STUDY", {"StudyInstanceUID": "", **of_studies}, limit=None if of_series else wanted.limit)
    uids = (_uid(one, "StudyInstanceUID") for one in found)
    fitting = (uid for uid in uids if not of_series or search("SERIES", _below(uid) | of_series))
    return tuple(uid for uid, _ in zip(fitting, range(wanted.limit or len(found)), strict=False))


def counts(search: Search, study_uid: Uid) -> Mapping[Uid, int]:
    """Return how many objects each series of the study has (PS3.4 C.6.2.1.3); they are listed where it is not told."""
    found = search("SERIES", _below(study_uid) | {"NumberOfSeriesRelatedInstances": ""})
    counted: dict[Uid, int] = {}
    for one in found:
        series, told = _uid(one, "SeriesInstanceUID"), one["NumberOfSeriesRelatedInstances"]
        counted[series] = int(told) if told.isdecimal() else len(_objects(search, study_uid, series))
    return counted


def with_dates(query: Mapping[str, str], today: date) -> Mapping[str, str]:
    """Return `query` with the words "today" and "yesterday" in dates as these days are written (PS3.5 6.2, DA)."""
    days = {"today": today, "yesterday": today - timedelta(days=1)}
    made = dict(query)
    for key in query:
        for word, day in days.items() if key.endswith("Date") else ():
            made[key] = made[key].replace(word, f"{day:%Y%m%d}")
    return made


@dataclass(slots=True)
class _Listing:
    """A listing while it is made."""

    search: Search
    wanted: Wanted
    near: Uid | None
    portions: dict[Uid, Portion] = field(default_factory=dict)
    unknown: list[Uid] = field(default_factory=list)

    def add_study(self, study: Uid) -> None:
        """Add the series of `study`, those of the modalities that are wanted."""
        found = self.search("SERIES", _below(study) | {"Modality": ""})
        if not found:
            self.unknown.append(study)
        for one in found:
            if not self.wanted.modalities or one["Modality"] in self.wanted.modalities:
                self._add(study, _uid(one, "SeriesInstanceUID"))

    def add_series(self, series: Uid) -> None:
        """Add a whole series."""
        if series in self.portions:
            return
        for study in self._places():
            found = self._relational("SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": series})
            if found:
                self._add(_uid(found[0], "StudyInstanceUID"), series)
                return
        self.unknown.append(series)

    def add_instances(self, instances: Iterable[Uid]) -> None:
        """Add single instances, or with `around` the whole series that they are in."""
        missing = self._without_listed(instances)
        if missing and self.near:
            for one in self.search("SERIES", _below(self.near)):
                self._take(self.near, _uid(one, "SeriesInstanceUID"), missing)
                missing = self._without_listed(missing)
        while missing:
            some, rest = missing[:_AT_ONCE], missing[_AT_ONCE:]
            for study, series in dict.fromkeys(self._series_of(some)):
                self._take(study, series, missing)
            self.unknown += self._without_listed(some)
            missing = self._without_listed(rest)

    def _places(self) -> tuple[str, ...]:
        return (self.near, "") if self.near else ("",)

    def _relational(self, level: str, keys: Match) -> tuple[Match, ...]:
        try:
            return self.search(level, keys)
        except Refused:
            if keys["StudyInstanceUID"] or not self.near:
                raise
            return ()

    def _series_of(self, instances: list[Uid]) -> Iterator[tuple[Uid, Uid]]:
        keys = {"StudyInstanceUID": "", "SeriesInstanceUID": "", "SOPInstanceUID": "\\".join(instances)}
        for one in self._relational("IMAGE", keys):
            yield _uid(one, "StudyInstanceUID"), _uid(one, "SeriesInstanceUID")

    def _without_listed(self, instances: Iterable[Uid]) -> list[Uid]:
        listed = {uid for portion in self.portions.values() for uid in portion.objects}
        return [uid for uid in instances if uid not in listed]

    def _take(self, study: Uid, series: Uid, instances: list[Uid]) -> None:
        """Add those of `instances` that are in `series`, if there are any."""
        there = _objects(self.search, study, series)
        asked = {uid: there[uid] for uid in instances if uid in there}
        if asked:
            chosen = there if self.wanted.around else asked
            self._put(study, series, chosen, whole=len(chosen) == len(there))

    def _add(self, study: Uid, series: Uid) -> None:
        there = _objects(self.search, study, series)
        if there:
            self._put(study, series, there, whole=True)

    def _put(self, study: Uid, series: Uid, objects: Mapping[Uid, str], *, whole: bool) -> None:
        before = self.portions[series].objects if series in self.portions else {}
        self.portions[series] = Portion(study_uid=study, series_uid=series, objects={**before, **objects}, whole=whole)


def _below(study_uid: Uid) -> dict[str, str]:
    return {"StudyInstanceUID": study_uid, "SeriesInstanceUID": ""}


def _objects(search: Search, study_uid: Uid, series_uid: Uid) -> dict[Uid, str]:
    """Return the SOP Instance UIDs of a series of a source, each with its class."""
    keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid, "SOPInstanceUID": "", "SOPClassUID": ""}
    return {_uid(one, "SOPInstanceUID"): one["SOPClassUID"] for one in search("IMAGE", keys)}


def _uid(found: Match, keyword: str) -> Uid:
    return parse_uid(found[keyword], f"answer to a query, {keyword}")
