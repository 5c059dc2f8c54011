"""Where studies, jobs, deliveries, fetches, destinations and commitments stand, and which moves are legal."""

from collections.abc import Mapping
from enum import StrEnum


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"  # instances are coming
    INCOMPLETE = "incomplete"  # it went quiet and something is missing
    HELD = "held"  # a person or another object has to decide; `reason` says which
    READY = "ready"  # everything is here
    DISPATCHED = "dispatched"  # its jobs exist
    EXPIRED = "expired"  # incomplete or held for too long


class AssociationEnd(StrEnum):
    """How an association ended."""

    RELEASED = "released"
    ABORTED = "aborted"
    LOST = "lost"  # the connection broke
    DIED = "died"  # this node ended before it did


class JobState(StrEnum):
    """Where a job stands."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """Where the sending of one object to one destination stands."""

    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    VERIFIED = "verified"
    DEAD = "dead"
    REPLACED = "replaced"  # the destination takes no such object, and gets another in its place


class FetchState(StrEnum):
    """Where a fetch stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # no source has it, or none gave it in time


class BreakerState(StrEnum):
    """Whether a destination is sent to: its circuit breaker."""

    CLOSED = "closed"  # it is
    OPEN = "open"  # it failed too often: it is left alone but for a probe from time to time


class CommitmentState(StrEnum):
    """Where the report stands that another node asked for by storage commitment."""

    WAITING = "waiting"
    REPORTED = "reported"
    GIVEN_UP = "given_up"  # nobody took it; `reason` says why


STUDY_MOVES: Mapping[StudyState, frozenset[StudyState]] = {
    StudyState.RECEIVING: frozenset({StudyState.INCOMPLETE, StudyState.HELD, StudyState.READY}),
    StudyState.INCOMPLETE: frozenset({StudyState.RECEIVING, StudyState.READY, StudyState.HELD, StudyState.EXPIRED}),
    StudyState.HELD: frozenset({StudyState.RECEIVING, StudyState.READY, StudyState.EXPIRED}),
    StudyState.READY: frozenset({StudyState.DISPATCHED}),
    StudyState.DISPATCHED: frozenset({StudyState.RECEIVING}),
    StudyState.EXPIRED: frozenset({StudyState.RECEIVING}),
}


JOB_MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.READY: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.READY, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.REFUSED: frozenset({JobState.READY}),
    JobState.FAILED: frozenset({JobState.READY}),
    JobState.CANCELLED: frozenset({JobState.READY}),
}


DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.WAITING: frozenset({DeliveryState.SENDING, DeliveryState.DEAD, DeliveryState.REPLACED}),
    DeliveryState.SENDING: frozenset(
        {DeliveryState.DELIVERED, DeliveryState.WAITING, DeliveryState.DEAD, DeliveryState.REPLACED}
    ),
    DeliveryState.DELIVERED: frozenset({DeliveryState.VERIFIED, DeliveryState.WAITING}),
    DeliveryState.VERIFIED: frozenset(),
    DeliveryState.DEAD: frozenset({DeliveryState.WAITING, DeliveryState.REPLACED}),
    DeliveryState.REPLACED: frozenset(),
}


FETCH_MOVES: Mapping[FetchState, frozenset[FetchState]] = {
    FetchState.WAITING: frozenset({FetchState.RUNNING, FetchState.FAILED}),
    FetchState.RUNNING: frozenset({FetchState.DONE, FetchState.FAILED, FetchState.WAITING}),
    FetchState.DONE: frozenset(),
    FetchState.FAILED: frozenset(),
}


BREAKER_MOVES: Mapping[BreakerState, frozenset[BreakerState]] = {
    BreakerState.CLOSED: frozenset({BreakerState.OPEN}),
    BreakerState.OPEN: frozenset({BreakerState.CLOSED}),
}


COMMITMENT_MOVES: Mapping[CommitmentState, frozenset[CommitmentState]] = {
    CommitmentState.WAITING: frozenset({CommitmentState.REPORTED, CommitmentState.GIVEN_UP}),
    CommitmentState.REPORTED: frozenset(),
    CommitmentState.GIVEN_UP: frozenset(),
}
