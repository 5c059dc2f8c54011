"""What a loopback does beside keeping objects: commit to them, truthfully or not, and answer queries for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from pydicom import Dataset
from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.domain import CommitmentReport
from dicomnode.network import commitment
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Service

Has = Callable[[str], bool]  # whether an object is there, by its SOP Instance UID

_NO_SUCH_OBJECT = 0x0112
_PENDING = 0xFF00


@dataclass(kw_only=True, slots=True)
class Commits:
    """How a loopback commits: to whom it reports, and of which objects it says that it failed.

    It reports in a new association to `report_to`, or else in the one in which it was asked; `silent`, never.
    `has` says what it keeps, `asked` are the requests, in order.
    """

    has: Has
    report_to: Peer | None = None
    fails: Has = lambda _uid: False
    silent: bool = False
    asked: list[commitment.Request] = field(default_factory=list)

    def report(self, request: commitment.Request) -> CommitmentReport:
        """Return what is to be reported on `request`."""
        lost = {one for one in request.objects if self.fails(one.sop_uid) or not self.has(one.sop_uid)}
        return CommitmentReport(
            transaction_uid=request.transaction_uid,
            committed=tuple(one for one in request.objects if one not in lost),
            failed=dict.fromkeys(lost, _NO_SUCH_OBJECT),
        )


def kept_in(folder: Path) -> Has:
    """Return what says which objects a loopback keeps in `folder`."""
    return lambda sop_instance_uid: (folder / f"{sop_instance_uid}.dcm").is_file()


def committing(commits: Commits, ae_title: str = "LOOPBACK") -> Service:
    """Return the service of storage commitment, as `commits` says."""
    asked = commitment.service(commitment.Hooks(reported=lambda _report: False, asked=_note(commits)))
    reports = (evt.EVT_DIMSE_SENT, _after_answer, [commits, ae_title])
    return Service(contexts=asked.contexts, handlers=(*asked.handlers, reports))


def finding(has: Has) -> Service:
    """Return the service of C-FIND: an object that is asked for by its UID is found if it is there."""

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        wanted: Any = event.identifier
        if has(str(wanted.SOPInstanceUID)):
            yield _PENDING, wanted

    context = build_context(StudyRootQueryRetrieveInformationModelFind)
    return Service(contexts=(context,), handlers=((evt.EVT_C_FIND, find),))


def _note(commits: Commits) -> Callable[[commitment.Request, tuple[str, str]], None]:
    return lambda request, _peer: commits.asked.append(request)


def _after_answer(event: evt.Event, commits: Commits, ae_title: str) -> None:
    """Report once the request is answered: what is sent before would overtake the answer."""
    if type(event.message).__name__ != "N_ACTION_RSP" or commits.silent or not commits.asked:
        return
    found = commits.report(commits.asked[-1])
    thread = Thread(target=_tell, args=(event.assoc, commits.report_to, ae_title, found), daemon=True)
    thread.start()


def _tell(assoc: Association, report_to: Peer | None, ae_title: str, found: CommitmentReport) -> None:
    if report_to is None:
        commitment.report_within(assoc, found)
    else:
        commitment.report(report_to, ae_title, found)
