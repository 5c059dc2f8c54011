"""Measure how long after the last image of a study its SEG is verified in Orthanc, by storage commitment.

Run it with `make bench`, or with `python tests/bench/turnaround.py`. A structure set that lists every image comes
first, so that evidence starts the study; it is drawn on three planes. The job reads, segments and writes; what is left
besides is the node's own.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE
from sqlalchemy import select

from dicomnode.domain import Uid
from dicomnode.network.associations import Peer
from dicomnode.network.sender import send_all
from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode.store.events import events
from tests import orthanc
from tests.builders import ct_series, rtstruct, save, square
from tests.serving import free_port, serving, until

SIDE = 512
STUDIES = 4  # of each kind: the first, after which everything is loaded, is told apart
KINDS = ((30, 0.0), (120, 0.0), (400, 0.0), (120, 0.04), (400, 0.04))  # images, and seconds from one to the next
_STARTING = 3.0  # seconds until the node's other processes have started, too
_UIDS = count(1)


class Took(NamedTuple):
    """Seconds from the last image on until the study started, and until its SEG was verified; and the job's own."""

    started: float
    verified: float
    job: float


def main() -> None:
    """Print a line for each kind of study."""
    sys.stdout.write(
        f"seconds after the last image of {SIDE} x {SIDE}; median of {STUDIES - 1} studies, and the first\n\n"
    )
    for planes, pause in KINDS:
        first, *others = _studies(planes, pause)
        started, verified, job = (median(one) for one in zip(*others, strict=True))
        beside = median(one.verified - one.job for one in others)
        sending = f"one each {1000 * pause:.0f} ms" if pause else "as fast as they go"
        line = f"{planes:4} images, {sending:<19} verified {verified:5.2f}, job {job:5.2f}, beside it {beside:5.2f}"
        line += f" (started {started:5.2f}); the first {first.verified:5.2f}, job {first.job:5.2f}"
        sys.stdout.write(line + "\n")


def _studies(planes: int, pause: float) -> Iterator[Took]:
    with TemporaryDirectory(prefix="dicomnode-bench-") as folder:
        port = free_port()
        known = Peer(ae_title="DICOMNODE", host="127.0.0.1", port=port)
        with orthanc.running(Path(folder) / "orthanc", known) as pacs:
            node = serving(Path(folder), pacs.peer, quiet_seconds=60, listener={"port": port})
            with node.running(), node.database() as database:
                time.sleep(_STARTING)
                for number in range(STUDIES):
                    study = _study(planes)
                    if pause:
                        _send_slowly(study, node.peer, pause)
                    else:
                        send_all(save(study, Path(folder) / str(number)), node.peer, "SENDER")
                    until(partial(_has_verified, database, number), 120)
                    yield _took(database, Uid(study[0].StudyInstanceUID))


def _has_verified(database: Database, before: int) -> bool:
    return len(events(database, "delivery_verified")) > before


def _study(planes: int) -> list[Dataset]:
    """Return a structure set and the images that it lists, with UIDs of their own."""
    root = f"1.2.826.0.1.{next(_UIDS)}"
    images = ct_series(planes=planes, shape=(SIDE, SIDE), StudyInstanceUID=f"{root}.1", SeriesInstanceUID=f"{root}.2")
    for number, ds in enumerate(images):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{root}.2.{number}")
    spots = [square(200, 200, 260, 250, float(images[number].ImagePositionPatient[2])) for number in (9, 10, 11)]
    drawn = rtstruct(images, {"liver": spots})
    drawn.StudyInstanceUID, drawn.SeriesInstanceUID = f"{root}.1", f"{root}.4"
    drawn.SOPInstanceUID = drawn.file_meta.MediaStorageSOPInstanceUID = UID(f"{root}.3")
    return [drawn, *images]


def _send_slowly(study: Sequence[Dataset], peer: Peer, pause: float) -> None:
    ae = AE("SENDER")
    for sop_class in {ds.SOPClassUID for ds in study}:
        ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae_title)
    due = time.monotonic()
    for ds in study:
        time.sleep(max(0.0, due - time.monotonic()))
        if (answer := association.send_c_store(ds).get("Status")) != 0:
            raise RuntimeError(f"an object was not taken: {answer or 'no answer came'}")
        due += pause
    association.release()


def _took(database: Database, study: Uid) -> Took:
    came = tables.instance.c
    latest = select(came.received_at).where(came.study_uid == study).order_by(came.received_at.desc()).limit(1)
    with database.read() as connection:
        last = connection.execute(latest).scalar_one()
    (started, done, verified) = (
        events(database, what)[-1] for what in ("study_dispatched", "job_done", "delivery_verified")
    )
    return Took(
        started=(started.at - last).total_seconds(),
        verified=(verified.at - last).total_seconds(),
        job=float(done.details["seconds"]),
    )


if __name__ == "__main__":
    main()
