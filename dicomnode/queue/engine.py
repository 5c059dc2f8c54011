"""Threads that take work from the tables: a lane does one thing at a time, lanes go on side by side."""

import logging
from collections.abc import Callable, Mapping
from threading import Event, Thread

from dicomnode.errors import Unavailable

log = logging.getLogger(__name__)

Step = Callable[[], bool]  # does the next piece of work; returns whether there was one


class Engine:
    """One thread a lane. Waking it is only a hint: what there is to do stands in the tables.

    A step that is Unavailable is tried again after `pause` seconds. Any other exception ends its lane and is told to
    `on_death`: it is a bug.
    """

    def __init__(self, lanes: Mapping[str, Step], on_death: Callable[[str], None], *, pause: float = 15.0) -> None:
        self._pause = pause
        self._stopping = Event()
        self._on_death = on_death
        self._wake = {name: Event() for name in lanes}
        self._threads = [
            Thread(target=self._run, args=(name, step), name=f"lane {name}", daemon=True)
            for name, step in lanes.items()
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Let every lane look for work now."""
        for event in self._wake.values():
            event.set()

    def stop(self) -> None:
        """Take nothing new; what is being done goes on until `join`."""
        self._stopping.set()
        self.wake()

    def join(self, timeout: float) -> bool:
        """Wait for what is being done, `timeout` seconds a lane; return whether all of it ended."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, name: str, step: Step) -> None:
        try:
            while not self._stopping.is_set():
                self._wake[name].clear()
                if self._try(name, step):
                    self.wake()  # what one lane has done may be work for another
                else:
                    self._wake[name].wait()
        finally:
            if not self._stopping.is_set():
                self._on_death(name)

    def _try(self, name: str, step: Step) -> bool:
        try:
            return step()
        except Unavailable as error:
            log.error("lane %s waits: %s", name, error, extra={"action": "lane_waits"})  # noqa: TRY400
            self._stopping.wait(self._pause)
            return True
