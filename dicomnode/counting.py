"""Ask others how many instances they have of the studies that wait: a count that is ours proves that all are here."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from dicomnode.domain import SeriesCount, Uid
from dicomnode.errors import Refused, Unavailable
from dicomnode.store import studies
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)

COUNT_AGAIN = timedelta(seconds=30)  # after another count than is here was told, or none

Count = Callable[[Uid], Mapping[Uid, int] | None]  # a study -> how many instances a PACS has of each of its series


def ask_counts(desk: Desk, count: Count) -> None:
    """Ask `count` about each study that waits and record what it tells; it may take its time, away from the sweeps."""
    for study in studies.to_judge(desk.database):
        series = _to_count(study, desk.database.now())
        if not series:
            continue
        told: dict[Uid, int] = {}
        for uid in dict.fromkeys(one.study_uid for one in series):
            told |= _ask(count, uid)
        answer = {
            "at": desk.database.now().isoformat(),
            "instances": study.evidence["seen"]["instances"],
            "series": {one.series_uid: told[one.series_uid] for one in series if one.series_uid in told},
        }
        studies.note(desk.database, study, {"told": answer})


def _to_count(study: StudyRow, now: datetime) -> tuple[SeriesCount, ...]:
    """Return the series to ask for: none where nothing can be made of `study`, or the last answer is good or new."""
    seen, told = study.evidence.get("seen"), study.evidence.get("told")
    if study.open_associations or seen is None:
        return ()
    series = studies.content_of(study.evidence["content"]).series
    if told is None or told["instances"] != seen["instances"]:
        return series
    equal = all(told["series"].get(one.series_uid) == one.here for one in series)
    return () if equal or datetime.fromisoformat(told["at"]) > now - COUNT_AGAIN else series


def _ask(count: Count, study_uid: Uid) -> Mapping[Uid, int]:
    try:
        return count(study_uid) or {}
    except (Refused, Unavailable) as error:
        log.warning("nobody tells how many instances a study has: %s", error, extra={"action": "count_failed"})
        return {}
    except Exception:  # what an odd answer brings out is not to end the node, at each start anew
        log.exception("a count failed", extra={"action": "count_failed", "study": study_uid})
        return {}
