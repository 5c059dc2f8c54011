"""Destinations that are down: left alone, probed, and sent everything at once when they are back."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dicomnode.domain import SEG_ONLY, BreakerState, DeliveryState, Uid
from dicomnode.errors import PeerRejected, PeerUnreachable, Reason, Refused
from dicomnode.network.destinations import Parcel
from dicomnode.queue.courier import Courier, attending
from dicomnode.queue.delivering import send
from dicomnode.store import breakers, deliveries, tables
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.couriers import POLICY, Pretends, courier_of, serve, serve_all
from tests.rows import Clock, artifact, done_job

UIDS = tuple(Uid(f"1.{number}") for number in range(1, 9))


class Outage:
    """A destination that is down until it is up again."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def __call__(self, _parcel: Parcel | None = None) -> int:
        if self.error is not None:
            raise self.error
        return 0


@pytest.fixture
def desk(database: Database, spool: Spool) -> Desk:
    """Return a desk with eight objects for two destinations; those later in the alphabet are more urgent."""
    done_job(database, "pacs", "other", made=tuple(artifact(uid, f"a{uid}") for uid in UIDS))
    for number, uid in enumerate(UIDS):
        with database.write() as connection:
            connection.execute(tables.delivery.update().filter_by(sop_uid=uid).values(priority=number // 2))
    return Desk(database=database, spool=spool, destinations={"pacs": SEG_ONLY, "other": SEG_ONLY})


def state_of(desk: Desk, name: str = "pacs") -> breakers.BreakerRow:
    return next(row for row in breakers.all_breakers(desk.database) if row.name == name)


def down(error: Exception) -> tuple[Pretends, Outage]:
    outage = Outage(error)
    return Pretends(sends=outage, there=outage), outage


def states(desk: Desk, name: str = "pacs") -> list[DeliveryState]:
    return [row.state for row in deliveries.all_deliveries(desk.database) if row.destination == name]


def test_what_is_delivered_is_to_be_proven_at_once_and_what_is_not_is_not(desk: Desk) -> None:
    hurried: list[str] = []
    pacs, _ = down(PeerUnreachable("nobody answers"))
    courier = courier_of(replace(desk, hurry=hurried.append), pacs=pacs, other=Pretends())
    serve(courier, "pacs")
    assert hurried == []
    serve(courier, "other")
    assert hurried == [attending("other")]


def test_a_destination_is_left_alone_after_some_failures_in_a_row(desk: Desk, clock: Clock) -> None:
    pacs, _ = down(PeerUnreachable("nobody answers"))
    courier = courier_of(desk, pacs=pacs)
    serve_all(courier)
    row = state_of(desk)
    assert (len(pacs.sent), row.state, row.failures, row.reason) == (3, BreakerState.OPEN, 3, "nobody answers")
    clock.advance(seconds=29)
    serve_all(courier)
    assert (len(pacs.sent), pacs.probes) == (3, 0)
    clock.advance(seconds=1)
    serve_all(courier)
    assert (len(pacs.sent), pacs.probes) == (3, 1)
    assert [event.details["destination"] for event in events(desk.database, "destination_open")] == ["pacs"]


def test_a_success_begins_the_count_of_failures_anew(desk: Desk) -> None:
    answers = iter([PeerUnreachable("no"), PeerUnreachable("no"), None, PeerUnreachable("no"), PeerUnreachable("no")])

    def send(_parcel: Parcel) -> int:
        if error := next(answers, None):
            raise error
        return 0

    serve_all(courier_of(desk, pacs=Pretends(sends=send)))
    row = state_of(desk)
    assert (row.state, row.failures) == (BreakerState.CLOSED, 0)
    assert row.last_success_at == desk.database.now()


def test_an_object_that_is_refused_is_no_failure_of_its_destination(desk: Desk) -> None:
    pacs, _ = down(Refused(Reason.PEER_REFUSED, "object", "status 0xC000"))
    serve_all(courier_of(desk, pacs=pacs))
    assert states(desk) == [DeliveryState.DEAD] * 8
    assert [row.name for row in breakers.all_breakers(desk.database)] == []


def test_a_destination_that_does_not_know_this_node_is_left_alone_at_once_and_no_object_is_to_blame(
    desk: Desk, clock: Clock
) -> None:
    pacs, outage = down(PeerRejected("it rejected the association for good: Calling AE title not recognised"))
    courier = courier_of(desk, pacs=pacs)
    serve_all(courier)
    assert (len(pacs.sent), state_of(desk).state) == (1, BreakerState.OPEN)
    assert states(desk) == [DeliveryState.WAITING] * 8
    outage.error = None
    clock.advance(seconds=30)
    serve_all(courier)
    assert states(desk) == [DeliveryState.VERIFIED] * 8


def test_after_a_probe_that_succeeds_one_failure_is_enough(desk: Desk, clock: Clock) -> None:
    pacs = Pretends(sends=Outage(PeerUnreachable("it has no room")))  # it answers, and takes nothing
    courier = courier_of(desk, pacs=pacs)
    serve_all(courier)
    clock.advance(seconds=30)
    serve_all(courier)
    assert (pacs.probes, len(pacs.sent), state_of(desk).state) == (1, 4, BreakerState.OPEN)


def test_an_object_over_which_its_destination_breaks_off_each_time_keeps_no_other_from_it(
    desk: Desk, clock: Clock
) -> None:
    urgent = UIDS[-2:]

    def send(parcel: Parcel) -> int:
        if parcel.named.sop_uid in urgent:
            raise PeerUnreachable("it did not answer when the object was sent")
        return 0

    pacs = Pretends(sends=send)
    courier = courier_of(desk, replace(POLICY, breaker_failures=2), pacs=pacs)
    for _ in range(30):
        serve_all(courier)
        clock.advance(seconds=30)
    rows = [row for row in deliveries.all_deliveries(desk.database) if row.destination == "pacs"]
    assert {row.sop_uid for row in rows if row.state is DeliveryState.WAITING} == {*urgent}


def test_what_was_tried_while_a_destination_had_no_room_goes_once_it_has(desk: Desk, clock: Clock) -> None:
    outage = Outage(PeerUnreachable("it has no room"))
    courier = courier_of(desk, pacs=Pretends(sends=outage))  # a probe of it succeeds all the time
    for _ in range(200):
        serve_all(courier)
        clock.advance(seconds=30)
    outage.error = None
    serve_all(courier)
    clock.advance(seconds=30)
    serve_all(courier)
    assert states(desk) == [DeliveryState.VERIFIED] * 8


def test_what_waits_for_a_destination_that_is_down_for_too_long_is_given_up(desk: Desk, clock: Clock) -> None:
    pacs, _ = down(PeerUnreachable("nobody answers"))
    courier = courier_of(desk, pacs=pacs)
    serve_all(courier)
    clock.advance(days=7)
    serve_all(courier)
    assert states(desk) == [DeliveryState.DEAD] * 8
    assert len(events(desk.database, "delivery_dead")) == 8


def test_after_26_hours_everything_goes_within_a_minute_in_order_of_priority_and_the_other_never_waited(
    desk: Desk, clock: Clock
) -> None:
    pacs, outage = down(PeerUnreachable("nobody answers"))
    minutes: list[float] = []
    began = clock.now

    def note(_parcel: Parcel) -> int:
        minutes.append((clock.now - began).total_seconds() / 60)
        return 0

    other = Pretends(sends=note)
    courier = courier_of(desk, pacs=pacs, other=other)
    for minute in range(0, 26 * 60, 13):
        if minute % 130 == 0:  # every now and then another job is done
            _another_job(desk, minute)
        serve_all(courier)
        clock.advance(minutes=13)
    assert set(states(desk)) == {DeliveryState.WAITING}
    assert len(pacs.sent) == 3
    assert minutes == [0] * 9 + [130 * number for number in range(1, 12)]
    pacs.sent.clear()
    outage.error = None
    back = clock.now
    while (clock.now - back).total_seconds() < 60 and set(states(desk)) != {DeliveryState.VERIFIED}:
        serve_all(courier)
        clock.advance(seconds=30)
    assert set(states(desk)) == {DeliveryState.VERIFIED}
    assert (clock.now - back).total_seconds() <= 60
    urgency = {row.sop_uid: row.priority for row in deliveries.all_deliveries(desk.database)}
    order = [urgency[uid] for uid in pacs.sent]
    assert order == sorted(order, reverse=True)
    assert len(set(pacs.sent)) == len(pacs.sent) == 20


def test_a_mistake_in_a_probe_is_a_probe_that_failed(desk: Desk, clock: Clock) -> None:
    pacs, _ = down(ZeroDivisionError())
    pacs.sends = Outage(PeerUnreachable("nobody answers"))
    courier = courier_of(desk, pacs=pacs)
    serve_all(courier)
    clock.advance(seconds=30)
    serve_all(courier)
    assert (pacs.probes, state_of(desk).state) == (1, BreakerState.OPEN)
    assert str(state_of(desk).reason).startswith("a bug: ZeroDivisionError")


def test_in_one_turn_of_the_engine_everything_is_sent_the_most_urgent_first_whatever_one_of_it_brings_out(
    desk: Desk,
) -> None:
    def send_(parcel: Parcel) -> int:
        if parcel.named.sop_uid == UIDS[4]:
            raise ZeroDivisionError
        return 0

    pacs = Pretends(sends=send_)
    send(courier_of(desk, pacs=pacs), f"pacs/{UIDS[0]}")
    assert pacs.sent == [UIDS[number] for number in (6, 7, 4, 5, 2, 3, 0, 1)]
    rows = {row.sop_uid: row for row in deliveries.all_deliveries(desk.database) if row.destination == "pacs"}
    assert [uid for uid, row in rows.items() if row.state is not DeliveryState.DELIVERED] == [UIDS[4]]
    assert rows[UIDS[4]].reason == "a bug: ZeroDivisionError: "


def test_a_breaker_is_of_one_destination(desk: Desk) -> None:
    pacs, _ = down(PeerUnreachable("nobody answers"))
    other = Pretends()
    courier = courier_of(desk, replace(POLICY, breaker_failures=1), pacs=pacs, other=other)
    serve_in_turn(courier, ("pacs", "other"))
    assert (len(pacs.sent), len(other.sent)) == (1, 8)


def serve_in_turn(courier: Courier, names: Sequence[str]) -> None:
    for _ in range(30):
        for name in names:
            serve(courier, name)


def _another_job(desk: Desk, number: int) -> None:
    """Let an object be made that is as urgent as it is late."""
    uid = Uid(f"2.{number + 1}")
    with desk.database.write() as connection:
        made = tables.artifact.insert().values(
            sop_uid=uid,
            job_key="j1",
            kind="SEG",
            sop_class_uid="1.2",
            key=f"{uid}.dcm",
            sha256="x",
            alternative="BINARY",
        )
        connection.execute(made)
        for name in ("pacs", "other"):
            deliveries.add(connection, "j1", name, [uid], desk.database.now())
        connection.execute(tables.delivery.update().filter_by(sop_uid=uid).values(priority=number % 7))
