"""Send objects as a modality does: batch by batch, and again, after whatever breaks, what was not acknowledged.

Each acknowledged object is noted durably, with the SHA-256 of the bytes that were sent as its data set.
"""

import hashlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import IO

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association

_BEFORE_META = 144  # preamble, prefix, and the element that says how long the file meta information is (PS3.10 7.1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a modality sends to the port of 127.0.0.1, as files; the times are means, in seconds."""

    ae_title: str
    port: int
    batches: tuple[tuple[str, ...], ...]
    between_batches: float
    between_objects: float
    breaks_off: float  # how probable it is that it breaks off an association after an object
    seed: int
    notes: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What was answered to an object that was sent; None is no answer."""

    uid: str
    sha256: str
    status: int | None


def main() -> None:
    """Carry out the plan in the file that the command line names."""
    asked = json.loads(Path(sys.argv[1]).read_text())
    plan = Plan(**asked)
    random = Random(plan.seed)  # noqa: S311 - no secret
    _config.STORE_SEND_CHUNKED_DATASET = True  # the bytes of the file go out as they are
    with Path(plan.notes).open("a") as notes:
        for batch in plan.batches:
            left = [Path(name) for name in batch]
            while left:
                left = _send(plan, left, notes, random)
            time.sleep(random.expovariate(1) * plan.between_batches)
    while not _release(plan):  # it is there again after an association that broke with all objects acknowledged
        time.sleep(0.3)


def notes_in(path: Path) -> list[Note]:
    """Return what a modality noted."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Note(**json.loads(line)) for line in lines if line.endswith("\n")]


def data_set_of(content: bytes) -> bytes:
    """Return what stands behind the file meta information of a Part 10 file, as bytes."""
    return content[_BEFORE_META + int.from_bytes(content[_BEFORE_META - 4 : _BEFORE_META], "little") :]


def _send(plan: Plan, left: list[Path], notes: IO[str], random: Random) -> list[Path]:
    """Send the files in one association; return those that are to be sent again."""
    assoc = _associate(plan)
    if assoc is None:
        time.sleep(random.uniform(0.1, 0.4))
        return left
    for number, path in enumerate(left):
        if not _store(assoc, path, notes):
            if assoc.is_established:
                assoc.abort()
            return left[number:]
        time.sleep(random.uniform(0, 2 * plan.between_objects))
        if random.random() < plan.breaks_off:
            assoc.abort()
            return left[number + 1 :]
    assoc.release()
    return []


def _release(plan: Plan) -> bool:
    """Open an association and release it; return whether both were done."""
    assoc = _associate(plan)
    if assoc is None or not assoc.is_established:
        return False
    assoc.release()
    return assoc.is_released


def _associate(plan: Plan) -> Association | None:
    ae = AE(plan.ae_title)
    ae.connection_timeout, ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = 5, 20, 60, 60
    ae.requested_contexts = [
        build_context(name, syntax)
        for name in (CTImageStorage, RTStructureSetStorage)
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]
    assoc = ae.associate("127.0.0.1", plan.port, ae_title="DICOMNODE")
    return assoc if assoc.is_established else None


def _store(assoc: Association, path: Path, notes: IO[str]) -> bool:
    """Send the file, and note the answer durably; return whether it was success."""
    sha256 = hashlib.sha256(data_set_of(path.read_bytes())).hexdigest()
    try:
        status: int | None = assoc.send_c_store(path).get("Status")
    except (OSError, RuntimeError):  # the association has ended
        status = None
    notes.write(json.dumps(asdict(Note(uid=path.stem, sha256=sha256, status=status))) + "\n")
    notes.flush()
    os.fsync(notes.fileno())
    return status == 0


if __name__ == "__main__":
    main()
