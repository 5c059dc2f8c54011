"""The SCU of C-GET and C-MOVE: let a peer give objects (PS3.4 C.4.2 and C.4.3, Study Root)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, StoragePresentationContexts, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicomnode.errors import ClassRefused, PeerUnreachable, Reason, Refused, Unavailable
from dicomnode.network.associations import Peer, associated, calling_entity
from dicomnode.network.contexts import ACCEPTED_SYNTAXES
from dicomnode.network.portions import Portion, Recipient, Told, classes_of, recorded
from dicomnode.network.query import query_of
from dicomnode.network.storing import Intake, Sent

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import C_STORE

GET = UID("1.2.840.10008.5.1.4.1.2.2.3")  # Study Root Query/Retrieve Information Model - GET
MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")  # likewise - MOVE
UNKNOWN = ""  # the SOP class of what a peer does not tell the class of

_MAX_CONTEXTS = 128  # of an association (PS3.8 9.3.2.2)
_AT_ONCE = 50  # SOP Instance UIDs in a request
_PATIENCE = 300.0  # seconds that a peer may take to bring an object from where it keeps it
_MAX_PDU = 131072
_SUCCESS, _PENDING, _CANCELLED, _NO_SUCH_DESTINATION = 0x0000, 0xFF00, 0xFE00, 0xA801
_NO_ROOM, _WARNINGS = range(0xA700, 0xA800), range(0xB000, 0xC000)
_UNABLE = range(0xC000, 0xD000)  # for whatever reason: Orthanc says so, too, where it cannot reach a destination now


def get(peer: Peer, calling_ae: str, portions: Sequence[Portion], recipient: Recipient, told: Told) -> None:
    """Let `peer` send the objects of `portions` in associations that this node opens, and give them to `recipient`.

    What did not come is for the caller to see: a peer may give some and not others. Raises PeerUnreachable where
    another try may help, and Refused where none will.
    """
    what = f"C-GET from {peer}"
    for classes in class_groups(classes_of(portions)):
        ae = requesting_entity(calling_ae, GET)
        contexts = storage_contexts(classes)
        ae.requested_contexts = [*ae.requested_contexts, *contexts]
        offered = {UID(str(context.abstract_syntax)) for context in contexts}
        roles = [build_role(name, scp_role=True) for name in sorted(offered)]
        with associated(ae, peer, roles=roles) as assoc:
            _must_give(assoc, peer)
            with recorded(recipient, peer.ae_title) as number:
                assoc.bind(evt.EVT_C_STORE, _store, [recipient.intake, peer.ae_title, number])
                final = _SUCCESS
                for query in requests_of(portions, classes):
                    final = _follow(assoc.send_c_get(query, GET), what, assoc, told)
                    if _is_failure(final):
                        break
            check_retrieval(final, what)  # the association ends as it should, whatever it brought


def move(peer: Peer, calling_ae: str, portions: Sequence[Portion], told: Told) -> None:
    """Let `peer` send the objects of `portions` to where it knows that `calling_ae` listens; raises as `get` does."""
    what = f"C-MOVE from {peer} to {calling_ae}, which it must know and reach"
    with associated(requesting_entity(calling_ae, MOVE), peer) as assoc:
        for query in requests_of(portions, classes_of(portions)):
            check_retrieval(_follow(assoc.send_c_move(query, calling_ae, MOVE), what, assoc, told), what)


def class_groups(classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield `classes` in groups that have room in one association: each class takes a context for each syntax.

    So the peer can send what it keeps compressed as it is. Those it does not tell the class of come last.
    """
    known = [name for name in classes if name != UNKNOWN]
    size = (_MAX_CONTEXTS - 1) // len(ACCEPTED_SYNTAXES)
    yield from (tuple(known[start : start + size]) for start in range(0, len(known), size))
    if UNKNOWN in classes:
        yield (UNKNOWN,)


def storage_contexts(classes: Sequence[str]) -> list[PresentationContext]:
    """Return the contexts in which a peer may send objects of `classes`.

    For a class that is not known, those are the usual storage classes with all syntaxes in one context each, of which
    the peer takes one.
    """
    if UNKNOWN in classes:
        usual = [UID(str(context.abstract_syntax)) for context in StoragePresentationContexts[: _MAX_CONTEXTS - 1]]
        return [build_context(name, list[str | UID](ACCEPTED_SYNTAXES)) for name in usual]
    return [build_context(name, syntax) for name in classes for syntax in ACCEPTED_SYNTAXES]


def requests_of(portions: Iterable[Portion], classes: Sequence[str]) -> Iterator[Dataset]:
    """Yield the identifiers that ask for the objects of `portions` of these `classes`: by series, or by their UIDs."""
    for portion in portions:
        asked = [uid for uid, name in portion.objects.items() if name in classes]
        above = {"StudyInstanceUID": portion.study_uid, "SeriesInstanceUID": portion.series_uid}
        if portion.whole and asked and len(asked) == len(portion.objects):
            yield query_of("SERIES", above)
            continue
        for start in range(0, len(asked), _AT_ONCE):
            some = "\\".join(asked[start : start + _AT_ONCE])
            yield query_of("IMAGE", above | {"SOPInstanceUID": some})


def requesting_entity(calling_ae: str, model: str) -> AE:
    """Return an AE that proposes `model` and waits long for answers."""
    ae = calling_entity(calling_ae)
    ae.maximum_pdu_size = _MAX_PDU
    ae.dimse_timeout = ae.network_timeout = _PATIENCE
    ae.add_requested_context(model)
    return ae


def check_retrieval(status: int, what: str) -> None:
    """Raise what is to be done about the final status of a retrieval, unless that is nothing (PS3.4 C.4.2.1.5)."""
    if status == _NO_SUCH_DESTINATION:
        detail = "it does not know where this AE title listens (status 0xA801): enter this node there"
        raise Refused(Reason.PEER_REFUSED, what, detail)
    if status in _NO_ROOM or status in _UNABLE or status == _CANCELLED:
        raise PeerUnreachable(f"{what}: it did not work: status 0x{status:04X}")
    if _is_failure(status):
        raise Refused(Reason.PEER_REFUSED, what, f"it answered status 0x{status:04X}")


def _must_give(assoc: Association, peer: Peer) -> None:
    """Refuse a peer that takes no C-GET, or does not want to send objects itself (PS3.7 D.3.3.4)."""
    accepted = assoc.accepted_contexts
    if not any(context.abstract_syntax == GET for context in accepted):
        raise ClassRefused(f"association with {peer}", "it takes no C-GET; retrieve by c-move may do")
    if not any(context.as_scp for context in accepted):
        raise ClassRefused(f"association with {peer}", "it sends nothing by C-GET; retrieve by c-move may do")


def _store(event: evt.Event, intake: Intake, peer_ae: str, number: int) -> int:
    command, context = cast("C_STORE", event.request), event.context
    sent = Sent(
        sop_class_uid=str(command.AffectedSOPClassUID),
        sop_instance_uid=str(command.AffectedSOPInstanceUID),
        abstract_syntax=str(context.abstract_syntax),
        transfer_syntax=str(context.transfer_syntax),
        peer_ae=peer_ae,
    )
    return intake.take(sent, number, iter([event.encoded_dataset(include_meta=False)]))


def _follow(responses: Iterator[tuple[Dataset, Any]], what: str, assoc: Association, told: Told) -> int:
    """Read the answers to a request until it is done; return its final status.

    What `told` raises breaks the retrieval off.
    """
    for status, _ in responses:
        code = status.get("Status")
        if code is None:
            break
        if code != _PENDING:
            return int(code)
        try:
            told()
        except Unavailable:
            assoc.abort()
            raise
    raise PeerUnreachable(f"{what}: it broke off, or did not answer")


def _is_failure(status: int) -> bool:
    """Return whether nothing more is to be asked for; a peer that gave only some of it does not fail."""
    return status != _SUCCESS and status not in _WARNINGS
