"""Keep what arrives: durable on disk and in the index before its sender hears of success."""

import logging
from collections.abc import Iterable
from pathlib import Path

from dicomnode.describing import described
from dicomnode.dicom.instances import describe
from dicomnode.dicom.scanning import SCANNED_BYTES, scan
from dicomnode.digests import new_digest
from dicomnode.domain import Instance, Undescribed
from dicomnode.errors import Reason, Refused
from dicomnode.network.part10 import StoreRequest, anonymous_header, header_of
from dicomnode.network.storing import Chunk
from dicomnode.store import arrivals
from dicomnode.store.arrivals import Arrival, Recorded
from dicomnode.store.desk import Desk
from dicomnode.store.pending import Pending
from dicomnode.store.spool import Part

log = logging.getLogger(__name__)


def receive(desk: Desk, request: StoreRequest, data_set: Iterable[Chunk], *, strict: bool = False) -> None:
    """Keep what `request` brings: it is in the spool and in the database, durably, when this returns.

    Its identity comes from the data set alone, and must be what the command said; the rest of its header is read later
    where the identity stands where it is looked for. With `strict`, other bytes under a known UID are refused with
    UID_CONFLICT; else they are kept beside the first.
    """
    header = header_of(request)
    digest, head = new_digest(header), b""
    with desk.spool.writing() as part:
        part.write(header)
        for chunk in data_set:
            part.write(chunk)
            digest.update(chunk)
            if len(head) < SCANNED_BYTES:
                head += chunk[: SCANNED_BYTES - len(head)]
        found = scan(head, request.transfer_syntax_uid, digest.hexdigest())
        instance = found or _described(request, part, len(header), digest.hexdigest())
        request.must_name(instance.sop_class_uid, instance.sop_instance_uid)
        key = _key_of(instance)
        part.keep(key)
        size = part.size
    arrival = Arrival(key=key, size=size, source_ae=request.peer_ae, association_id=request.association_id)
    recorded = arrivals.record(desk.database, instance, arrival, strict=strict)
    if isinstance(instance, Undescribed) and recorded is Recorded.LEFT_OUT:
        recorded = arrivals.record(desk.database, described(desk, Pending(instance, key)), arrival, strict=strict)
    _tell(instance, recorded, desk, key)


def _described(request: StoreRequest, part: Part, start: int, digest: str) -> Instance:
    """Return what the data set is that was written from byte `start` on."""
    source = part.reading(start, anonymous_header(request.transfer_syntax_uid))
    return describe(source, path=Path(f"{request.sop_instance_uid}.dcm"), digest=digest)


def _tell(instance: Instance | Undescribed, recorded: Recorded, desk: Desk, key: str) -> None:
    """Log what the instance was, and refuse it if it was refused."""
    told = {"action": f"instance_{recorded.value}", "sop_instance_uid": instance.sop_instance_uid}
    match recorded:
        case Recorded.NEW | Recorded.DUPLICATE | Recorded.LEFT_OUT:
            log.debug("an instance is kept", extra=told)
        case Recorded.CONFLICT:
            log.warning("UID_CONFLICT: other bytes had this UID before, and stay in use", extra=told)
        case Recorded.REFUSED:
            log.warning("UID_CONFLICT: other bytes had this UID before; these are refused", extra=told)
            desk.spool.delete(key)  # no row knows it
            detail = "other bytes had this SOP Instance UID before"
            raise Refused(Reason.UID_CONFLICT, f"object {instance.sop_instance_uid}", detail)


def _key_of(instance: Instance | Undescribed) -> str:
    """Return where `instance` is kept; other bytes under the same UID get another key."""
    return f"studies/{instance.study_uid}/{instance.series_uid}/{instance.sop_instance_uid}-{instance.digest}.dcm"
