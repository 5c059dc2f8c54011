"""What proves that a destination keeps an object, and what becomes of one that is not proven."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from dicomnode.domain import (
    SEG_ONLY,
    CommitmentReport,
    DeliveryState,
    Proof,
    ProvenBy,
    SopReference,
    Uid,
)
from dicomnode.errors import ClassRefused, PeerUnreachable, Reason, Refused
from dicomnode.network.destinations import Parcel, Transaction
from dicomnode.queue.courier import Courier
from dicomnode.queue.proving import hear
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.deliveries import DeliveryRow
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.couriers import Pretends, courier_of, serve, serve_all
from tests.rows import Clock, artifact, done_job

UIDS = (Uid("1.1"), Uid("1.2"), Uid("1.3"))
WAITING, DELIVERED, VERIFIED, DEAD = (
    DeliveryState.WAITING,
    DeliveryState.DELIVERED,
    DeliveryState.VERIFIED,
    DeliveryState.DEAD,
)


@pytest.fixture
def desk(database: Database, spool: Spool) -> Desk:
    """Return a desk with three objects for one destination."""
    done_job(database, "pacs", made=tuple(artifact(uid, f"a{uid}") for uid in UIDS))
    return Desk(database=database, spool=spool, destinations={"pacs": SEG_ONLY})


@dataclass
class Notary:
    """What takes requests for storage commitment, and reports when it is told to."""

    asked: list[tuple[Transaction, tuple[SopReference, ...]]] = field(default_factory=list)

    def __call__(self, transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        self.asked.append((transaction, tuple(one.named for one in parcels)))

    def report(self, number: int = -1, fails: Sequence[str] = ()) -> CommitmentReport:
        """Return the report on the request with this number."""
        transaction, named = self.asked[number]
        return CommitmentReport(
            transaction_uid=transaction.uid,
            committed=tuple(one for one in named if one.sop_uid not in fails),
            failed={one: 0x0112 for one in named if one.sop_uid in fails},
        )


def rows(desk: Desk) -> dict[str, DeliveryRow]:
    return {row.sop_uid: row for row in deliveries.all_deliveries(desk.database)}


def states(desk: Desk) -> list[DeliveryState]:
    return [row.state for _, row in sorted(rows(desk).items())]


def refuses(error: Exception) -> Callable[..., NoReturn]:
    def refuse(*_asked: object) -> NoReturn:
        raise error

    return refuse


def commits_to(desk: Desk, proof: Proof = Proof.COMMITMENT) -> tuple[Courier, Notary, Pretends]:
    notary = Notary()
    pacs = Pretends(commit_to=notary, proof=proof)
    return courier_of(desk, pacs=pacs), notary, pacs


def test_what_is_found_is_verified_and_says_by_what(desk: Desk) -> None:
    serve_all(courier_of(desk, pacs=Pretends(proof=Proof.QUERY)))
    assert {(row.state, row.proof) for row in rows(desk).values()} == {(VERIFIED, ProvenBy.QUERY)}
    assert len(events(desk.database, "delivery_verified")) == 3


def test_without_proof_the_answer_is_enough_and_the_object_is_not_verified(desk: Desk) -> None:
    serve_all(courier_of(desk, pacs=Pretends(proof=Proof.NONE)))
    assert {(row.state, row.proof) for row in rows(desk).values()} == {(DELIVERED, ProvenBy.ANSWER)}


def test_what_is_not_found_at_once_is_looked_for_less_and_less_often_and_then_sent_again(
    desk: Desk, clock: Clock
) -> None:
    looks: list[float] = []
    began = clock.now

    def look(parcel: Parcel) -> bool:
        if parcel.named.sop_uid == UIDS[0]:
            looks.append((clock.now - began).total_seconds())
        return parcel.named.sop_uid != UIDS[0]

    pacs = Pretends(has=look, proof=Proof.QUERY)
    courier = courier_of(desk, pacs=pacs)
    while len(pacs.sent) < 4:
        serve_all(courier)
        clock.now = max(rows(desk)[UIDS[0]].next_at, clock.now)
    assert looks[:9] == [0, 3, 6, 12, 24, 48, 96, 192, 384]
    assert 600 <= looks[9] <= 768
    assert pacs.sent[3] == UIDS[0]
    assert rows(desk)[UIDS[0]].proof_attempts == 1
    assert states(desk)[1:] == [VERIFIED, VERIFIED]


def test_what_is_never_found_is_dead_after_it_was_sent_often_enough(desk: Desk, clock: Clock) -> None:
    pacs = Pretends(has=lambda _parcel: False, proof=Proof.QUERY)
    courier = courier_of(desk, pacs=pacs)
    while set(states(desk)) != {DEAD}:
        serve_all(courier)
        clock.advance(seconds=700)
    assert pacs.sent.count(UIDS[0]) == 5
    assert rows(desk)[UIDS[0]].reason == "not proven in 5 tries: it was not found there within 600 s"


def test_objects_share_a_transaction_and_the_report_verifies_them(desk: Desk) -> None:
    courier, notary, _ = commits_to(desk)
    serve_all(courier)
    assert [len(named) for _, named in notary.asked] == [3]
    assert states(desk) == [DELIVERED] * 3
    assert hear(courier, notary.report())
    assert {(row.state, row.proof) for row in rows(desk).values()} == {(VERIFIED, ProvenBy.COMMITMENT)}


def test_what_a_report_says_failed_is_sent_again_and_dead_at_last(desk: Desk, clock: Clock) -> None:
    """Acceptance case 69, without its wire."""
    courier, notary, pacs = commits_to(desk)
    for _ in range(5):
        serve_all(courier)
        assert hear(courier, notary.report(fails=[UIDS[1]]))
        clock.advance(seconds=100)
    assert states(desk) == [VERIFIED, DEAD, VERIFIED]
    assert [pacs.sent.count(uid) for uid in UIDS] == [1, 5, 1]
    assert rows(desk)[UIDS[1]].reason == "not proven in 5 tries: it does not commit to the object: reason 0x0112"
    serve_all(courier)
    assert len(pacs.sent) == 7


def test_what_is_not_reported_in_time_is_asked_for_again_and_not_sent_again(desk: Desk, clock: Clock) -> None:
    courier, notary, pacs = commits_to(desk)
    for _ in range(4):
        serve_all(courier)
        clock.advance(seconds=599)
        serve_all(courier)
        clock.advance(seconds=1)
    assert len({transaction.uid for transaction, _ in notary.asked}) == 4
    serve_all(courier)
    clock.advance(seconds=600)
    serve_all(courier)
    assert (len(notary.asked), len(pacs.sent)) == (5, 3)
    assert states(desk) == [DEAD] * 3
    reason = "not proven in 5 tries: no report on the storage commitment came in time"
    assert {row.reason for row in rows(desk).values()} == {reason}


def test_a_report_on_an_earlier_request_still_counts(desk: Desk, clock: Clock) -> None:
    courier, notary, _ = commits_to(desk)
    serve_all(courier)
    clock.advance(seconds=600)
    serve_all(courier)
    assert len(notary.asked) == 2
    assert hear(courier, notary.report(0))
    assert states(desk) == [VERIFIED] * 3
    assert hear(courier, notary.report(1, fails=UIDS))
    assert states(desk) == [VERIFIED] * 3


def test_a_report_that_comes_twice_does_nothing_more(desk: Desk) -> None:
    courier, notary, _ = commits_to(desk)
    serve_all(courier)
    assert hear(courier, notary.report())
    assert hear(courier, notary.report())
    assert len(events(desk.database, "delivery_verified")) == 3


@pytest.mark.parametrize("uid", ["1.2.3", "2", "2.25"])
def test_a_report_that_nobody_asked_for_is_unknown(desk: Desk, uid: str) -> None:
    courier, notary, _ = commits_to(desk)
    serve_all(courier)
    named = notary.asked[0][1]
    assert not hear(courier, CommitmentReport(transaction_uid=Uid(uid), committed=named, failed={}))
    assert states(desk) == [DELIVERED] * 3


def test_an_object_that_a_report_does_not_name_is_still_asked_for(desk: Desk, clock: Clock) -> None:
    courier, notary, _ = commits_to(desk)
    serve_all(courier)
    transaction, named = notary.asked[0]
    hear(courier, CommitmentReport(transaction_uid=transaction.uid, committed=named[:2], failed={}))
    clock.advance(seconds=600)
    serve_all(courier)
    assert [one.sop_uid for one in notary.asked[1][1]] == [UIDS[2]]


def test_a_report_within_the_request_is_enough(desk: Desk) -> None:
    def commit(transaction: Transaction, parcels: Sequence[Parcel]) -> None:
        named = tuple(one.named for one in parcels)
        assert transaction.is_open()
        assert transaction.reported(CommitmentReport(transaction_uid=transaction.uid, committed=named, failed={}))
        assert not transaction.is_open()

    serve_all(courier_of(desk, pacs=Pretends(commit_to=commit, proof=Proof.COMMITMENT)))
    assert states(desk) == [VERIFIED] * 3


def test_auto_asks_for_commitment_and_then_looks_for_what_no_report_came_on(desk: Desk, clock: Clock) -> None:
    courier, notary, _ = commits_to(desk, Proof.AUTO)
    serve_all(courier)
    assert states(desk) == [DELIVERED] * 3
    clock.advance(seconds=600)
    serve_all(courier)
    assert len(notary.asked) == 1
    assert {(row.state, row.proof) for row in rows(desk).values()} == {(VERIFIED, ProvenBy.QUERY)}


@pytest.mark.parametrize(
    "error",
    [ClassRefused("association", "no commitment"), Refused(Reason.PEER_REFUSED, "commitment", "status 0x0110")],
)
def test_auto_looks_for_it_where_there_is_no_commitment(desk: Desk, error: Exception) -> None:
    serve_all(courier_of(desk, pacs=Pretends(commit_to=refuses(error))))
    assert {(row.state, row.proof) for row in rows(desk).values()} == {(VERIFIED, ProvenBy.QUERY)}


def test_auto_takes_the_answer_where_there_is_nothing_else(desk: Desk) -> None:
    none = refuses(ClassRefused("association", "no query"))
    serve_all(courier_of(desk, pacs=Pretends(commit_to=none, has=none)))
    assert {(row.state, row.proof) for row in rows(desk).values()} == {(DELIVERED, ProvenBy.ANSWER)}


@pytest.mark.parametrize("proof", [Proof.COMMITMENT, Proof.QUERY])
def test_a_proof_that_is_wanted_and_not_to_be_had_makes_the_delivery_dead_at_last(
    desk: Desk, clock: Clock, proof: Proof
) -> None:
    none = refuses(ClassRefused("association with PACS", "it takes no such thing"))
    courier = courier_of(desk, pacs=Pretends(commit_to=none, has=none, proof=proof))
    for _ in range(5):
        serve_all(courier)
        clock.advance(seconds=100)
    assert states(desk) == [DEAD] * 3
    assert "it takes no such thing" in (rows(desk)[UIDS[0]].reason or "")


def test_a_destination_that_cannot_be_asked_for_proof_is_left_alone_and_nothing_is_sent_twice(
    desk: Desk, clock: Clock
) -> None:
    def gone() -> None:
        raise PeerUnreachable("nobody answers")

    pacs = Pretends(has=refuses(PeerUnreachable("nobody answers")), proof=Proof.QUERY, there=gone)
    courier = courier_of(desk, pacs=pacs)
    for _ in range(20):
        serve_all(courier)
        clock.advance(seconds=30)
    assert [event.details["reason"] for event in events(desk.database, "destination_open")] == ["nobody answers"]
    assert states(desk) == [DELIVERED] * 3
    pacs.has, pacs.there = (lambda _parcel: True), (lambda: None)
    serve_all(courier)
    assert states(desk) == [VERIFIED] * 3
    assert len(pacs.sent) == 3


def test_a_request_that_did_not_get_through_is_made_again_and_counts_for_nothing(desk: Desk, clock: Clock) -> None:
    courier, notary, pacs = commits_to(desk)
    pacs.commit_to = refuses(PeerUnreachable("nobody answers"))
    serve(courier, "pacs")
    serve_all(courier)
    pacs.commit_to = notary
    clock.advance(seconds=60)
    serve_all(courier)
    assert len(notary.asked) == 1
    assert {row.proof_attempts for row in rows(desk).values()} == {0}


def test_a_mistake_that_one_object_brings_out_takes_nothing_else_down(desk: Desk, clock: Clock) -> None:
    def send(parcel: Parcel) -> int:
        if parcel.named.sop_uid == UIDS[0]:
            raise ZeroDivisionError("division by zero")
        return 0

    def look(parcel: Parcel) -> bool:
        if parcel.named.sop_uid == UIDS[1]:
            raise IndexError("out of range")
        return True

    courier = courier_of(desk, pacs=Pretends(sends=send, has=look, proof=Proof.QUERY))
    serve_all(courier)
    assert [rows(desk)[uid].reason for uid in UIDS[:2]] == [
        "a bug: ZeroDivisionError: division by zero",
        "a bug: IndexError: out of range",
    ]
    for _ in range(5):
        clock.advance(hours=1)
        serve_all(courier)
    assert states(desk) == [DEAD, DEAD, VERIFIED]


@pytest.mark.parametrize("moment", ["before sending", "while sending", "after sending", "while asking"])
def test_a_node_that_dies_at_any_moment_sends_the_same_object_or_none(desk: Desk, clock: Clock, moment: str) -> None:
    class Dies(BaseException):
        """The end of the process."""

    def die(*_args: object) -> NoReturn:
        raise Dies

    courier, notary, pacs = commits_to(desk)
    broken = Pretends(proof=Proof.COMMITMENT, commit_to=notary)
    if moment in ("before sending", "while sending"):
        broken.sends = die
    if moment == "while asking":
        broken.commit_to = die
    first = courier_of(desk, pacs=broken)
    if moment != "before sending":
        with suppress(Dies):
            serve_all(first)
    deliveries.recover(desk.database)
    for _ in range(3):
        serve_all(courier)
        clock.advance(seconds=600)
        if notary.asked:
            hear(courier, notary.report())
    assert states(desk) == [VERIFIED] * 3
    assert set(broken.sent + pacs.sent) == set(UIDS)
