"""Look regularly for what has become due; nothing in here needs to survive a restart."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from dicomnode.domain import Cron
from dicomnode.errors import Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """What is done again and again: `every` so many seconds, or at the times of `cron`; a missed one is made up for."""

    do: Callable[[], object]
    every: float = 60.0
    cron: Cron | None = None


class Sweeps:
    """Functions that are called again and again, each never twice at a time.

    One that is Unavailable is logged, once until it works again, and goes on. Any other exception is a bug and told to
    `on_death`.
    """

    def __init__(self, on_death: Callable[[str], None]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it tells of every call
        self._on_death = on_death
        self._failing: set[str] = set()
        self._scheduler = BackgroundScheduler(timezone=UTC)

    def start(self, sweeps: Mapping[str, Sweep]) -> None:
        """Begin to make `sweeps`, each under its name."""
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        pool = {"type": "threadpool", "max_workers": max(len(sweeps), 1)}  # a slow one keeps no other waiting
        self._scheduler.configure(executors={"default": pool}, job_defaults=defaults, timezone=UTC)
        for name, sweep in sweeps.items():
            self._add(name, sweep)
        self._scheduler.start()

    def hurry(self, name: str) -> None:
        """Make the sweep `name` now, unless it is being made; where there is none, as before the start, do nothing."""
        with suppress(JobLookupError):
            self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Stop, once the sweeps that are going on have ended."""
        self._scheduler.shutdown(wait=True)

    def _add(self, name: str, sweep: Sweep) -> None:
        called = {"args": [name, sweep.do], "id": name}
        if sweep.cron:
            self._scheduler.add_job(self._sweep, trigger(sweep.cron), **called)
        else:
            self._scheduler.add_job(self._sweep, "interval", seconds=sweep.every, **called)

    def _sweep(self, name: str, do: Callable[[], object]) -> None:
        try:
            do()
        except Unavailable as error:
            if name not in self._failing:
                self._failing.add(name)
                log.error("sweep %s will be tried again: %s", name, error, extra={"action": "sweep_waits"})  # noqa: TRY400
        except Exception:
            log.exception("sweep %s failed", name, extra={"action": "sweep_failed"})
            self._on_death(name)
        else:
            self._failing.discard(name)


def trigger(when: Cron) -> CronTrigger:
    """Return what tells the times of `when`, in local time."""
    return CronTrigger(
        minute=_list(when.minute),
        hour=_list(when.hour),
        day=_list(when.day),
        month=_list(when.month),
        day_of_week=",".join(when.days_by_name),
    )


def _list(values: Iterable[int]) -> str:
    return ",".join(map(str, values))
