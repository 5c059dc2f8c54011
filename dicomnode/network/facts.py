"""What is accepted, proposed and asked for, as plain values: what a conformance statement says of it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from pydicom.uid import UID
from pynetdicom import AE, sop_class
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from dicomnode.errors import ClassRefused, PeerUnreachable, Refused
from dicomnode.network import commitment, query, retrieve
from dicomnode.network.admission import Limits, Rejection
from dicomnode.network.contexts import ACCEPTED_SYNTAXES, VERIFICATION, accepted_contexts
from dicomnode.network.listener import accepting_entity
from dicomnode.network.sender import requesting_entity
from dicomnode.network.statuses import check_status

_ALL_STATUSES = range(0x10000)  # PS3.7 C: 16 bits
_PENDING = range(0xFF00, 0xFF02)


class Named(NamedTuple):
    """A UID and its name."""

    uid: str
    name: str


class Offered(NamedTuple):
    """A presentation context: a class, and the transfer syntaxes in the order they are offered or preferred."""

    sop_class: Named
    syntaxes: tuple[Named, ...]


class Answer(NamedTuple):
    """A range of statuses of C-STORE that a peer may answer, and what becomes of the object then."""

    first: int
    last: int
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """How an application entity associates: its largest PDU in bytes, and for how many seconds it waits for what."""

    implementation_class_uid: str
    implementation_version_name: str
    max_pdu_bytes: int
    max_associations: int
    connection_seconds: float | None
    association_seconds: float | None
    message_seconds: float | None
    idle_seconds: float | None
    checks_called_ae: bool
    checks_calling_ae: bool


def named(uid: str) -> Named:
    """Return `uid` with its name, also of classes that are younger than the dictionary."""
    name = UID(uid).name
    if name == uid:
        keywords = (keyword for keyword, value in vars(sop_class).items() if value == uid)
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", next(keywords, uid))
    return Named(uid, name)


def accepted_classes() -> tuple[Named, ...]:
    """Return the storage classes that the listener accepts, by their names."""
    classes = (named(str(context.abstract_syntax)) for context in accepted_contexts())
    return tuple(sorted((one for one in classes if one.uid != VERIFICATION), key=lambda one: one.name))


def accepted_syntaxes() -> tuple[Named, ...]:
    """Return the transfer syntaxes that it accepts for each of them, what it takes of several offered first."""
    return tuple(named(syntax) for syntax in ACCEPTED_SYNTAXES)


def proposed_contexts(objects: Iterable[tuple[str, str]]) -> tuple[tuple[Named, tuple[Named, ...]], ...]:
    """Return the contexts (class, syntaxes) that the sender proposes for objects of these (class, syntax), in order."""
    entity = requesting_entity("SCU", [(UID(name), UID(syntax)) for name, syntax in objects])
    return tuple(
        (named(str(context.abstract_syntax)), tuple(named(str(one)) for one in context.transfer_syntax))
        for context in entity.requested_contexts
    )


def commitment_accepted() -> tuple[Offered, ...]:
    """Return what the listener accepts for storage commitment."""
    service = commitment.service(commitment.Hooks(reported=lambda _report: False))
    return tuple(_offered(context) for context in service.contexts)


def commitment_proposed() -> tuple[Offered, ...]:
    """Return what is proposed to ask for storage commitment, and to report on it."""
    return tuple(_offered(context) for context in commitment.requesting_entity("SCU").requested_contexts)


def find_proposed() -> tuple[Offered, ...]:
    """Return what is proposed to ask by C-FIND."""
    ae = AE("SCU")
    ae.add_requested_context(sop_class.StudyRootQueryRetrieveInformationModelFind)  # type: ignore[attr-defined]
    return tuple(_offered(context) for context in ae.requested_contexts)


def _offered(context: PresentationContext) -> Offered:
    return Offered(named(str(context.abstract_syntax)), tuple(named(str(one)) for one in context.transfer_syntax))


def acceptor(limits: Limits) -> Policies:
    """Return how the listener associates within `limits`."""
    return replace(
        _policies(accepting_entity("SCP", limits)),
        max_associations=limits.max_associations,
        checks_called_ae=limits.check_called_ae,
        checks_calling_ae=bool(limits.calling_ae_titles),
    )


def rejection_in_words(rejection: Rejection) -> tuple[str, str, str]:
    """Return how `rejection` is told: result, source and reason (PS3.8 table 9-21)."""
    told = A_ASSOCIATE()
    told.result, told.result_source, told.diagnostic = rejection.result, rejection.source, rejection.diagnostic
    pdu = A_ASSOCIATE_RJ(told)
    return pdu.result_str, pdu.source_str, pdu.reason_str


def requestor() -> Policies:
    """Return how the sender associates."""
    return _policies(requesting_entity("SCU", ()))


def answers() -> Iterator[Answer]:
    """Yield what becomes of an object by the status that a peer answers, in ranges that cover all statuses."""
    for outcome, codes in groupby(_ALL_STATUSES, _outcome):
        known = list(codes)
        yield Answer(known[0], known[-1], outcome)


def asked_classes() -> tuple[Named, ...]:
    """Return the classes by which sources are asked for what they have, and for objects."""
    return tuple(named(uid) for uid in (query.MODEL, retrieve.GET, retrieve.MOVE))


def retrieving_contexts() -> int:
    """Return how many classes of objects are retrieved in one association, each in a context for each syntax."""
    some = [f"1.2.{number}" for number in range(len(ACCEPTED_SYNTAXES))]
    return len(next(retrieve.class_groups(some)))


def retrieving() -> Policies:
    """Return how sources are associated with to retrieve from them."""
    return _policies(retrieve.requesting_entity("SCU", retrieve.GET))


def retrieval_answers() -> Iterator[Answer]:
    """Yield what becomes of a retrieval by its final status, in ranges that cover all statuses but the pending ones."""
    for outcome, codes in groupby((one for one in _ALL_STATUSES if one not in _PENDING), _retrieval_outcome):
        known = list(codes)
        yield Answer(known[0], known[-1], outcome)


def _retrieval_outcome(status: int) -> str:
    try:
        retrieve.check_retrieval(status, "retrieval")
    except PeerUnreachable:
        return "asked for again later"
    except Refused:
        return "not asked of this source again"
    return "what came is kept, and what did not is asked for again" if status else "done"


def _outcome(status: int) -> str:
    try:
        check_status(status, "peer", "object")
    except PeerUnreachable:
        return "sent again later"
    except ClassRefused:
        return "not delivered; of a SEG another type is sent instead, where the profile has one (section 4.2.2.3.1)"
    except Refused:
        return "not delivered, and not sent again until somebody replays it"
    return "delivered; the status is logged as a warning" if status else "delivered"


def _policies(entity: AE) -> Policies:
    return Policies(
        implementation_class_uid=str(entity.implementation_class_uid),
        implementation_version_name=str(entity.implementation_version_name),
        max_pdu_bytes=entity.maximum_pdu_size,
        max_associations=entity.maximum_associations,
        connection_seconds=entity.connection_timeout,
        association_seconds=entity.acse_timeout,
        message_seconds=entity.dimse_timeout,
        idle_seconds=entity.network_timeout,
        checks_called_ae=entity.require_called_aet,
        checks_calling_ae=bool(entity.require_calling_aet),
    )
