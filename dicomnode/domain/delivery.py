"""How results are delivered: what proves it, how long to wait after what, and what a commitment says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from dicomnode.domain.uid import Uid

Chance = Callable[[], float]  # a random number, 0 <= x < 1


class Proof(StrEnum):
    """What shall prove that a destination keeps what it took."""

    AUTO = "auto"  # storage commitment where it is accepted, else a query, else its answer alone
    COMMITMENT = "commitment"  # storage commitment (PS3.4 annex J)
    QUERY = "query"  # C-FIND or QIDO-RS for the object; a file is read back
    NONE = "none"  # its answer to the sending


class ProvenBy(StrEnum):
    """What proved that a destination keeps an object."""

    COMMITMENT = "commitment"
    QUERY = "query"
    CONTENT = "content"  # the file was read back and is the same
    ANSWER = "answer"  # nothing but its answer: the object stays delivered and is not verified


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait after the first failure, and at most."""

    first: timedelta
    longest: timedelta

    def after(self, failures: int, chance: Chance) -> timedelta:
        """Return how long to wait after so many failures in a row: twice as long each time, up to a quarter less.

        What failed together is so not tried again together.
        """
        doubled = self.first.total_seconds() * 2.0 ** min(max(failures, 1) - 1, 64)
        whole = min(doubled, self.longest.total_seconds())
        return timedelta(seconds=whole * (1 - chance() / 4))


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryPolicy:
    """When a sending is tried again and given up, a destination left alone and probed, a proof asked for again."""

    backoff: Backoff
    give_up: timedelta
    breaker_failures: int
    probe: timedelta
    proof: timedelta
    proof_attempts: int


class SopReference(NamedTuple):
    """An object as a commitment names it."""

    sop_class_uid: Uid
    sop_uid: Uid


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitmentReport:
    """What a commitment says of the objects of a transaction (PS3.4 J.3.3); `failed` has the Failure Reasons."""

    transaction_uid: Uid
    committed: tuple[SopReference, ...]
    failed: Mapping[SopReference, int]
