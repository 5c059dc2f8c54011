"""The systems that are asked for objects, by DICOM or by DICOMweb, with one face."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dicomnode.network import query, retrieve, web
from dicomnode.network.associations import Peer
from dicomnode.network.portions import Portion, Recipient, Told
from dicomnode.network.query import Match
from dicomnode.network.web import WebPeer


class Source(Protocol):
    """What can be asked for objects; whatever is asked raises Unavailable where another try may help, else Refused.

    `fetch` tells whether it is asked for what is missing here, `count` whether it is for how much there is, `pushes`
    whether it sends to where this node listens instead of answering.
    """

    @property
    def name(self) -> str:
        """Return what the settings call it."""
        ...

    @property
    def fetch(self) -> bool: ...  # noqa: D102

    @property
    def count(self) -> bool: ...  # noqa: D102

    @property
    def pushes(self) -> bool: ...  # noqa: D102

    def search(
        self, level: str, keys: Match, *, limit: int | None = None, seconds: float | None = None
    ) -> tuple[Match, ...]:
        """Return what matches `keys` at `level` (STUDY, SERIES or IMAGE); each answer may take so many seconds."""
        ...

    def retrieve(self, portions: Sequence[Portion], recipient: Recipient, told: Told) -> None:
        """Let the objects of `portions` come, as far as it gives them."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DicomSource:
    """A source that is asked by C-FIND, and by C-GET or, where it `pushes`, by C-MOVE."""

    name: str
    peer: Peer
    calling_ae: str
    pushes: bool = False
    fetch: bool = True
    count: bool = True

    def search(
        self, level: str, keys: Match, *, limit: int | None = None, seconds: float | None = None
    ) -> tuple[Match, ...]:
        """Return what matches, by C-FIND."""
        return query.find(self.peer, self.calling_ae, level, keys, limit=limit, seconds=seconds)

    def retrieve(self, portions: Sequence[Portion], recipient: Recipient, told: Told) -> None:
        """Let the objects come in this association, or in those that the source opens."""
        if self.pushes:
            retrieve.move(self.peer, self.calling_ae, portions, told)
        else:
            retrieve.get(self.peer, self.calling_ae, portions, recipient, told)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSource:
    """A source that is asked by QIDO-RS and WADO-RS."""

    name: str
    peer: WebPeer
    fetch: bool = True
    count: bool = True
    pushes: bool = False

    def search(
        self, level: str, keys: Match, *, limit: int | None = None, seconds: float | None = None
    ) -> tuple[Match, ...]:
        """Return what matches, by QIDO-RS."""
        return web.search(self.peer, level, keys, limit=limit, seconds=seconds)

    def retrieve(self, portions: Sequence[Portion], recipient: Recipient, told: Told) -> None:
        """Get the objects by WADO-RS."""
        web.retrieve(self.peer, self.name, portions, recipient, told)
