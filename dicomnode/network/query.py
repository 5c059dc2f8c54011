"""The SCU of C-FIND: ask a peer what it has (PS3.4 C.4.1, Study Root)."""

from collections.abc import Mapping

from pydicom import Dataset
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.errors import PeerUnreachable, Reason, Refused
from dicomnode.network.associations import Peer, associated, calling_entity

_SUCCESS, _PENDING = 0x0000, (0xFF00, 0xFF01)

Match = Mapping[str, str]  # keyword -> value; several values are joined by a backslash, none is ""


def find(peer: Peer, calling_ae: str, level: str, keys: Match) -> tuple[Match, ...]:
    """Return what matches `keys` at `level` (STUDY, SERIES or IMAGE) in `peer`, with the values of their keywords.

    Raises PeerUnreachable where another try may help, and Refused where none will.
    """
    ae = calling_entity(calling_ae)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    found = []
    with associated(ae, peer) as assoc:
        for status, identifier in assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
            code = status.get("Status")
            if code is None:
                raise PeerUnreachable(f"{peer} did not answer a query")
            if code in _PENDING and identifier is not None:
                found.append({keyword: _text(identifier, keyword) for keyword in keys})
            elif code != _SUCCESS:
                raise Refused(Reason.PEER_REFUSED, f"query of {peer}", f"it answered status 0x{code:04X}")
    return tuple(found)


def _text(identifier: Dataset, keyword: str) -> str:
    value = identifier.get(keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
