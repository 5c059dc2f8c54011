"""The SCU of C-FIND: ask a peer what it has (PS3.4 C.4.1, Study Root)."""

from collections.abc import Mapping

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.errors import PeerUnreachable, Reason, Refused, SettingsError
from dicomnode.network.associations import Peer, associated, calling_entity

MODEL = StudyRootQueryRetrieveInformationModelFind
_SUCCESS, _CANCELLED, _PENDING = 0x0000, 0xFE00, (0xFF00, 0xFF01)
_NO_ROOM = range(0xA700, 0xA800)
_UNIQUE = {"STUDY": (), "SERIES": ("StudyInstanceUID",), "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID")}
_MESSAGE_ID = 1

Match = Mapping[str, str]  # keyword -> value; several values are joined by a backslash, none is ""


def find(
    peer: Peer,
    calling_ae: str,
    level: str,
    keys: Match,
    *,
    limit: int | None = None,
    seconds: float | None = None,
) -> tuple[Match, ...]:
    """Return what matches `keys` at `level` (STUDY, SERIES or IMAGE) in `peer`, with the values of their keywords.

    At most `limit` matches are taken; `seconds` is how long each answer may take. Keys that do not name the study, or
    the series of an image, are a relational query, which is negotiated (PS3.4 C.5.1.1). Raises PeerUnreachable where
    another try may help, and Refused where none will.
    """
    ae = _entity(calling_ae, seconds)
    items = [_relational()] if any(not keys.get(name) for name in _UNIQUE[level]) else []
    query = query_of(level, keys)
    with associated(ae, peer, roles=items) as assoc:
        return _ask(assoc, peer, query, list(keys), limit)


def query_of(level: str, keys: Match) -> Dataset:
    """Return the identifier of a query or retrieval at `level`; a keyword that DICOM does not have is refused.

    The values are not checked: a query may have wildcards and ranges (PS3.4 C.2.2.2).
    """
    query = Dataset()
    for keyword, value in {"QueryRetrieveLevel": level, **keys}.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise SettingsError("query", f"{keyword!r} is no DICOM keyword")
        query.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE))
    return query


def _entity(calling_ae: str, seconds: float | None) -> AE:
    ae = calling_entity(calling_ae)
    ae.add_requested_context(MODEL)
    if seconds is not None:
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    return ae


def _relational() -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = MODEL
    item.service_class_application_information = b"\x01"
    return item


def _ask(assoc: Association, peer: Peer, query: Dataset, wanted: list[str], limit: int | None) -> tuple[Match, ...]:
    found: list[Match] = []
    for status, identifier in assoc.send_c_find(query, MODEL, msg_id=_MESSAGE_ID):
        code = status.get("Status")
        if code is None:
            raise PeerUnreachable(f"{peer} did not answer a query")
        if code in _PENDING and identifier is not None:
            if limit is None or len(found) < limit:
                found.append({keyword: _text(identifier, keyword) for keyword in wanted})
                if len(found) == limit:
                    assoc.send_c_cancel(_MESSAGE_ID, query_model=MODEL)
        elif code in _NO_ROOM:
            raise PeerUnreachable(f"{peer} cannot answer a query now: status 0x{code:04X}")
        elif code not in (_SUCCESS, _CANCELLED, *_PENDING):
            raise Refused(Reason.PEER_REFUSED, f"query of {peer}", f"it answered status 0x{code:04X}")
    return tuple(found)


def _text(identifier: Dataset, keyword: str) -> str:
    value = identifier.get(keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
