"""Look regularly for what has become due; nothing in here needs to survive a restart."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from dicomnode.domain import Cron

Sweep = Callable[[], None]


class Sweeps:
    """Functions that are called again and again, each never twice at a time."""

    def __init__(self, sweeps: Mapping[str, Sweep], *, every: float) -> None:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it tells of every call
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler = BackgroundScheduler(job_defaults=defaults, timezone=UTC)
        for name, sweep in sweeps.items():
            self._scheduler.add_job(sweep, "interval", seconds=every, id=name)

    def add(self, name: str, when: Cron, sweep: Sweep) -> None:
        """Call `sweep` also at the times of `when`, in local time; one that was missed is made up for once."""
        self._scheduler.add_job(sweep, trigger(when), id=name)

    def start(self) -> None:
        """Begin to sweep."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop, once the sweeps that are going on have ended."""
        self._scheduler.shutdown(wait=True)


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
