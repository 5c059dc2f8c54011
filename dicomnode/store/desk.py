"""Where rows and files lie, as one value to hand round."""

from collections.abc import Mapping
from dataclasses import dataclass

from dicomnode.domain import OutputProfile
from dicomnode.store.database import Database
from dicomnode.store.queueing import Enqueue, Hurry, leave_to_its_time, leave_to_the_sweep
from dicomnode.store.spool import Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """The node's rows and files, the destinations of results (name -> what is wanted there), and whom to tell.

    The engine hears of turns, the sweeps of what they need not wait for.
    """

    database: Database
    spool: Spool
    destinations: Mapping[str, OutputProfile]
    enqueue: Enqueue = leave_to_the_sweep
    hurry: Hurry = leave_to_its_time
