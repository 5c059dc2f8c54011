"""Compare what came with one SOP Instance UID in other bytes: the same object in another encoding is a duplicate."""

import logging

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.sameness import is_same
from dicomnode.errors import Refused, Unavailable
from dicomnode.store import conflicts
from dicomnode.store.conflicts import Conflict
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)

AT_ONCE = 50  # between two looks at what else is to be done


def settle_conflicts(desk: Desk) -> None:
    """Compare some of what was not compared yet, and record what came of it."""
    found = conflicts.not_compared(desk.database, AT_ONCE)
    if found:
        with Decoders() as decoders:
            for one in found:
                _settle(desk, one, decoders)


def _settle(desk: Desk, found: Conflict, decoders: Decoders) -> None:
    try:
        same = is_same(desk.spool.path(found.used), desk.spool.path(found.key), decoders)
        why = "its elements and pixels are those of the object in use" if same else "an element or a pixel differs"
    except (Refused, OSError) as error:
        same, why = False, f"they cannot be compared: {error}"
    except Unavailable:
        raise
    except Exception as error:
        log.exception("a comparison failed", extra={"action": "comparison_failed", "sop_instance_uid": found.sop_uid})
        same, why = False, f"they cannot be compared, by a bug: {type(error).__name__}"
    conflicts.settle(desk.database, found, same=same, why=why)
    told = {"action": "conflict_settled", "sop_instance_uid": found.sop_uid, "same": same}
    if same:
        log.info("other bytes under a known UID are the same object in another encoding", extra=told)
    else:
        log.warning("UID_CONFLICT: two objects have this UID, and the first stays in use", extra=told)
