"""How urgent a job is, by where its study came from and what it is of."""

from collections.abc import Container, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorityRule:
    """How urgent the jobs are that this fits; no `calling_ae_title` is any sender, no `modalities` is any of them."""

    priority: int
    calling_ae_title: str | None = None
    modalities: tuple[str, ...] = ()

    def fits(self, senders: Container[str], modality: str) -> bool:
        """Return whether this is meant for images of `modality` in a study that `senders` sent."""
        sent = self.calling_ae_title is None or self.calling_ae_title in senders
        return sent and (not self.modalities or modality in self.modalities)


def priority_of(rules: Iterable[PriorityRule], senders: Container[str], modality: str) -> int:
    """Return the priority that the first of `rules` that fits gives, 0 where none does; a higher one goes first."""
    return next((rule.priority for rule in rules if rule.fits(senders, modality)), 0)
