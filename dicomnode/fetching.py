"""Fetch from other systems what an annotation lacks, or what is pulled, and keep it as if it had been sent."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from dicomnode.domain import Uid, Wanted
from dicomnode.errors import Refused, Unavailable
from dicomnode.network.listing import Listing, counts, listing, matching, with_dates
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.portions import Portion, Recipient
from dicomnode.network.sources import Source
from dicomnode.network.storing import Chunk, Intake
from dicomnode.store import associations, fetches
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.fetches import FetchRow

log = logging.getLogger(__name__)

COUNT_SECONDS = 5.0  # how long a source may take to say how much it has
PULL = "pull "  # how the origin of what the settings pull begins; the name of the pull follows

_TOLD_EVERY = 1.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """Whom to ask, who keeps what comes while there is room, and who knows that it has to be broken off."""

    sources: Sequence[Source]
    intake: Intake
    stopped: Callable[[], bool] = lambda: False

    def must_go_on(self) -> None:
        """Raise Unavailable where nothing more is to come now."""
        if self.stopped():
            raise Unavailable("the node is stopping")
        if not self.intake.room():
            raise Unavailable("there is no room here: less of the disk is free than storage.stop_free_gib says")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What came of asking a source: all that is wanted, or why not and whether to ask it again."""

    complete: bool
    words: str = ""
    again: bool = False


def wanted_of(query: Mapping[str, str] | None, limit: int | None, modalities: Sequence[str] = ()) -> Wanted:
    """Return what is asked for by `query` now; the days that it names by words are those of local time."""
    today = datetime.now().astimezone().date()
    return Wanted(query=query and with_dates(query, today), limit=limit, modalities=tuple(modalities))


def ask_pull(database: Database, name: str, source: str, wanted: Wanted, expires_at: datetime) -> None:
    """Let `wanted`, which the pull `name` of the settings names, be fetched; a run that is going on is enough."""
    origin = f"{PULL}{name}"
    if not fetches.is_open(database, origin):
        number = fetches.ask(database, wanted, origin=origin, source=source, expires_at=expires_at)
        log.info("a pull is due", extra={"action": "pull_due", "pull": name, "source": source, "fetch": number})


def do_next_fetch(desk: Desk, errand: Errand) -> bool:
    """Do the fetch that has been due the longest; return whether there was one."""
    for number in fetches.due(desk.database)[:1]:
        do_fetch(desk, number, errand)
        return True
    return False


def do_fetch(desk: Desk, number: int, errand: Errand) -> None:
    """Do the fetch `number`, if it is due: ask the sources one after the other for what is not here yet.

    It is done when all that is wanted is here. It is tried again later while a source may still give something, until
    it expires, and it fails where none will.
    """
    row = fetches.claim(desk.database, number)
    if row is None:
        return
    associations.close_retrievals(desk.database)
    asked = [one for one in errand.sources if (one.name == row.source if row.source else one.fetch)]
    if row.has_expired(desk.database.now()):
        _fail(desk, row, f"it is given up after {row.attempts - 1} tries; {row.reason or 'nothing was tried'}")
    elif not asked:
        _fail(desk, row, f"there is no source {row.source}" if row.source else "there is no source to ask")
    elif row.wanted.query is not None and row.origin.startswith(PULL):
        _settle(desk, row, [_spread(desk, row, source) for source in asked])
    else:
        answers: list[_Answer] = []
        for source in asked:
            answers.append(_ask(desk, row, source, errand))
            if answers[-1].complete:
                break
        _settle(desk, row, answers)


def count(study_uid: Uid, sources: Sequence[Source], seconds: float = COUNT_SECONDS) -> Mapping[Uid, int] | None:
    """Return how many objects each series of the study has where it has most; None where no source answers."""
    told: list[Mapping[Uid, int]] = []
    for source in sources:
        if source.count:
            try:
                told.append(counts(partial(source.search, seconds=seconds), study_uid))
            except (Refused, Unavailable) as error:
                extra = {"action": "count_failed", "source": source.name, "study": study_uid}
                log.debug("a source does not tell how much it has: %s", type(error).__name__, extra=extra)
    if not told:
        return None
    return {series: max(one.get(series, 0) for one in told) for one in told for series in one}


def missing(database: Database, found: Listing) -> tuple[Portion, ...]:
    """Return what of `found` is not here."""
    known = fetches.here(database, found.objects)
    left = []
    for portion in found.portions:
        objects = {uid: name for uid, name in portion.objects.items() if uid not in known}
        if objects:
            whole = portion.whole and len(objects) == len(portion.objects)
            left.append(replace(portion, objects=objects, whole=whole))
    return tuple(left)


def _ask(desk: Desk, row: FetchRow, source: Source, errand: Errand) -> _Answer:
    """Let `source` give what it has of what is wanted and is not here; return what came of it."""
    refused: set[Uid] = set()
    try:
        found = listing(source.search, row.wanted, row.study_uid)
        _retrieve(desk, source, found, _Progress(desk.database, row.id, found.objects, errand), errand, refused)
    except Unavailable as error:
        return _Answer(complete=False, words=f"{source.name}: {error}", again=True)
    except Refused as error:
        return _Answer(complete=False, words=f"{source.name}: {error}")
    left = found.objects - fetches.here(desk.database, found.objects)
    unknown = frozenset(found.unknown) - fetches.here(desk.database, found.unknown)
    words = [f"{len(refused)} of {len(found.objects)} objects were refused here"] if refused else []
    left -= refused
    words += [f"it did not give {len(left)} of {len(found.objects)} objects"] if left else []
    words += [f"it lacks {len(unknown)} of what is wanted ({_asked(row.wanted)})"] if unknown else []
    again = bool(left) and row.attempts < fetches.ATTEMPTS
    return _Answer(complete=not words, words=f"{source.name}: {' and '.join(words)}", again=again)


def _retrieve(desk: Desk, source: Source, found: Listing, told: "_Progress", errand: Errand, refused: set[Uid]) -> None:
    """Let what of `found` is missing come from `source`; add to `refused` what is refused here.

    A source may say that a retrieval failed where all that it gave was refused here; that is for `refused` to tell.
    """
    told.now()
    portions = missing(desk.database, found)
    try:
        if portions:
            errand.must_go_on()
            source.retrieve(portions, _recipient(desk, errand, refused), told.now_and_then)
    except Unavailable:
        if not refused or any(set(portion.objects) - refused for portion in missing(desk.database, found)):
            raise
    told.now()


def _asked(wanted: Wanted) -> str:
    named = {"studies": wanted.studies, "series": wanted.series, "objects": wanted.instances}
    return ", ".join(f"{len(uids)} {name}" for name, uids in named.items() if uids)


def _spread(desk: Desk, row: FetchRow, source: Source) -> _Answer:
    """Let each study that the query of `row` matches, and that is not here whole, be fetched by itself."""
    try:
        studies = matching(source.search, row.wanted)
        lacking = [uid for uid in studies if missing(desk.database, listing(source.search, Wanted(studies=(uid,))))]
    except Unavailable as error:
        return _Answer(complete=False, words=f"{source.name}: {error}", again=True)
    except Refused as error:
        return _Answer(complete=False, words=f"{source.name}: {error}")
    for uid in lacking:
        whole = Wanted(studies=(uid,), modalities=row.wanted.modalities)
        fetches.ask(
            desk.database, whole, origin=row.origin, study_uid=uid, source=row.source, expires_at=row.expires_at
        )
    fetches.tell(desk.database, row.id, len(studies), len(studies) - len(lacking))
    return _Answer(complete=True)


def _settle(desk: Desk, row: FetchRow, answers: Sequence[_Answer]) -> None:
    reasons = "; ".join(answer.words for answer in answers if answer.words)
    if any(answer.complete for answer in answers):
        if fetches.finish(desk.database, row):
            log.info("a fetch is done", extra=_about(row, "fetch_done"))
    elif any(answer.again for answer in answers):
        wait = fetches.put_back(desk.database, row, reasons)
        told = _about(row, "fetch_postponed") | {"seconds": wait.total_seconds()}
        log.warning("what is missing will be asked for again: %s", reasons, extra=told)
    else:
        _fail(desk, row, reasons)


def _fail(desk: Desk, row: FetchRow, reason: str) -> None:
    fetches.fail(desk.database, row, reason)
    log.error("what is missing does not come: %s", reason, extra=_about(row, "fetch_failed"))


def _about(row: FetchRow, action: str) -> dict[str, object]:
    about: dict[str, object] = {"action": action, "fetch": row.id, "origin": row.origin, "attempts": row.attempts}
    return about | ({"study": row.study_uid} if row.study_uid else {})


def _recipient(desk: Desk, errand: Errand, refused: set[Uid]) -> Recipient:
    def receive(request: StoreRequest, data_set: Iterable[Chunk]) -> None:
        try:
            errand.intake.receive(request, data_set)
        except Refused:
            refused.add(request.sop_instance_uid)
            raise

    return Recipient(
        opened=partial(associations.open_association, desk.database),
        closed=partial(associations.end_association, desk),
        intake=replace(errand.intake, receive=receive),
    )


class _Progress:
    """Records how much of what a source has is here."""

    def __init__(self, database: Database, number: int, objects: Collection[Uid], errand: Errand) -> None:
        self._database, self._number, self._objects = database, number, objects
        self._errand = errand
        self._last = time.monotonic()

    def now(self) -> None:
        """Record it."""
        self._last = time.monotonic()
        here = fetches.here(self._database, self._objects)
        fetches.tell(self._database, self._number, len(self._objects), len(here))

    def now_and_then(self) -> None:
        """Record it, if it was not just recorded; raise Unavailable where the fetch has to be broken off."""
        self._errand.must_go_on()
        if time.monotonic() - self._last >= _TOLD_EVERY:
            self.now()
