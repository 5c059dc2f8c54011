"""Change where jobs and deliveries stand on somebody's command, as far as that is legal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dicomnode.domain import DeliveryState, JobState, Uid
from dicomnode.store import deliveries, jobs
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryKey
from dicomnode.store.moves import IllegalMove

_RETRIED = (JobState.REFUSED, JobState.FAILED, JobState.CANCELLED)
_CANCELLED = (JobState.READY, JobState.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What became of a command on one thing: where it stood, and why nothing was changed, None if it was."""

    name: str
    destination: str | None
    before: str
    refusal: str | None


def retry_jobs(database: Database, keys: Iterable[str], who: str) -> tuple[Changed, ...]:
    """Let the jobs `keys`, which were refused, failed or cancelled, be tried again for `who`."""
    return tuple(_job(database, key, _RETRIED, "retried", lambda one: jobs.requeue(database, one, who)) for key in keys)


def cancel_jobs(database: Database, keys: Iterable[str], who: str) -> tuple[Changed, ...]:
    """Cancel the jobs `keys`, which are ready or running, for `who`."""
    return tuple(
        _job(database, key, _CANCELLED, "cancelled", lambda one: jobs.cancel(database, one, who)) for key in keys
    )


def replay_deliveries(database: Database, wanted: Iterable[tuple[str, str]], who: str) -> tuple[Changed, ...]:
    """Let the dead deliveries, `wanted` as (SOP Instance UID, destination), be sent again for `who`."""
    return tuple(_replay(database, sop_uid, destination, who) for sop_uid, destination in wanted)


def _job(
    database: Database, key: str, allowed: tuple[JobState, ...], done: str, change: Callable[[str], None]
) -> Changed:
    before = jobs.job_row(database, key).state
    refusal: str | None = _only(before, allowed, done)
    if before in allowed:
        refusal = _tried(lambda: change(key))
    return Changed(name=key, destination=None, before=before.value, refusal=refusal)


def _replay(database: Database, sop_uid: str, destination: str, who: str) -> Changed:
    row = deliveries.delivery_row(database, DeliveryKey(Uid(sop_uid), destination))
    refusal: str | None = _only(row.state, (DeliveryState.DEAD,), "retried")
    if row.state is DeliveryState.DEAD:
        refusal = _tried(lambda: deliveries.replay(database, row, who))
    return Changed(name=sop_uid, destination=destination, before=row.state.value, refusal=refusal)


def _only(before: JobState | DeliveryState, allowed: tuple[JobState | DeliveryState, ...], done: str) -> str:
    *others, last = allowed
    words = f"{', '.join(others)} or {last}" if others else str(last)
    return f"it is {before}: only what is {words} can be {done}"


def _tried(change: Callable[[], None]) -> str | None:
    """Make the change; return why it is not legal where somebody else was faster, None if it was made."""
    try:
        change()
    except IllegalMove as error:
        return str(error)
    return None
