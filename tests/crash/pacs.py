"""A PACS that is stopped and started again."""

import time
from pathlib import Path
from threading import Thread

from tests import orthanc


class Pacs:
    """An Orthanc; `asked` is where it can be asked."""

    def __init__(self, folder: Path) -> None:
        self.asked = orthanc.prepared(folder)
        self._folder = folder
        self._process = orthanc.start(self.asked, folder)
        self._away: list[Thread] = []

    def stop_for(self, seconds: float) -> None:
        """Stop it, and start it again after so many seconds; do not wait for that."""
        self.wait()
        self._away.append(Thread(target=self._stop, args=(seconds,)))
        self._away[-1].start()

    def wait(self) -> None:
        """Wait until it is there."""
        for thread in self._away:
            thread.join()

    def end(self) -> None:
        """End it."""
        self.wait()
        self._process.kill()
        self._process.wait()

    def _stop(self, seconds: float) -> None:
        self._process.terminate()
        self._process.wait(60)
        time.sleep(seconds)
        self._process = orthanc.start(self.asked, self._folder)
