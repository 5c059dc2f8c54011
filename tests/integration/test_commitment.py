"""Storage commitment over the wire: asked for and heard, on the same association and on a new one; and given."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModelInstance

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import (
    SEG_ONLY,
    AssociationEnd,
    CommitmentReport,
    DeliveryState,
    Proof,
    SegType,
    SopReference,
    Uid,
)
from dicomnode.errors import ClassRefused, PeerUnreachable, Refused, Unavailable
from dicomnode.network import commitment
from dicomnode.network.admission import Caller
from dicomnode.network.associations import Peer
from dicomnode.network.commitment import Hooks, Request
from dicomnode.network.destinations import DicomDestination, Parcel
from dicomnode.network.listener import Listener
from dicomnode.network.loopback_services import Commits, committing, finding, kept_in
from dicomnode.network.sender import send_all
from dicomnode.queue.committing import Reporter, report_next, take
from dicomnode.queue.courier import Courier
from dicomnode.queue.proving import hear
from dicomnode.receiving import receive
from dicomnode.store import associations, commitments, deliveries
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.builders import ct_series, save
from tests.couriers import POLICY, courier_of, serve_all
from tests.fakes import Loopback
from tests.objects import hand_over, seg_by_highdicom
from tests.rows import Clock
from tests.senders import Notes, until

TRANSACTION = Uid("2.25.77")
CT = SopReference(Uid(CTImageStorage), Uid("1.2.3"))
OTHER = SopReference(Uid(CTImageStorage), Uid("1.2.4"))


@pytest.fixture
def desk(database: Database, spool: Spool) -> Desk:
    """Return a desk with a SEG, 2.25.12, for one destination."""
    desk = Desk(database=database, spool=spool, destinations={"pacs": SEG_ONLY})
    hand_over(desk, seg_by_highdicom(SegType.BINARY, 12))
    return desk


@pytest.fixture
def listen() -> Iterator[Callable[[Hooks], Peer]]:
    """Return a function that starts a listener with storage commitment, which stops after the test."""
    started: list[Listener] = []

    def start(hooks: Hooks) -> Peer:
        listener = Listener("NODE", ("127.0.0.1", 0), Notes().hooks(), services=[commitment.service(hooks)])
        listener.start()
        started.append(listener)
        return Peer(ae_title="NODE", host="127.0.0.1", port=listener.port)

    yield start
    for listener in started:
        listener.stop(patience=1)


def state_of(desk: Desk) -> tuple[DeliveryState, str | None]:
    (row,) = deliveries.all_deliveries(desk.database)
    return row.state, row.proof


def to(pacs: Loopback, proof: Proof = Proof.COMMITMENT) -> DicomDestination:
    return DicomDestination(peer=pacs.peer, calling_ae="NODE", encode=in_syntax, proof=proof)


def noting(heard: list[CommitmentReport]) -> Hooks:
    def note(report: CommitmentReport) -> bool:
        heard.append(report)
        return True

    return Hooks(reported=note)


def heard_by(couriers: list[Courier]) -> Hooks:
    return Hooks(reported=lambda report: hear(couriers[0], report))


def test_a_report_in_the_association_in_which_it_was_asked_verifies(desk: Desk, tmp_path: Path) -> None:
    commits = Commits(has=kept_in(tmp_path / "pacs"))
    with Loopback(tmp_path / "pacs", services=[committing(commits)]) as pacs:
        serve_all(courier_of(desk, pacs=to(pacs)))
        assert pacs.ended == (AssociationEnd.RELEASED, AssociationEnd.RELEASED)
    assert state_of(desk) == (DeliveryState.VERIFIED, "commitment")
    assert [[one.sop_uid for one in request.objects] for request in commits.asked] == [["2.25.12"]]


def test_a_report_in_a_new_association_verifies(desk: Desk, tmp_path: Path, listen: Callable[[Hooks], Peer]) -> None:
    couriers: list[Courier] = []
    commits = Commits(has=kept_in(tmp_path / "pacs"), report_to=listen(heard_by(couriers)))
    with Loopback(tmp_path / "pacs", services=[committing(commits)]) as pacs:
        couriers.append(courier_of(desk, pacs=to(pacs)))
        serve_all(couriers[0])
        until(lambda: state_of(desk) == (DeliveryState.VERIFIED, "commitment"))


def test_what_a_report_in_a_new_association_says_failed_is_sent_again_and_dead_at_last(
    desk: Desk, tmp_path: Path, clock: Clock, listen: Callable[[Hooks], Peer]
) -> None:
    """Acceptance case 69."""
    couriers: list[Courier] = []
    commits = Commits(
        has=kept_in(tmp_path / "pacs"), report_to=listen(heard_by(couriers)), fails=lambda uid: uid == "2.25.12"
    )
    with Loopback(tmp_path / "pacs", services=[committing(commits)]) as pacs:
        couriers.append(courier_of(desk, replace(POLICY, proof_attempts=2), pacs=to(pacs)))
        for _ in range(2):
            serve_all(couriers[0])
            until(lambda: state_of(desk)[0] in (DeliveryState.WAITING, DeliveryState.DEAD))
            clock.advance(seconds=100)
        assert state_of(desk)[0] is DeliveryState.DEAD
        assert len(pacs.received) == 2
    (row,) = deliveries.all_deliveries(desk.database)
    assert row.reason == "not proven in 2 tries: it does not commit to the object: reason 0x0112"


def test_a_peer_that_never_reports_is_asked_again(desk: Desk, tmp_path: Path, clock: Clock) -> None:
    commits = Commits(has=kept_in(tmp_path / "pacs"), silent=True)
    with Loopback(tmp_path / "pacs", services=[committing(commits), finding(kept_in(tmp_path / "pacs"))]) as pacs:
        courier = courier_of(desk, pacs=to(pacs))
        serve_all(courier)
        clock.advance(seconds=600)
        serve_all(courier)
        assert len({request.transaction_uid for request in commits.asked}) == 2
        assert len(pacs.received) == 1
        assert state_of(desk) == (DeliveryState.DELIVERED, None)
        clock.advance(seconds=600)
        serve_all(replace(courier, destinations={"pacs": to(pacs, Proof.AUTO)}))
    assert state_of(desk) == (DeliveryState.VERIFIED, "query")


def test_without_commitment_auto_asks_by_c_find(desk: Desk, tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs", services=[finding(kept_in(tmp_path / "pacs"))]) as pacs:
        serve_all(courier_of(desk, pacs=to(pacs, Proof.AUTO)))
    assert state_of(desk) == (DeliveryState.VERIFIED, "query")


def test_with_neither_auto_takes_the_answer(desk: Desk, tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs") as pacs:
        serve_all(courier_of(desk, pacs=to(pacs, Proof.AUTO)))
    assert state_of(desk) == (DeliveryState.DELIVERED, "answer")


def test_what_c_find_does_not_find_is_not_there(desk: Desk, tmp_path: Path) -> None:
    (row,) = deliveries.all_deliveries(desk.database)
    parcel = Parcel(path=desk.spool.path(row.key), named=SopReference(row.sop_class_uid, row.sop_uid))
    with Loopback(tmp_path / "pacs", services=[finding(kept_in(tmp_path / "pacs"))]) as pacs:
        assert not to(pacs).keeps(parcel)
        to(pacs).send(parcel)
        assert to(pacs).keeps(parcel)


def test_a_probe_is_a_c_echo(tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs") as pacs:
        to(pacs).probe()
    with pytest.raises(PeerUnreachable, match="did not answer"):
        to(pacs).probe()


def reports(peer: Peer, ds: Dataset, event_type: int = 1) -> int:
    """Send a report as it is; return the status of the answer."""
    ae = AE("PACS")
    ae.add_requested_context(commitment.CLASS)
    assoc = ae.associate(peer.host, peer.port, ext_neg=[build_role(commitment.CLASS, scp_role=True)])
    status, _ = assoc.send_n_event_report(ds, event_type, commitment.CLASS, StorageCommitmentPushModelInstance)
    assoc.release()
    return int(status.Status)


def named(**elements: object) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_a_report_is_answered_by_what_is_wrong_with_it(listen: Callable[[Hooks], Peer]) -> None:
    def fails(report: CommitmentReport) -> bool:
        if report.transaction_uid == "1.9":
            raise Unavailable("the database is locked")
        return report.transaction_uid == TRANSACTION

    peer = listen(Hooks(reported=fails))
    assert reports(peer, named(TransactionUID=TRANSACTION)) == 0x0000
    assert reports(peer, named(TransactionUID="1.2")) == 0x0115
    assert reports(peer, named(TransactionUID=TRANSACTION), event_type=3) == 0x0113
    assert reports(peer, named(TransactionUID="../1")) == 0x0115
    assert reports(peer, named(FailedSOPSequence=[]), event_type=2) == 0x0115
    bad = named(TransactionUID=TRANSACTION, FailedSOPSequence=[named(ReferencedSOPInstanceUID="no UID")])
    assert reports(peer, bad, event_type=2) == 0x0115
    assert reports(peer, named(TransactionUID="1.9")) == 0x0110


def test_a_report_says_what_failed_and_why(listen: Callable[[Hooks], Peer]) -> None:
    heard: list[CommitmentReport] = []
    peer = listen(noting(heard))
    sent = CommitmentReport(transaction_uid=TRANSACTION, committed=(CT,), failed={OTHER: 0x0119})
    commitment.report(peer, "PACS", sent)
    assert heard == [sent]


def test_a_node_that_does_not_commit_answers_so(listen: Callable[[Hooks], Peer]) -> None:
    hooks = Hooks(reported=lambda _report: True)
    request = Request(transaction_uid=TRANSACTION, objects=(CT,))
    with pytest.raises(Refused, match="it answered status 0x0122"):
        commitment.ask(listen(hooks), "PEER", request, hooks, is_open=lambda: False)


def test_a_peer_without_storage_commitment_is_told_apart(tmp_path: Path) -> None:
    hooks = Hooks(reported=lambda _report: True)
    request = Request(transaction_uid=TRANSACTION, objects=(CT,))
    with Loopback(tmp_path / "pacs") as pacs, pytest.raises(ClassRefused, match="takes no Storage Commitment"):
        commitment.ask(pacs.peer, "PEER", request, hooks, is_open=lambda: False)


class Committing:
    """A node that keeps what it gets and commits to it, and a peer that asks it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.database = Database(folder / "scp.sqlite", clock=clock)
        self.database.upgrade()
        self.desk = Desk(database=self.database, spool=Spool(folder / "scp spool"), destinations={})
        self.courier = courier_of(self.desk)
        hooks = replace(
            Notes().hooks(), opened=self.open, receive=lambda request, data: receive(self.desk, request, data)
        )
        asked = Hooks(reported=lambda _report: False, asked=lambda request, peer: take(self.courier, request, peer))
        self.listener = Listener("NODE", ("127.0.0.1", 0), hooks, services=[commitment.service(asked)])
        self.listener.start()
        self.peer = Peer(ae_title="NODE", host="127.0.0.1", port=self.listener.port)
        self.heard: list[CommitmentReport] = []
        self.hooks = noting(self.heard)

    def open(self, caller: Caller) -> int:
        return associations.open_association(self.database, caller.calling_ae)

    def ask(self, *objects: SopReference, transaction: str = TRANSACTION) -> None:
        request = Request(transaction_uid=Uid(transaction), objects=objects)
        commitment.ask(self.peer, "MODALITY", request, self.hooks, is_open=lambda: False)

    def reporter(self, *peers: Peer) -> Reporter:
        def report(peer: Peer, found: CommitmentReport) -> None:
            commitment.report(peer, "NODE", found)

        return Reporter(peers={peer.ae_title: peer for peer in peers}, report=report)

    def close(self) -> None:
        self.listener.stop(patience=1)
        self.database.close()


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Iterator[Committing]:
    node = Committing(tmp_path, clock)
    yield node
    node.close()


def modality(listen: Callable[[Hooks], Peer], node: Committing) -> Peer:
    return replace(listen(node.hooks), ae_title="MODALITY")


def test_a_node_commits_to_what_it_keeps_and_to_nothing_else(
    node: Committing, tmp_path: Path, listen: Callable[[Hooks], Peer]
) -> None:
    images = ct_series(planes=3)
    send_all(save(images, tmp_path / "sent"), node.peer, "MODALITY")
    first, second, third = (SopReference(Uid(CTImageStorage), Uid(ds.SOPInstanceUID)) for ds in images)
    keys = list(node.desk.spool.keys())
    lost = next(key for key in keys if second.sop_uid in key)
    node.desk.spool.path(lost).write_bytes(b"half of it")
    other_class = SopReference(Uid(MRImageStorage), third.sop_uid)
    node.ask(first, second, other_class, CT)
    assert report_next(node.courier, node.reporter(modality(listen, node)))
    (report,) = node.heard
    assert report.transaction_uid == TRANSACTION
    assert report.committed == (first,)
    assert report.failed == {second: 0x0112, other_class: 0x0119, CT: 0x0112}
    assert not report_next(node.courier, node.reporter())
    assert len(events(node.database, "commitment_reported")) == 1


def test_a_request_that_comes_twice_is_reported_once(node: Committing, listen: Callable[[Hooks], Peer]) -> None:
    node.ask(CT)
    node.ask(CT)
    reporter = node.reporter(modality(listen, node))
    assert report_next(node.courier, reporter)
    assert not report_next(node.courier, reporter)


def test_who_asks_and_listens_nowhere_that_is_known_is_not_told_and_an_event_says_so(node: Committing) -> None:
    node.ask(CT)
    assert report_next(node.courier, node.reporter())
    (told,) = events(node.database, "commitment_given_up")
    assert told.details["reason"] == "no destination or source of the settings says where MODALITY at 127.0.0.1 listens"


def test_a_mistake_in_a_report_is_tried_later_like_any_other_failure(node: Committing, clock: Clock) -> None:
    def fails(_peer: Peer, _report: CommitmentReport) -> None:
        raise ZeroDivisionError

    nobody = Peer(ae_title="MODALITY", host="127.0.0.1", port=1)
    node.ask(CT)
    assert report_next(node.courier, Reporter(peers={"MODALITY": nobody}, report=fails))
    clock.advance(seconds=3)
    (row,) = commitments.due(node.database)
    assert (row.attempts, row.reason) == (1, "a bug: ZeroDivisionError: ")


def test_who_cannot_be_told_now_is_told_later_and_given_up_after_days(
    node: Committing, clock: Clock, listen: Callable[[Hooks], Peer]
) -> None:
    gone = node.reporter(Peer(ae_title="MODALITY", host="127.0.0.1", port=1))
    node.ask(CT)
    node.ask(OTHER, transaction="2.25.78")
    assert report_next(node.courier, gone)
    assert report_next(node.courier, gone)
    assert not report_next(node.courier, gone)
    clock.advance(seconds=3)
    (first, _) = commitments.due(node.database)
    assert first.attempts == 1
    assert report_next(node.courier, node.reporter(modality(listen, node)))
    assert len(node.heard) == 1
    clock.advance(days=7)
    assert report_next(node.courier, gone)
    assert len(events(node.database, "commitment_given_up")) == 1
