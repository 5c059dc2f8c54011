"""Count the processors that this process may use."""

import os


def usable_cpus() -> int:
    """Return how many processors this process may use; where the system does not tell, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
