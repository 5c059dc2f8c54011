"""What a destination can do, and the one that is a DICOM peer: it is sent to, asked for proof, and probed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.domain import CommitmentReport, Proof, ProvenBy, SegSyntax, SopReference, Uid, parse_uid
from dicomnode.errors import ClassRefused, PeerUnreachable, Reason, Refused
from dicomnode.network import commitment, query
from dicomnode.network.associations import Peer, associated, calling_entity
from dicomnode.network.contexts import VERIFICATION
from dicomnode.network.sender import Encode, send


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """One object to be sent: its file, what it is, and the syntaxes it is wanted in, the first most."""

    path: Path
    named: SopReference
    syntaxes: tuple[SegSyntax, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """A storage commitment that is asked for; a report on it goes to `reported`, while it is open."""

    uid: Uid
    reported: Callable[[CommitmentReport], bool]  # returns whether somebody asked for it
    is_open: Callable[[], bool]


class Destination(Protocol):
    """Where results go.

    Each of these raises Unavailable where another try may help, ClassRefused where it does no such thing, or takes no
    objects of the class, and Refused where no try will help.
    """

    @property
    def proof(self) -> Proof:
        """Return what shall prove that it keeps what it took."""
        ...

    @property
    def commits(self) -> bool:
        """Return whether it can be asked to commit to objects."""
        ...

    @property
    def keeps_by(self) -> ProvenBy:
        """Return what it is that `keeps` tells by."""
        ...

    def send(self, parcel: Parcel) -> int:
        """Send an object; return the status: 0x0000, or a warning 0xBxxx."""
        ...

    def keeps(self, parcel: Parcel) -> bool:
        """Return whether it has the object, by asking it or reading it back."""
        ...

    def commit(self, transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        """Ask it to commit to objects; the report may come within this call, or later to the listener."""
        ...

    def probe(self) -> None:
        """Return if it would be there for a sending."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DicomDestination:
    """A DICOM peer: C-STORE, C-FIND, storage commitment and C-ECHO."""

    peer: Peer
    calling_ae: str
    encode: Encode
    proof: Proof = Proof.AUTO
    keeps_by: ProvenBy = ProvenBy.QUERY
    commits: bool = True

    def send(self, parcel: Parcel) -> int:
        """Send an object by C-STORE."""
        return send(parcel.path, self.peer, self.calling_ae, parcel.syntaxes, self.encode)

    def keeps(self, parcel: Parcel) -> bool:
        """Ask for the object by C-FIND (PS3.4 C.4.1, Study Root, IMAGE level)."""
        place = place_of(parcel.path)
        keys = {"StudyInstanceUID": place.study, "SeriesInstanceUID": place.series, "SOPInstanceUID": place.instance}
        found = query.find(self.peer, self.calling_ae, "IMAGE", keys)
        return any(one["SOPInstanceUID"] == place.instance for one in found)

    def commit(self, transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        """Ask for storage commitment by N-ACTION (PS3.4 J.3.2)."""
        wanted = commitment.Request(transaction_uid=transaction.uid, objects=tuple(one.named for one in parcels))
        hooks = commitment.Hooks(reported=transaction.reported)
        commitment.ask(self.peer, self.calling_ae, wanted, hooks, is_open=transaction.is_open)

    def probe(self) -> None:
        """Ask by C-ECHO; a peer that associates and takes none is there as well."""
        echo(self.peer, self.calling_ae)


class Place(NamedTuple):
    """Where an object belongs."""

    study: Uid
    series: Uid
    instance: Uid


def place_of(path: Path) -> Place:
    """Return where the object in the file at `path` belongs."""
    wanted = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    try:
        ds = dcmread(path, stop_before_pixels=True, specific_tags=wanted)
    except (OSError, InvalidDicomError) as error:
        raise Refused(Reason.UNREADABLE, path.name, str(error)) from error
    return Place(*(parse_uid(ds.get(keyword), f"object {path.name}, {keyword}") for keyword in wanted))


def echo(peer: Peer, calling_ae: str) -> None:
    """Return if `peer` answers a C-ECHO, or associates and takes none (PS3.4 annex A)."""
    ae = calling_entity(calling_ae)
    ae.add_requested_context(VERIFICATION)
    try:
        with associated(ae, peer) as assoc:
            status = assoc.send_c_echo().get("Status")
    except ClassRefused:
        return
    if status is None:
        raise PeerUnreachable(f"{peer} did not answer a C-ECHO")
