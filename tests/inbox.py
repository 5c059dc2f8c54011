"""What arrives at a node as its tables see it: associations that bring objects, at times that a test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from dicomnode.dispatching import Orders, start_studies
from dicomnode.domain import SEG_ONLY, AssociationEnd, JobOptions, Uid
from dicomnode.network.part10 import StoreRequest
from dicomnode.receiving import receive
from dicomnode.store import arrivals, associations, jobs
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.jobs import JobRow
from dicomnode.store.spool import Spool
from tests.builders import STUDY, ct_series, rtstruct, square
from tests.fakes import FillsTheBox
from tests.rows import Clock

EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbox:
    """A node's tables and spool without the node; `orders` are those of its sweeps."""

    desk: Desk
    clock: Clock
    orders: Orders

    def open(self, caller: str = "SENDER") -> int:
        """Let `caller` open an association."""
        return associations.open_association(self.desk.database, caller)

    def put(self, association: int, *objects: Dataset, caller: str = "SENDER", syntax: str = EXPLICIT) -> None:
        """Let `objects` come in an association, in Explicit or Implicit VR Little Endian."""
        for ds in objects:
            request = StoreRequest(
                sop_class_uid=Uid(ds.SOPClassUID),
                sop_instance_uid=Uid(ds.SOPInstanceUID),
                transfer_syntax_uid=Uid(syntax),
                peer_ae=caller,
                association_id=association,
            )
            encoded = encode(ds, is_implicit_vr=syntax != EXPLICIT, is_little_endian=True)
            assert encoded is not None
            receive(self.desk, request, [encoded])

    def close(self, association: int, ended: AssociationEnd = AssociationEnd.RELEASED) -> None:
        """Let an association end."""
        associations.close_association(self.desk.database, association, ended)

    def send(self, *objects: Dataset, ended: AssociationEnd = AssociationEnd.RELEASED) -> None:
        """Let `objects` come in an association of their own, in a second."""
        association = self.open()
        self.clock.advance(seconds=0.5)
        self.put(association, *objects)
        self.clock.advance(seconds=0.5)
        self.close(association, ended)

    def sweep(self, after: float = 0.0) -> int:
        """Look at the studies so many seconds later; return how many jobs are new."""
        self.clock.advance(seconds=after)
        return start_studies(self.desk, self.orders)

    def study(self, uid: str = STUDY) -> StudyRow:
        """Return where a study stands."""
        study = arrivals.study_of(self.desk.database, Uid(uid))
        assert study is not None
        return study

    def jobs(self) -> tuple[JobRow, ...]:
        """Return the jobs, oldest first."""
        return jobs.all_jobs(self.desk.database)

    def planes(self, row: JobRow) -> list[str]:
        """Return the images of a job."""
        return [
            plane.key.sop_instance_uid for plane in jobs.load(self.desk.database, self.desk.spool, row).images.planes
        ]


def other_study(number: int, planes: int = 6) -> list[Dataset]:
    """Return images, and last a structure set that lists them and is drawn on two, as a study of its own."""
    study = f"{STUDY}.{number}"
    images = ct_series(planes=planes, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.2")
    for index, ds in enumerate(images):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.2.{index}")
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})
    drawn.StudyInstanceUID, drawn.SeriesInstanceUID = study, f"{study}.3"
    drawn.SOPInstanceUID = drawn.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.3.1")
    return [*images, drawn]


@contextmanager
def inbox(folder: Path) -> Iterator[Inbox]:
    """Lend an inbox in `folder` with a destination "pacs"."""
    clock = Clock()
    database = Database(folder / "node.sqlite", clock=clock)
    database.upgrade()
    desk = Desk(database=database, spool=Spool(folder / "spool"), destinations={"pacs": SEG_ONLY})
    orders = Orders(quiet_seconds=10, options=JobOptions(), model=FillsTheBox().identity)
    yield Inbox(desk=desk, clock=clock, orders=orders)
    database.close()
