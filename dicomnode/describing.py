"""Say what the instances are of which only the identity was read when they came, before anybody has to know."""

import logging
from collections.abc import Iterable
from pathlib import Path

from dicomnode.dicom import instances
from dicomnode.domain import Exclusion, Instance, OtherInstance, Uid, Undescribed
from dicomnode.errors import Reason, Refused
from dicomnode.store import arrivals, pending
from dicomnode.store.desk import Desk
from dicomnode.store.pending import Pending

log = logging.getLogger(__name__)

AT_ONCE = 100  # in a transaction
FEW = 20  # instances between two looks that are described beside what comes: of more, a fast sender would be slowed


def instances_of(desk: Desk, study_uid: Uid) -> tuple[Instance, ...]:
    """Return what is used of a study, all of it described."""
    describe_pending(desk, study_uid)
    return arrivals.instances_of(desk.database, desk.spool, study_uid)


def describe_pending(desk: Desk, study_uid: Uid) -> None:
    """Describe what came of the study and is not described yet."""
    while describe_some(desk, study_uid, AT_ONCE):
        pass


def describe_some(desk: Desk, study_uid: Uid, limit: int) -> int:
    """Describe at most `limit` instances of what came of the study and is not described yet; return how many."""
    found = pending.of_study(desk.database, study_uid, limit)
    if found:
        pending.describe(desk.database, [described(desk, one) for one in found])
    return len(found)


def are_few(desk: Desk, studies: Iterable[Uid]) -> bool:
    """Return whether what is not described yet of all `studies` is little enough to be described while more comes."""
    left = FEW
    for study in studies:
        left -= len(pending.of_study(desk.database, study, left + 1))
        if left < 0:
            return False
    return True


def described(desk: Desk, one: Pending) -> Instance:
    """Return what `one` is; what cannot be read, or has another identity than was read first, is none and says why."""
    what = Path(f"{one.instance.sop_instance_uid}.dcm")
    try:
        with desk.spool.open(one.key) as file:
            found = instances.describe(file, path=what, digest=one.instance.digest)
    except Refused as error:
        return _unusable(one, error)
    identity = _identity(one.instance)
    if _identity(found) != identity:
        detail = f"it was read as {' '.join(identity)} first, and as {' '.join(_identity(found))} then"
        return _unusable(one, Refused(Reason.UID_MISMATCH, str(what), detail))
    return found


def _unusable(one: Pending, error: Refused) -> OtherInstance:
    uid = one.instance.sop_instance_uid
    told = {"action": "instance_unusable", "sop_instance_uid": uid, "reason": error.reason.value}
    log.warning("an instance that is kept cannot be used", extra=told)
    return OtherInstance(
        sop_instance_uid=uid,
        sop_class_uid=one.instance.sop_class_uid,
        series_uid=one.instance.series_uid,
        study_uid=one.instance.study_uid,
        digest=one.instance.digest,
        path=Path(f"{uid}.dcm"),
        exclusion=Exclusion.of(error),
    )


def _identity(one: Instance | Undescribed) -> tuple[Uid, ...]:
    return one.sop_class_uid, one.sop_instance_uid, one.study_uid, one.series_uid
