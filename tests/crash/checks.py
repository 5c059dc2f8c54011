"""Look, with nothing of the node's own code, whether anything that was acknowledged is lost or was made twice."""

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from blake3 import blake3
from pydicom import dcmread

from tests.crash.modality import Note, data_set_of
from tests.crash.studies import Wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What a node has: its data folder, read while it is stopped."""

    data: Path

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return what the database answers to `query`."""
        uri = f"file:{self.data / 'dicomnode.sqlite'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def files(self) -> dict[str, bytes]:
        """Return every file of the spool by its path there."""
        spool = self.data / "spool"
        paths = sorted(path for path in spool.rglob("*") if not path.is_dir())
        return {path.relative_to(spool).as_posix(): path.read_bytes() for path in paths}


class Archive(Protocol):
    """A PACS with the REST API of Orthanc."""

    def ask(self, path: str, query: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return what it answers."""

    def file(self, instance: str) -> bytes:
        """Return the file of an instance."""


def acknowledged(notes: Iterable[Note]) -> dict[str, str]:
    """Return the SHA-256 of the data set of each object that was answered with success, by UID."""
    return {note.uid: note.sha256 for note in notes if note.status == 0}


def what_is_lost(kept: Kept, acknowledged: dict[str, str]) -> Iterator[str]:
    """Yield what is not as its sender may trust it to be."""
    files, rows = kept.files(), kept.rows("SELECT sop_uid, digest, key, size, conflict FROM instance")
    used = {row["sop_uid"]: row for row in rows if not row["conflict"]}
    for uid, sha256 in acknowledged.items():
        content = files.get(used[uid]["key"]) if uid in used else None
        if uid not in used:
            yield f"{uid}: acknowledged, and there is no row of it"
        elif content is None:
            yield f"{uid}: acknowledged, and {used[uid]['key']} is no file"
        elif (found := hashlib.sha256(data_set_of(content)).hexdigest()) != sha256:
            yield f"{uid}: acknowledged with data set {sha256[:12]}, and {found[:12]} is kept ({len(content)} bytes)"
    for row in rows:
        content = files.get(row["key"], b"")
        if (len(content), blake3(content).hexdigest()) != (row["size"], row["digest"]):
            yield f"{row['sop_uid']}: {len(content)} bytes, and its row says {row['size']} {row['digest'][:12]}"
        if row["conflict"]:
            yield f"{row['sop_uid']}: a conflict, and every sender sends the same bytes"


def what_is_left_over(kept: Kept) -> Iterator[str]:
    """Yield the files that no row knows, and the rows of results whose file is not what they say."""
    files = kept.files()
    made = {row["key"]: row for row in kept.rows("SELECT sop_uid, key, sha256 FROM artifact")}
    known = {row["key"] for row in kept.rows("SELECT key FROM instance")} | made.keys()
    yield from (f"{key}: a file without a row" for key in files.keys() - known)
    for key, row in made.items():
        if hashlib.sha256(files.get(key, b"")).hexdigest() != row["sha256"]:
            yield f"{row['sop_uid']}: a result whose file {key} is not what its row says"


def what_is_not_done(kept: Kept, deliveries: Sequence[str]) -> Iterator[str]:
    """Yield what did not end as it should; `deliveries` are the states in which a delivery may end."""
    for row in kept.rows("SELECT study_uid, state, reason FROM study WHERE state != 'dispatched'"):
        yield f"study {row['study_uid']}: {row['state']}: {row['reason']}"
    for row in kept.rows("SELECT job_key, study_uid, state, reason FROM job WHERE state != 'done'"):
        yield f"job {row['job_key'][:12]} of study {row['study_uid']}: {row['state']}: {row['reason']}"
    for row in kept.rows("SELECT sop_uid, destination, state, reason FROM delivery"):
        if row["state"] not in deliveries:
            yield f"delivery of {row['sop_uid']} to {row['destination']}: {row['state']}: {row['reason']}"
    for row in kept.rows("SELECT id, peer_ae FROM association WHERE closed_at IS NULL"):
        yield f"association {row['id']} of {row['peer_ae']}: it is still open"


def what_the_pacs_lacks(pacs: Archive, kept: Kept, wanted: Iterable[Wanted]) -> Iterator[str]:
    """Yield the SEGs that are not there exactly once, as the PACS itself tells."""
    found: dict[str, tuple[Wanted, str]] = {}
    query = {"Level": "Instance", "Query": {"Modality": "SEG"}}
    for name in pacs.ask("/tools/find", query):
        content = pacs.file(name)
        ds = dcmread(BytesIO(content), stop_before_pixels=True)
        (series,) = ds.ReferencedSeriesSequence
        images, region = (
            len(series.ReferencedInstanceSequence),
            "+".join(one.SegmentLabel for one in ds.SegmentSequence),
        )
        key = Wanted(str(ds.StudyInstanceUID), str(series.SeriesInstanceUID), images, region)
        found[str(ds.SOPInstanceUID)] = key, hashlib.sha256(data_set_of(content)).hexdigest()
    there, asked = Counter(key for key, _ in found.values()), Counter(wanted)
    for key in sorted((asked - there).keys()):
        yield f"{_named(key)}: {there[key]} in the PACS, {asked[key]} wanted"
    for key in sorted((there - asked).keys()):
        uids = ", ".join(uid for uid, (one, _) in found.items() if one == key)
        yield f"{_named(key)}: {there[key]} in the PACS ({uids}), {asked[key]} wanted"
    outbox = {
        row["sop_uid"]: kept.data / "spool" / row["key"] for row in kept.rows("SELECT sop_uid, key FROM artifact")
    }
    for uid, (_, sha256) in found.items():
        if uid not in outbox or hashlib.sha256(data_set_of(outbox[uid].read_bytes())).hexdigest() != sha256:
            yield f"SEG {uid}: the PACS has other bytes than the outbox"


def what_the_log_tells(log: str) -> Iterator[str]:
    """Yield the lines of bugs and of what should not have happened; that the PACS is away is no such thing."""
    for line in log.splitlines():
        if re.match(r"Traceback|\S+ (ERROR|CRITICAL) (?!destination_open )", line):
            yield f"log: {line[:300]}"


def left_of(kept: Kept, deliveries: Sequence[str], segs: int) -> str:
    """Return in words what is still to be done of `segs` SEGs; "" is nothing."""
    ends = {"study": {"dispatched"}, "job": {"done"}, "delivery": {*deliveries}}
    try:
        states = {
            table: Counter(row["state"] for row in kept.rows(f"SELECT state FROM {table}"))  # noqa: S608 - one of ours
            for table in ends
        }
    except sqlite3.OperationalError as error:  # the node has not made it yet
        return str(error)
    left = {table: {one: n for one, n in found.items() if one not in ends[table]} for table, found in states.items()}
    if states["delivery"].total() < segs or any(left.values()):
        return json.dumps({"deliveries": states["delivery"].total(), **left})
    return ""


def _named(key: Wanted) -> str:
    return f"SEG of {key.region} on {key.images} images of series {key.series}"
