"""A destination that is a DICOMweb service: STOW-RS to send, QIDO-RS to ask what it has (PS3.18 10.5 and 10.6)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import cast

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.domain import Proof, ProvenBy, SegSyntax
from dicomnode.errors import ClassRefused, PeerRejected, PeerUnreachable, Reason, Refused, Unavailable
from dicomnode.network.destinations import Parcel, Transaction, place_of
from dicomnode.network.sender import Encode
from dicomnode.network.statuses import check_status
from dicomnode.network.web import HttpStatusError, WebPeer, asking

_IS_THERE = 0x0111  # duplicate SOP Instance (PS3.7 C.5.6): with our UIDs it is the same object
_SYNTAX_NOT_SUPPORTED = 0xC122  # PS3.18 table 10.5.3-2
_NOT_US: tuple[int, ...] = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
)
_NO_SUCH_SERVICE: tuple[int, ...] = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class StowDestination:
    """A DICOMweb service."""

    peer: WebPeer
    encode: Encode
    proof: Proof = Proof.AUTO
    keeps_by: ProvenBy = ProvenBy.QUERY
    commits: bool = False

    def send(self, parcel: Parcel) -> int:
        """Send an object by STOW-RS, in the first of its syntaxes that is not refused; return the status."""
        content = parcel.path.read_bytes()
        for syntax in (one for one in parcel.syntaxes if one is not SegSyntax.NATIVE):
            status = self._store(self.encode(content, syntax), parcel)
            if status != _SYNTAX_NOT_SUPPORTED:
                return self._checked(status, parcel)
        return self._checked(self._store(content, parcel), parcel)

    def keeps(self, parcel: Parcel) -> bool:
        """Ask for the object by QIDO-RS; a service that does not answer queries is told by ClassRefused."""
        place = place_of(parcel.path)
        with _translated(self.peer):
            try:
                with asking(self.peer) as opened:
                    wanted = {"SOPInstanceUID": place.instance}
                    found = opened.search_for_instances(place.study, place.series, search_filters=wanted)
            except HttpStatusError as error:
                if error.status not in _NO_SUCH_SERVICE:
                    raise
                if self._answers_queries():
                    return False  # some answer so of a study that they do not have
                raise ClassRefused(f"query of {self.peer}", str(error)) from error
        return any(_uid_of(one) == place.instance for one in found)

    def commit(self, transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        """Refuse: there is no storage commitment by DICOMweb."""
        raise ClassRefused(f"{len(parcels)} objects of {transaction.uid}", f"{self.peer} knows no storage commitment")

    def probe(self) -> None:
        """Ask for one study; any answer that is not one of trouble will do."""
        with _translated(self.peer):
            try:
                with asking(self.peer) as opened:
                    opened.search_for_studies(limit=1)
            except HttpStatusError as error:
                if error.status not in _NO_SUCH_SERVICE:
                    raise

    def _answers_queries(self) -> bool:
        try:
            with asking(self.peer) as opened:
                opened.search_for_studies(limit=1)
        except HttpStatusError:
            return False
        return True

    def _store(self, content: bytes, parcel: Parcel) -> int:
        """Send one file; return what the service says of it, as a status of C-STORE (PS3.18 10.5.3)."""
        encoded = False

        def one() -> Iterator[Dataset]:
            nonlocal encoded
            yield dcmread(BytesIO(content))
            encoded = True  # it is, once the client asks for the next

        with _translated(self.peer):
            try:
                with asking(self.peer) as opened:
                    answer = opened.store_instances(cast("Sequence[Dataset]", one()))  # it only walks along it
            except HttpStatusError as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
                answer = _data_set(error.said)
                if not answer.get("FailedSOPSequence"):
                    raise
            except (AttributeError, EOFError, InvalidDicomError, KeyError, SyntaxError, TypeError, ValueError) as error:
                if not encoded:
                    detail = f"it cannot be encoded: {type(error).__name__}"
                    raise Refused(Reason.UNREADABLE, f"object {parcel.named.sop_uid}", detail) from error
                answer = Dataset()  # it took the file; what it says of it is no data set
        return _status_of(answer, parcel)

    def _checked(self, status: int, parcel: Parcel) -> int:
        check_status(status, str(self.peer), f"object {parcel.named.sop_uid}")
        return status


def _status_of(answer: Dataset, parcel: Parcel) -> int:
    for item in answer.get("FailedSOPSequence") or ():
        if item.get("ReferencedSOPInstanceUID") in (parcel.named.sop_uid, None):
            reason = int(item.get("FailureReason") or 0xC000)
            return 0 if reason == _IS_THERE else reason
    for item in answer.get("ReferencedSOPSequence") or ():
        if item.get("ReferencedSOPInstanceUID") == parcel.named.sop_uid:
            return int(item.get("WarningReason") or 0)
    return 0


def _uid_of(found: object) -> str | None:
    """Return the SOP Instance UID of what a query found."""
    values = found.get("00080018", {}).get("Value") if isinstance(found, dict) else None
    return str(values[0]) if values else None


def _data_set(said: object) -> Dataset:
    """Return what the body of a failure says, nothing where it is no DICOM JSON."""
    try:
        return Dataset.from_json(said) if isinstance(said, dict) else Dataset()
    except (AttributeError, KeyError, TypeError, ValueError):
        return Dataset()


@contextmanager
def _translated(peer: WebPeer) -> Iterator[None]:
    """Turn what `asking` raises into what to do about it: a service that does not take us, somebody has to mend."""
    try:
        yield
    except PeerUnreachable:
        raise
    except Unavailable as error:  # its authorization cannot be read
        raise PeerUnreachable(f"{peer} cannot be asked: {error}") from error
    except ValueError as error:
        raise PeerUnreachable(f"{peer} gives an answer that is not understood: {type(error).__name__}") from error
    except HttpStatusError as error:
        if error.status in _NOT_US:
            raise PeerRejected(f"{peer} does not take what this node sends: {error}") from error
        if error.is_for_now:
            raise PeerUnreachable(f"{peer} cannot answer now: {error}") from error
        raise Refused(Reason.PEER_REFUSED, str(peer), str(error)) from error
