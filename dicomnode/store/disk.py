"""Know how much room there is on the disk of the data folder."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

_FRESH_SECONDS = 1.0


class Disk:
    """The disk that `folder` lies on; what is free of it is looked up anew about once a second."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = Lock()
        self._looked_at = -_FRESH_SECONDS
        self._free = 0

    def free_bytes(self) -> int:
        """Return how many bytes may still be written, by whoever is not root."""
        with self._lock:
            now = self._clock()
            if not self._looked_at <= now < self._looked_at + _FRESH_SECONDS:
                found = os.statvfs(self._folder)
                self._free, self._looked_at = found.f_bavail * found.f_frsize, now
            return self._free

    def has(self, wanted: int) -> bool:
        """Return whether there are `wanted` bytes free; always where 0 are wanted, never on a disk that is gone."""
        try:
            return not wanted or self.free_bytes() >= wanted
        except OSError:
            return False
