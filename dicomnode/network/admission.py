"""Decide which associations are let in (PS3.8 9.3.4)."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicomnode.errors import LimitReached, Unavailable

_PERMANENT, _TRANSIENT = 1, 2
_USER, _PRESENTATION = 1, 3  # sources: the service user, and the provider's presentation-related function


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """How objects come in: on the fast way or pynetdicom's, and whether those of private and unknown classes do."""

    fast: bool = True
    unrestricted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a peer may ask of the listener, and how; `idle_seconds` without a byte end its association."""

    max_associations: int = 32
    max_pdu_bytes: int = 131072
    idle_seconds: float = 60.0
    max_object_bytes: int = 4 << 30
    check_called_ae: bool = False
    calling_ae_titles: tuple[str, ...] = ()  # all, if empty
    ways: Ways = field(default_factory=Ways)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks for an association, by which name it calls the node, and from where."""

    calling_ae: str
    called_ae: str
    host: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """Why an association is rejected, in a word, and how that is said (PS3.8 table 9-21)."""

    reason: str
    result: int
    source: int
    diagnostic: int


CALLED_AE = Rejection(reason="called_ae_title", result=_PERMANENT, source=_USER, diagnostic=7)
CALLING_AE = Rejection(reason="calling_ae_title", result=_PERMANENT, source=_USER, diagnostic=3)
TOO_MANY = Rejection(reason="too_many_associations", result=_TRANSIENT, source=_PRESENTATION, diagnostic=2)
NO_ROOM = Rejection(reason="no_room", result=_TRANSIENT, source=_PRESENTATION, diagnostic=2)
NOT_NOW = Rejection(reason="database_unavailable", result=_TRANSIENT, source=_PRESENTATION, diagnostic=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """Who is let in: `opened` records an association and returns its id; Unavailable where it may not open now."""

    ae_title: str
    limits: Limits
    opened: Callable[[Caller], int]
    room: Callable[[], bool]
    is_storage: Callable[[str], bool]  # of an abstract syntax

    def judge(self, asked: A_ASSOCIATE, host: str) -> tuple[Caller, int | Rejection]:
        """Return who asks, and the id of the association, or why it is rejected."""
        caller = Caller(calling_ae=asked.calling_ae_title, called_ae=asked.called_ae_title, host=host)
        if self.limits.check_called_ae and caller.called_ae != self.ae_title:
            return caller, CALLED_AE
        if self.limits.calling_ae_titles and caller.calling_ae not in self.limits.calling_ae_titles:
            return caller, CALLING_AE
        wanted = [str(context.abstract_syntax) for context in asked.presentation_context_definition_list]
        if self._only_stores(wanted) and not self.room():
            return caller, NO_ROOM
        try:
            return caller, self.opened(caller)
        except LimitReached:
            return caller, TOO_MANY
        except Unavailable:
            return caller, NOT_NOW

    def _only_stores(self, wanted: Collection[str]) -> bool:
        return all(self.is_storage(name) for name in wanted)
