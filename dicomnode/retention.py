"""Delete what is done with, by its age and by how full the disk is."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dicomnode.errors import Unavailable
from dicomnode.store import keeping
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)

SETTLE = timedelta(minutes=10)  # what is younger may be about to get a row again: it is left alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """How long what is done with is kept: 0 `days` is for ever, and 0 `clean_free_bytes` whatever room there is."""

    days: float
    clean_free_bytes: int


def delete_old(desk: Desk, keep: Keep) -> int:
    """Delete the finished studies older than is kept, and files laid aside as long ago; return how many studies."""
    if not keep.days:
        return 0
    before = desk.database.now() - max(timedelta(days=keep.days), SETTLE)
    studies = sum(1 for _ in _delete_each(desk, before, "age"))
    strays = keeping.forget_strays(desk.database, before)
    _discard(desk, strays)
    with _disk_errors():
        aside = desk.spool.clear_orphans(before)
    if studies or strays or aside:
        told: dict[str, object] = {"action": "old_deleted", "studies": studies, "strays": len(strays), "aside": aside}
        log.info("what was kept for %g days is deleted", keep.days, extra=told)
    return studies


def make_room(desk: Desk, keep: Keep, free: Callable[[], int]) -> int:
    """Delete finished studies, the oldest first, until enough bytes are `free`; return how many."""
    if free() >= keep.clean_free_bytes:
        return 0
    studies = 0
    for _ in _delete_each(desk, desk.database.now() - SETTLE, "disk"):
        studies += 1
        if free() >= keep.clean_free_bytes:
            break
    if studies:
        told: dict[str, object] = {"action": "room_made", "studies": studies, "free": free()}
        log.warning("the disk filled up: finished studies were deleted before their time", extra=told)
    return studies


def free_bytes(folder: Path) -> int:
    """Return how many bytes may still be written to the disk of `folder`, by whoever is not root."""
    with _disk_errors():
        found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _delete_each(desk: Desk, before: datetime, why: str) -> Iterator[keeping.Deleted]:
    """Delete the studies that are finished since `before`, the oldest first, and yield each once it is gone."""
    for study in keeping.finished(desk.database, before):
        deleted = keeping.forget(desk.database, study, before, why)
        if deleted is None:
            continue
        _discard(desk, deleted.keys)
        told = {"action": "study_deleted", "study": study, "why": why, "instances": deleted.instances}
        log.info("a finished study is deleted", extra=told | {"objects": deleted.objects, "jobs": deleted.jobs})
        yield deleted


def _discard(desk: Desk, keys: Iterable[str]) -> None:
    """Remove the files `keys`, which no row knows any more."""
    with _disk_errors():
        for key in keys:
            desk.spool.discard(key, desk.database.now() - SETTLE)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"what is done with cannot be deleted: {error.strerror}") from error
