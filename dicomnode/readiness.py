"""Decide which studies may start, and say why, from what arrived and the time; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomnode.domain import Exclusion, StudyState


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Why a study may start, or why not yet."""

    open_associations: int
    quiet: timedelta
    wanted: timedelta

    @property
    def ready(self) -> bool:
        """Return whether nobody is sending and nothing came for long enough."""
        return self.open_associations == 0 and self.quiet >= self.wanted

    def __str__(self) -> str:
        """Return the evidence in words."""
        if self.open_associations:
            return f"{self.open_associations} of its associations are open"
        asked = f"{self.wanted.total_seconds():g} s are asked for"
        return f"its associations are closed, and it has been quiet for {self.quiet.total_seconds():.1f} s; {asked}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """Where a study that went quiet goes when nothing can be made of it, and why."""

    state: StudyState
    reason: str


def judge(last_instance_at: datetime, open_associations: int, now: datetime, quiet_seconds: float) -> Evidence:
    """Return whether a study may start: all associations that brought it are closed, and it has been quiet."""
    return Evidence(
        open_associations=open_associations, quiet=now - last_instance_at, wanted=timedelta(seconds=quiet_seconds)
    )


def shortfall(images: int, annotations: int, exclusions: Iterable[Exclusion]) -> Shortfall:
    """Return what a quiet study without a pair lacks: an object that may still come, or somebody's decision."""
    why = "; ".join(f"{left.what}: {left.reason}: {left.detail}" for left in exclusions if left.reason.refuses)
    left_out = f" ({why})" if why else ""
    if not annotations:
        return Shortfall(state=StudyState.INCOMPLETE, reason=f"{images} images and no annotation of them{left_out}")
    if not images:
        return Shortfall(state=StudyState.INCOMPLETE, reason=f"{annotations} annotations and no images{left_out}")
    reason = f"none of {annotations} annotations means any of {images} images{left_out}"
    return Shortfall(state=StudyState.HELD, reason=reason)
