"""Where rows and files lie, as one value to hand round."""

from dataclasses import dataclass

from dicomnode.store.database import Database
from dicomnode.store.spool import Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """The node's rows and files, and the names of the destinations that results go to."""

    database: Database
    spool: Spool
    destinations: tuple[str, ...]
