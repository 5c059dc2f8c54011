"""Open the data folder of a node: for one process alone, its tables up to date, and what a crash left put right."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dicomnode.domain import OutputProfile
from dicomnode.errors import Unavailable
from dicomnode.store import arrivals, associations, deliveries, fetches, runs
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.lock import locked
from dicomnode.store.spool import Spool

log = logging.getLogger(__name__)


@contextmanager
def open_desk(data_dir: Path, destinations: Mapping[str, OutputProfile]) -> Iterator[Desk]:
    """Lend database and spool of `data_dir`, recovered, to this process alone."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds patient data
    except OSError as error:
        raise Unavailable(f"the data folder {data_dir} cannot be made: {error.strerror}") from error
    with locked(data_dir), ExitStack() as opened:
        database = Database(data_dir / "dicomnode.sqlite")
        opened.callback(database.close)
        database.upgrade()
        spool = Spool(data_dir / "spool")
        _recover(database, spool)
        yield Desk(database=database, spool=spool, destinations=destinations)


def _recover(database: Database, spool: Spool) -> None:
    """Put right what a process that died left: open associations, claimed rows, files without a row."""
    found = {
        "associations": associations.close_orphans(database),
        "jobs": len(runs.recover(database)),
        "deliveries": deliveries.recover(database),
        "fetches": fetches.recover(database),
        "files": spool.sweep(arrivals.known_keys(database)),
    }
    if any(found.values()):
        told: dict[str, object] = {"action": "recovered", **found}
        log.warning("the node before this one died: what it left is put right", extra=told)
