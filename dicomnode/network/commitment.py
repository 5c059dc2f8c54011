"""Storage commitment in both roles: ask a peer, hear its reports, be asked, and report (PS3.4 annex J)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from threading import Event
from time import monotonic
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]  # made from a table

from dicomnode.domain import CommitmentReport, SopReference, Uid, parse_uid
from dicomnode.errors import PeerUnreachable, Reason, Refused, Unavailable
from dicomnode.network.associations import Peer, associated, calling_entity
from dicomnode.network.listener import Service

log = logging.getLogger(__name__)

CLASS = UID(StorageCommitmentPushModel)
INSTANCE = UID("1.2.840.10008.1.20.1.1")  # the one that there is (PS3.4 J.3.5)
_SYNTAXES: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_ASK, _ALL_KEPT, _SOME_FAILED = 1, 1, 2  # PS3.4 J.3.2 and J.3.3: Action Type ID, Event Type IDs
_LISTEN_SECONDS = 1.0  # how long a report is waited for in the association in which it was asked for


class Answer(IntEnum):
    """What N-ACTION and N-EVENT-REPORT are answered (PS3.7 annex C)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT = 0x0113
    INVALID_ARGUMENT = 0x0115
    CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a commitment is asked for."""

    transaction_uid: Uid
    objects: tuple[SopReference, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """Whom this module tells.

    `reported` returns whether the transaction of a report is known. `asked` takes a request and the AE title and
    address of who asks; without it nothing is committed to.
    """

    reported: Callable[[CommitmentReport], bool]
    asked: Callable[[Request, tuple[str, str]], None] | None = None


def service(hooks: Hooks) -> Service:
    """Return what a listener offers: reports are heard, and requests taken where `hooks` says so."""
    context = build_context(CLASS, _SYNTAXES)
    context.scu_role = context.scp_role = True  # who reports in an association of its own is SCP and requestor
    handlers = ((evt.EVT_N_EVENT_REPORT, _heard, [hooks]), (evt.EVT_N_ACTION, _asked, [hooks]))
    return Service(contexts=(context,), handlers=handlers)


def ask(peer: Peer, calling_ae: str, request: Request, hooks: Hooks, *, is_open: Callable[[], bool]) -> None:
    """Ask `peer` to commit to objects, and wait a moment for its report while `is_open`; it may come much later.

    Raises as `associated` does, and Refused where the peer does not take the request; some, Orthanc for one, break off
    where they do not know who asks.
    """
    ae = requesting_entity(calling_ae)
    here = Event()

    def heard(event: evt.Event) -> tuple[int, None]:
        answer = _heard(event, hooks)
        here.set()
        return answer

    with associated(ae, peer, handlers=[(evt.EVT_N_EVENT_REPORT, heard)]) as assoc:
        status, _ = assoc.send_n_action(_request(request), _ASK, CLASS, INSTANCE)
        code = status.get("Status")
        if code != Answer.SUCCESS:
            why = "it broke off" if code is None else f"it answered status 0x{code:04X}"
            raise Refused(Reason.PEER_REFUSED, f"storage commitment by {peer}", why)
        deadline = monotonic() + _LISTEN_SECONDS
        while monotonic() < deadline and is_open() and not here.wait(0.05):
            pass


def requesting_entity(calling_ae: str) -> AE:
    """Return an AE that proposes storage commitment."""
    ae = calling_entity(calling_ae)
    ae.add_requested_context(CLASS, _SYNTAXES)
    return ae


def report(peer: Peer, calling_ae: str, found: CommitmentReport) -> None:
    """Tell `peer` in an association of its own what is committed to (PS3.4 J.3.3).

    Raises as `associated` does, and Refused where the peer does not take the report.
    """
    ae = requesting_entity(calling_ae)
    with associated(ae, peer, roles=[build_role(CLASS, scp_role=True)]) as assoc:
        code = report_within(assoc, found)
    if code is None:
        raise PeerUnreachable(f"{peer} did not answer a report on storage commitment")
    if code != Answer.SUCCESS:
        raise Refused(Reason.PEER_REFUSED, f"report to {peer}", f"it answered status 0x{code:04X}")


def report_within(assoc: Association, found: CommitmentReport) -> int | None:
    """Report in an association that is open; return the status that is answered, None where there is none."""
    event_type = _SOME_FAILED if found.failed else _ALL_KEPT
    status, _ = assoc.send_n_event_report(_report(found), event_type, CLASS, INSTANCE)
    code: int | None = status.get("Status")
    return code


def _heard(event: evt.Event, hooks: Hooks) -> tuple[int, None]:
    """Give a report on; success is answered once it is recorded."""
    peer = event.assoc.remote["ae_title"]
    told: dict[str, object] = {"action": "commitment_report_refused", "peer": peer}
    if event.event_type not in (_ALL_KEPT, _SOME_FAILED):
        log.warning("a report on storage commitment has an unknown type", extra=told)
        return Answer.NO_SUCH_EVENT, None
    try:
        known = hooks.reported(_report_of(event.event_information))
    except Refused as error:
        log.warning("a report on storage commitment cannot be read", extra=told | {"reason": error.reason.value})
        return Answer.INVALID_ARGUMENT, None
    except Unavailable:
        log.exception("a report on storage commitment cannot be recorded", extra=told)
        return Answer.PROCESSING_FAILURE, None
    if not known:
        log.warning("a report is on a transaction that nobody here asked for", extra=told)
    return (Answer.SUCCESS if known else Answer.INVALID_ARGUMENT), None


def _asked(event: evt.Event, hooks: Hooks) -> tuple[int, None]:
    """Take a request; what can be said of it is reported later."""
    assoc = event.assoc
    told: dict[str, object] = {"action": "commitment_refused", "peer": assoc.requestor.ae_title}
    if hooks.asked is None:
        log.warning("storage commitment is asked for, and not offered", extra=told)
        return Answer.CLASS_NOT_SUPPORTED, None
    if event.action_type != _ASK:
        return Answer.NO_SUCH_ACTION, None
    try:
        request = _request_of(event.action_information)
        hooks.asked(request, (assoc.requestor.ae_title, assoc.requestor.address or ""))
    except Refused as error:
        log.warning("a request for storage commitment cannot be read", extra=told | {"reason": error.reason.value})
        return Answer.INVALID_ARGUMENT, None
    except Unavailable:
        log.exception("a request for storage commitment cannot be recorded", extra=told)
        return Answer.PROCESSING_FAILURE, None
    return Answer.SUCCESS, None


def _request(request: Request) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = request.transaction_uid
    ds.ReferencedSOPSequence = [_item(one) for one in request.objects]
    return ds


def _report(found: CommitmentReport) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = found.transaction_uid
    ds.ReferencedSOPSequence = [_item(one) for one in found.committed]
    if found.failed:
        ds.FailedSOPSequence = [_item(one, FailureReason=reason) for one, reason in found.failed.items()]
    return ds


def _item(named: SopReference, **elements: Any) -> Dataset:  # noqa: ANN401 - values of elements
    ds = Dataset()
    ds.ReferencedSOPClassUID = named.sop_class_uid
    ds.ReferencedSOPInstanceUID = named.sop_uid
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def _request_of(ds: Dataset) -> Request:
    named = tuple(_named(item) for item in ds.get("ReferencedSOPSequence") or ())
    return Request(transaction_uid=_transaction(ds), objects=named)


def _report_of(ds: Dataset) -> CommitmentReport:
    """Return what a report says; an object without a Failure Reason failed as well (0x0110)."""
    failed = {
        _named(item): int(item.get("FailureReason") or Answer.PROCESSING_FAILURE)
        for item in ds.get("FailedSOPSequence") or ()
    }
    committed = tuple(_named(item) for item in ds.get("ReferencedSOPSequence") or ())
    return CommitmentReport(transaction_uid=_transaction(ds), committed=committed, failed=failed)


def _transaction(ds: Dataset) -> Uid:
    return parse_uid(ds.get("TransactionUID"), "storage commitment, TransactionUID")


def _named(item: Dataset) -> SopReference:
    what = "storage commitment"
    return SopReference(
        parse_uid(item.get("ReferencedSOPClassUID"), f"{what}, ReferencedSOPClassUID"),
        parse_uid(item.get("ReferencedSOPInstanceUID"), f"{what}, ReferencedSOPInstanceUID"),
    )
