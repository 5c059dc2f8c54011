"""Keep what arrives: durable on disk and in the index before its sender hears of success."""

import hashlib
import logging
from io import BytesIO
from pathlib import Path

from dicomnode.dicom.instances import describe
from dicomnode.domain import Instance
from dicomnode.network.part10 import StoreRequest, anonymous_header, header_of
from dicomnode.store import arrivals
from dicomnode.store.arrivals import Arrival, Recorded
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)


def receive(desk: Desk, request: StoreRequest, data_set: bytes) -> None:
    """Keep what `request` brings: it is in the spool and in the database, durably, when this returns.

    Its identity comes from the data set alone, and must be what the command said.
    """
    header = header_of(request)
    sha256 = hashlib.sha256(header)
    sha256.update(data_set)
    source = BytesIO(anonymous_header(request.transfer_syntax_uid) + data_set)
    instance = describe(source, path=Path(f"{request.sop_instance_uid}.dcm"), sha256=sha256.hexdigest())
    request.must_name(instance.sop_class_uid, instance.sop_instance_uid)
    key = _key_of(instance)
    desk.spool.put(key, [header, data_set])
    arrival = Arrival(
        key=key,
        size=len(header) + len(data_set),
        source_ae=request.peer_ae,
        association_id=request.association_id,
    )
    recorded = arrivals.record(desk.database, instance, arrival)
    told = {"action": f"instance_{recorded.value}", "sop_instance_uid": instance.sop_instance_uid}
    if recorded is Recorded.CONFLICT:
        log.warning("UID_CONFLICT: other bytes had this UID before, and stay in use", extra=told)
    else:
        log.debug("an instance is kept", extra=told)


def _key_of(instance: Instance) -> str:
    """Return where `instance` is kept; other bytes under the same UID get another key."""
    return f"studies/{instance.study_uid}/{instance.series_uid}/{instance.sop_instance_uid}-{instance.sha256}.dcm"
