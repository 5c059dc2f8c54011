"""What delivers in tests: a policy, a courier, and a destination that does as it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from dicomnode.domain import Backoff, DeliveryPolicy, Proof, ProvenBy, Uid
from dicomnode.errors import ClassRefused, DicomNodeError
from dicomnode.network.destinations import Destination, Parcel, Transaction
from dicomnode.queue.courier import Courier
from dicomnode.queue.delivering import attend, fail_delivery, send_one
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.delivery_rows import DeliveryRow, Failure
from dicomnode.store.desk import Desk

POLICY = DeliveryPolicy(
    backoff=Backoff(first=timedelta(seconds=3), longest=timedelta(hours=1)),
    give_up=timedelta(days=7),
    breaker_failures=3,
    probe=timedelta(seconds=30),
    proof=timedelta(seconds=600),
    proof_attempts=5,
)
PATIENT = replace(POLICY, breaker_failures=1000)  # no breaker opens


@dataclass
class Pretends:
    """A destination that does what its functions say, and notes what it was asked."""

    sends: Callable[[Parcel], int] = lambda _parcel: 0
    has: Callable[[Parcel], bool] = lambda _parcel: True
    commit_to: Callable[[Transaction, Sequence[Parcel]], None] | None = None
    there: Callable[[], object] = lambda: None
    proof: Proof = Proof.AUTO
    keeps_by: ProvenBy = ProvenBy.QUERY
    sent: list[Uid] = field(default_factory=list)
    probes: int = 0

    @property
    def commits(self) -> bool:
        return self.commit_to is not None

    def send(self, parcel: Parcel) -> int:
        self.sent.append(parcel.named.sop_uid)
        return self.sends(parcel)

    def keeps(self, parcel: Parcel) -> bool:
        return self.has(parcel)

    def commit(self, transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        if self.commit_to is None:
            raise ClassRefused("storage commitment", "it knows none")
        self.commit_to(transaction, parcels)

    def probe(self) -> None:
        self.probes += 1
        self.there()


def courier_of(desk: Desk, policy: DeliveryPolicy = POLICY, **destinations: Destination) -> Courier:
    """Return a courier without chance: a wait is never shortened."""
    return Courier(desk=desk, destinations=destinations, policy=policy, chance=lambda: 0.0)


def serve(courier: Courier, destination: str) -> bool:
    """Do the next thing there is to do for a destination: probe it, send, or prove; return whether there was one."""
    for row in deliveries.due(courier.desk.database, {destination}, limit=1):
        try:
            send_one(courier, str(row.which))
        except DicomNodeError:
            raise
        except Exception as error:  # noqa: BLE001 - as the engine does
            fail_delivery(courier, str(row.which), f"a bug: {type(error).__name__}: {error}")
        return True
    return attend(courier, destination)


def serve_all(courier: Courier) -> None:
    """Do what there is to do for every destination, until nothing is left."""
    while sum(serve(courier, name) for name in courier.destinations):
        pass


def claim_next(database: Database, destination: str = "pacs") -> DeliveryRow | None:
    """Claim what is due first, if anything is."""
    for row in deliveries.due(database, {destination}, limit=1):
        return deliveries.claim(database, row.which)
    return None


def put_back(database: Database, row: DeliveryRow, reason: str, policy: DeliveryPolicy = PATIENT) -> deliveries.PutBack:
    """Let the object be sent again after as long as it is due then."""
    failure = Failure(reason=reason, wait=policy.backoff.after(row.attempts, lambda: 0.0))
    return deliveries.put_back(database, row, failure, policy)
