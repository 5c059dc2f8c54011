"""What is to be retrieved of a peer, series by series, and what becomes of it here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dicomnode.domain import AssociationEnd, Uid
from dicomnode.network.storing import Intake

Told = Callable[[], None]  # is called now and then while objects come


@dataclass(frozen=True, kw_only=True, slots=True)
class Portion:
    """Some objects of a series that a peer has: SOP Instance UID -> SOP class, "" where the peer does not tell it.

    `whole` tells that they are all that the peer has of it.
    """

    study_uid: Uid
    series_uid: Uid
    objects: Mapping[Uid, str]
    whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """Who takes what is retrieved.

    `opened` gives the number of the association with the peer of an AE title or name, `closed` hears how it ended, and
    `intake` keeps the objects.
    """

    opened: Callable[[str], int]
    closed: Callable[[int, AssociationEnd], None]
    intake: Intake


@contextmanager
def recorded(recipient: Recipient, peer_ae: str) -> Iterator[int]:
    """Lend the number of an association that is recorded as open, and as lost if the retrieval breaks off."""
    number = recipient.opened(peer_ae)
    ended = AssociationEnd.LOST
    try:
        yield number
        ended = AssociationEnd.RELEASED
    finally:
        recipient.closed(number, ended)


def classes_of(portions: Sequence[Portion]) -> tuple[str, ...]:
    """Return the SOP classes of the objects, each once, in order."""
    return tuple(sorted({name for portion in portions for name in portion.objects.values()}))
