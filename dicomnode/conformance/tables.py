"""Make the tables on networking, reading and configuration from what the code does."""

import json
from collections.abc import Iterable, Iterator, Mapping

from dicomnode.conformance.created import OF_COLOURS, Made
from dicomnode.conformance.markdown import table
from dicomnode.dicom.codes import CATEGORY_OF_GROUP
from dicomnode.dicom.conformity.abilities import Use, character_sets, reads_pixels, use_of
from dicomnode.dicom.labels import read_tables
from dicomnode.dicom.prompts.references import KINDS
from dicomnode.domain import AnnotationKind, SegSyntax
from dicomnode.errors import Reason, Refused
from dicomnode.network.admission import CALLED_AE, CALLING_AE, NO_ROOM, NOT_NOW, TOO_MANY, Limits, Rejection
from dicomnode.network.commitment import Answer
from dicomnode.network.contexts import VERIFICATION
from dicomnode.network.facts import (
    Offered,
    Policies,
    accepted_classes,
    accepted_syntaxes,
    acceptor,
    answers,
    asked_classes,
    commitment_accepted,
    commitment_proposed,
    find_proposed,
    named,
    proposed_contexts,
    rejection_in_words,
    requestor,
    retrieval_answers,
    retrieving,
    retrieving_contexts,
)
from dicomnode.network.statuses import Status, status_of
from dicomnode.settings import Delivery, Destination, Listener, Node, Profile, Pull, Readiness, Source
from dicomnode.settings.profiles import BUILT_IN_PROFILES, FORMS
from dicomnode.settings.table import Table

_READ: Mapping[AnnotationKind, str] = {
    AnnotationKind.RTSTRUCT: "ROIs of organs and targets: names, types, colours, contours, and the images they are on",
    AnnotationKind.SR: "image regions in the content tree: names, findings, sites and tracking identifiers",
    AnnotationKind.SEG: "segments, binary, fractional and of label maps: descriptions, and where frames have pixels",
    AnnotationKind.PR: "graphic annotations that enclose something, and the images they refer to",
}
_ANSWERED: Mapping[Status, tuple[str, str]] = {  # what PS3.4 B.2.3 calls it, and when it is answered
    Status.SUCCESS: (
        "Success",
        "The object is on the disk and recorded; also where the same bytes were received before.",
    ),
    Status.OUT_OF_RESOURCES: (
        "Refused: out of resources",
        "No room on the disk, or less than `storage.stop_free_gib`; or the database cannot be written. Send it again.",
    ),
    Status.MISMATCH: (
        "Error: data set does not match SOP class",
        "The request names another SOP class or instance than the data set or the presentation context.",
    ),
    Status.CANNOT_UNDERSTAND: (
        "Error: cannot understand",
        "The data set cannot be read, or an identifier in it is no UID.",
    ),
    Status.MISSING_UID: (
        "Error: cannot understand",
        "The data set has no SOP Class, SOP Instance, Study Instance or Series Instance UID.",
    ),
    Status.TOO_LARGE: (
        "Error: cannot understand",
        "The data set is larger than `listener.max_object_gib` says, or its header larger than is read.",
    ),
    Status.UID_CONFLICT: (
        "Error: cannot understand",
        "Other bytes were received under this SOP Instance UID, and `listener.strict` is set.",
    ),
}
_REJECTED: tuple[tuple[Rejection, str], ...] = (  # in the order that they are looked for
    (CALLED_AE, "The called AE title is another one than the node's."),
    (CALLING_AE, "The calling AE title is not among those that may call."),
    (NO_ROOM, "Objects would be sent, and less of the disk is free than `storage.stop_free_gib` says."),
    (TOO_MANY, "As many associations are open as may be, in all or of this AE title at this address."),
    (NOT_NOW, "The database cannot be written."),
)


_OF_COMMITMENT: Mapping[Answer, str] = {
    Answer.SUCCESS: "The request, or the report, is recorded; also where it came before.",
    Answer.PROCESSING_FAILURE: "It cannot be recorded now. Send it again.",
    Answer.NO_SUCH_EVENT: "The event type of a report is neither 1 nor 2.",
    Answer.INVALID_ARGUMENT: "An identifier in it is no UID, or a report is on a transaction that was not asked for.",
    Answer.CLASS_NOT_SUPPORTED: "It is a request, and `listener.storage_commitment` is not set.",
    Answer.NO_SUCH_ACTION: "The action type of a request is not 1.",
}
_SETTINGS: tuple[tuple[str, type[Table], tuple[str, ...]], ...] = (
    ("node", Node, ("ae_title", "device_serial_number")),
    ("listener", Listener, tuple(Listener.model_fields)),
    ("readiness", Readiness, tuple(Readiness.model_fields)),
    ("delivery", Delivery, tuple(Delivery.model_fields)),
    ("destinations.NAME", Destination, tuple(name for name in Destination.model_fields if name != "name")),
    ("profiles.NAME", Profile, tuple(Profile.model_fields)),
    ("sources.NAME", Source, tuple(Source.model_fields)),
    ("pulls.NAME", Pull, tuple(Pull.model_fields)),
)
_MINUTE = 60
_FIXED = "none: it is fixed"


def services(made: tuple[Made, ...]) -> str:
    """Return which SOP classes are used and provided."""
    verification = named(VERIFICATION)
    used = [*(one.contents.sop_class_uid for one in made), OF_COLOURS[1]]
    storage = {uid: named(uid).name for uid in used}
    rows = [(verification.name, verification.uid, "yes", "yes")]
    rows += [(name, uid, "yes", "yes") for uid, name in storage.items()]
    rows += [(*one.sop_class[::-1], "yes", "where it is set") for one in commitment_accepted()]
    rows += [(one.name, one.uid, "yes", "no") for one in asked_classes()]
    others = len(accepted_classes()) - len(storage)
    rows.append((f"{others} other storage classes", "section 8.7", "no", "yes"))
    return table(("SOP class", "UID", "User (SCU)", "Provider (SCP)"), rows)


def classes() -> str:
    """Return every storage class that is accepted, and what its instances are good for."""
    rows = ((one.name, one.uid, use_of(one.uid)) for one in accepted_classes())
    return table(("SOP class", "UID", "Used as"), rows)


def class_counts() -> str:
    """Return how many classes are good for what."""
    uses = [use_of(one.uid) for one in accepted_classes()]
    rows = [(use, uses.count(use)) for use in Use]
    return table(("Used as", "SOP classes"), rows)


def annotations() -> str:
    """Return the classes that prompts are read from, and what is read of them."""
    rows = ((named(uid).name, uid, kind, _READ[kind]) for uid, kind in KINDS.items())
    return table(("SOP class", "UID", "Kind", "What is read"), rows)


def syntaxes() -> str:
    """Return the transfer syntaxes that are accepted, the preferred first, and whether their pixels can be read."""
    rows = (
        (number, one.name, one.uid, "yes" if reads_pixels(one.uid) else "no")
        for number, one in enumerate(accepted_syntaxes(), start=1)
    )
    return table(("Order", "Transfer syntax", "UID", "Pixels are read"), rows)


def proposals(made: tuple[Made, ...]) -> str:
    """Return the presentation contexts that are proposed for each kind of object, and which only by a profile."""
    rows = []
    native = str(SegSyntax.NATIVE.uid)
    of_made = [(one.title, one.contents.sop_class_uid, one.contents.transfer_syntax_uid, one.type) for one in made]
    for title, name, own, seg_type in (*of_made, (*OF_COLOURS, native, None)):
        forms = {str(form.syntax.uid): word for word, form in FORMS.items() if form.type is seg_type}
        for _, offered in proposed_contexts([(name, own), *((name, uid) for uid in forms)]):
            (syntax,) = offered
            when = f"where the profile has `{forms[syntax.uid]}`" if syntax.uid in forms.keys() - {native} else "always"
            abstract = f"{named(name).name}, {name}"
            rows.append((title, abstract, f"{syntax.name}, {syntax.uid}", when, "SCU", "none"))
    headings = ("Object", "Abstract syntax", "Transfer syntax", "Proposed", "Role", "Extended negotiation")
    return table(headings, rows)


def profiles() -> str:
    """Return the built-in output profiles: what a destination gets of each."""
    rows = ((f"`{name}`", ", ".join(profile.objects)) for name, profile in BUILT_IN_PROFILES.items())
    return table(("Profile", "Results"), rows)


def answered_statuses() -> str:
    """Return the statuses that C-STORE is answered with."""
    reasons: dict[Status, list[str]] = {}
    for reason in Reason:
        reasons.setdefault(status_of(Refused(reason, "", "")), []).append(reason)
    rows = []
    for status in Status:
        words = ", ".join(reasons.get(status, [])) if status is not Status.CANNOT_UNDERSTAND else "any other"
        rows.append((f"0x{status:04X}", *_ANSWERED[status], words))
    return table(("Status", "Meaning", "When", "Reason in the log"), rows)


def peer_statuses() -> str:
    """Return what becomes of an object by the status that a destination answers."""
    rows = (
        (f"0x{one.first:04X}" if one.first == one.last else f"0x{one.first:04X} to 0x{one.last:04X}", one.outcome)
        for one in answers()
    )
    return table(("Status", "The object is"), rows)


def commitment_contexts() -> str:
    """Return the presentation contexts that the listener accepts for storage commitment."""
    return _contexts(commitment_accepted(), "SCU and SCP")


def commitment_reports() -> str:
    """Return the presentation contexts in which a report is sent."""
    return _contexts(commitment_proposed(), "SCP")


def proof_contexts() -> str:
    """Return the presentation contexts that are proposed to have a delivery proven."""
    return _contexts((*commitment_proposed(), *find_proposed()), "SCU")


def _contexts(offered: Iterable[Offered], role: str) -> str:
    rows = [
        (f"{one.sop_class.name}, {one.sop_class.uid}", "; ".join(f"{name}, {uid}" for uid, name in one.syntaxes), role)
        for one in offered
    ]
    return table(("Abstract syntax", "Transfer syntaxes", "Role"), rows)


def commitment_answers() -> str:
    """Return the statuses that requests for storage commitment, and reports on it, are answered with."""
    return table(("Status", "When"), ((f"0x{status:04X}", when) for status, when in _OF_COMMITMENT.items()))


def asked() -> str:
    """Return the classes by which sources are asked."""
    return table(("SOP class", "UID", "Role"), ((one.name, one.uid, "SCU") for one in asked_classes()))


def retrieval_statuses() -> str:
    """Return what becomes of a retrieval by the final status that a source answers."""
    rows = (
        (f"0x{one.first:04X}" if one.first == one.last else f"0x{one.first:04X} to 0x{one.last:04X}", one.outcome)
        for one in retrieval_answers()
    )
    return table(("Final status", "What is asked for is"), rows)


def retrieving_policies() -> str:
    """Return how sources are associated with."""
    found = retrieving()
    rows = [
        ("Maximum number of simultaneous associations", 1, _FIXED),
        *_policies(found, _FIXED),
        ("SOP classes of objects in an association of C-GET", retrieving_contexts(), _FIXED),
        ("Waits for a connection", f"{found.connection_seconds:g} s", _FIXED),
        ("Waits for the answer to an association request", f"{found.association_seconds:g} s", _FIXED),
        ("Waits for an answer in a retrieval", f"{found.message_seconds:g} s", _FIXED),
    ]
    return table(("Policy", "Value", "Setting"), rows)


def accepting() -> str:
    """Return how the listener associates, with the settings that no file changes."""
    limits = Listener()
    found = acceptor(
        Limits(
            max_associations=limits.max_associations,
            max_pdu_bytes=limits.max_pdu_bytes,
            idle_seconds=limits.idle_seconds,
            check_called_ae=limits.require_called_ae_title,
            calling_ae_titles=tuple(limits.calling_ae_titles),
        )
    )
    of_peer = limits.max_associations_per_peer or "no limit of its own"
    rows = [
        ("Maximum number of simultaneous associations", found.max_associations, "`listener.max_associations`"),
        ("Of one AE title at one address", of_peer, "`listener.max_associations_per_peer`"),
        *_policies(found, "`listener.max_pdu_bytes`"),
        ("Called AE title is checked", _yes(checked=found.checks_called_ae), "`listener.require_called_ae_title`"),
        ("Calling AE title is checked", _yes(checked=found.checks_calling_ae), "`listener.calling_ae_titles`"),
        ("Largest data set", f"{limits.max_object_gib:g} GiB", "`listener.max_object_gib`"),
        ("An association without a byte is aborted after", f"{found.idle_seconds:g} s", "`listener.idle_seconds`"),
    ]
    return table(("Policy", "Default", "Setting"), rows)


def rejections() -> str:
    """Return why associations are rejected, and how that is told."""
    rows = [(when, *rejection_in_words(rejection), f"`{rejection.reason}`") for rejection, when in _REJECTED]
    return table(("When", "Result", "Source", "Reason", "Reason in the log"), rows)


def requesting() -> str:
    """Return how the sender associates."""
    found = requestor()
    rows = [
        ("Maximum number of simultaneous associations", "2 for each destination", _FIXED),
        *_policies(found, _FIXED),
        ("Waits for a connection", f"{found.connection_seconds:g} s", _FIXED),
        ("Waits for the answer to an association request", f"{found.association_seconds:g} s", _FIXED),
        ("Waits for the answer to a C-STORE request", f"{found.message_seconds:g} s", _FIXED),
    ]
    return table(("Policy", "Value", "Setting"), rows)


def _policies(found: Policies, setting: str) -> Iterator[tuple[str, object, str]]:
    yield "Maximum PDU size that it announces", f"{found.max_pdu_bytes} bytes", setting
    yield "Maximum number of outstanding asynchronous transactions", 1, _FIXED
    yield "Implementation Class UID", found.implementation_class_uid, _FIXED
    yield "Implementation Version Name", found.implementation_version_name, _FIXED


def _yes(*, checked: bool) -> str:
    return "yes" if checked else "no"


def retries() -> str:
    """Return in words after how long what was not delivered is sent again."""
    delivery = Delivery()
    first, longest = f"{delivery.first_retry_seconds:g} s", f"{delivery.longest_retry_seconds / _MINUTE:g} min"
    return f"{first}, then twice as long each time, up to {longest}, each up to a quarter less by chance"


def parameters() -> str:
    """Return the settings that bear on DICOM, with their defaults."""
    return table(("Setting", "Default", "Allowed"), _parameters())


def _parameters() -> Iterator[tuple[str, str, str]]:
    for prefix, one, names in _SETTINGS:
        for name in names:
            field = one.model_fields[name]
            default = "none: it must be set" if field.is_required() else f"`{json.dumps(field.default)}`"
            yield f"`{prefix}.{name}`", default, field.description or ""


def character_set_list() -> str:
    """Return the character sets of received texts."""
    return ", ".join(character_sets())


def categories() -> str:
    """Return the context groups that tell a segment's category from its type."""
    rows = (
        (f"CID {group}", f"{code.meaning} ({code.value}, {code.scheme})") for group, code in CATEGORY_OF_GROUP.items()
    )
    return table(("A type in", "has the category"), rows)


def structures() -> str:
    """Return the codes that names of structures become."""
    found = sorted(read_tables().types.values(), key=lambda one: (one.category.meaning, one.type.meaning.casefold()))
    rows = ((one.type.meaning, one.type.value, one.type.scheme, one.category.meaning) for one in found)
    return table(("Code Meaning", "Code Value", "Coding Scheme", "Category"), rows)
