"""Decide which studies may start, and say why, from what arrived and the time; pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dicomnode.domain import Content, Exclusion, Sending, StudyState, Uid


class Kind(StrEnum):
    """What a finding is about, strongest first."""

    ASSOCIATIONS = "associations"  # whether those that brought it are released
    IMAGES = "images"  # whether what its annotations name is here
    COUNT = "count"  # whether a PACS has as many images as are here
    LIST = "list"  # whether an annotation lists every image that is here
    GAPS = "gaps"  # whether slices are missing between planes
    OUTSIDE = "outside"  # whether something is drawn where no plane is
    OTHERS = "others"  # whether its senders have other associations open
    QUIET = "quiet"  # whether nothing came for long enough


class Decision(StrEnum):
    """What becomes of a study."""

    READY = "ready"
    WAIT = "wait"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a study is waited for: where nothing is known of it, and where something speaks against it."""

    quiet: timedelta
    incomplete: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is known of a study; `told` is how many images a PACS has of a series.

    `sendings` are the associations that brought it, and others of their callers that are open or began later.
    """

    now: datetime
    last_instance_at: datetime
    sendings: tuple[Sending, ...]
    content: Content
    told: Mapping[Uid, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that speaks for a study's being complete, or against it until `until`."""

    kind: Kind
    supports: bool
    words: str
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What becomes of a study and by which findings; it may be another one at `until`, where nothing else happens."""

    decision: Decision
    findings: tuple[Finding, ...]
    until: datetime | None = None

    def __str__(self) -> str:
        """Return in words why a study is ready, or what it waits for."""
        good = "; ".join(one.words for one in self.findings if one.supports)
        bad = "; ".join(one.words for one in self.findings if not one.supports)
        if self.decision is not Decision.READY:
            return bad or good
        return f"{good}, in spite of this: {bad}" if bad else good

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        findings = [
            {"kind": one.kind.value, "for": one.supports, "words": one.words, "until": _text(one.until)}
            for one in self.findings
        ]
        return {"decision": self.decision.value, "until": _text(self.until), "findings": findings}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """Where a study that went quiet goes when nothing can be made of it, and why."""

    state: StudyState
    reason: str


def judge(seen: Seen, patience: Patience) -> Verdict:
    """Return whether a study may start now, what it waits for, or that it is incomplete, by the strongest evidence.

    What proves that its series are whole lets it start at once; what says that something is missing holds it up for
    `patience.incomplete`; where neither is known it has to be quiet for `patience.quiet`.
    """
    if open_ := sum(one.brought and one.closed_at is None for one in seen.sendings):
        return still_sent(open_)
    proofs = tuple(_proofs(seen, seen.content))
    findings = (*_released(seen, patience, proofs), *_named(seen, seen.content, patience), *proofs)
    findings += (*_doubts(seen, seen.content, patience, proofs), *_others(seen, patience, proofs))
    return _weigh(seen, patience, findings)


def still_sent(open_associations: int) -> Verdict:
    """Return that a study waits, whatever else is known of it: associations that brought some of it are open."""
    words = f"{open_associations} of its associations are open"
    return Verdict(decision=Decision.WAIT, findings=(Finding(kind=Kind.ASSOCIATIONS, supports=False, words=words),))


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


def _weigh(seen: Seen, patience: Patience, findings: tuple[Finding, ...]) -> Verdict:
    proven = any(one.supports and one.kind in {Kind.COUNT, Kind.LIST} for one in findings)
    if proven and not any(one.until or one.kind in {Kind.GAPS, Kind.OUTSIDE} for one in findings if not one.supports):
        return Verdict(decision=Decision.READY, findings=findings)
    missing = max((one.until for one in findings if one.until), default=seen.now)
    quiet_at = seen.last_instance_at + patience.quiet
    if seen.now < quiet_at:
        words = f"{patience.quiet.total_seconds():g} s without another instance are asked for"
        waits = Finding(kind=Kind.QUIET, supports=False, words=words, until=quiet_at)
        return Verdict(decision=Decision.WAIT, findings=(*findings, waits), until=quiet_at)
    if not seen.content.pairs:
        return Verdict(decision=Decision.INCOMPLETE, findings=findings)
    if seen.now < missing:
        return Verdict(decision=Decision.INCOMPLETE, findings=findings, until=missing)
    words = f"nothing came for {(seen.now - seen.last_instance_at).total_seconds():.1f} s"
    words += f", {patience.quiet.total_seconds():g} s are asked for"
    return Verdict(decision=Decision.READY, findings=(*findings, Finding(kind=Kind.QUIET, supports=True, words=words)))


def _proofs(seen: Seen, content: Content) -> Iterator[Finding]:
    """Yield what proves that every image of the series concerned is here."""
    if not content.pairs or content.absent or content.objects:
        return
    told = seen.told or {}
    if content.series and all(told.get(one.series_uid) == one.here for one in content.series):
        words = f"a PACS has the {sum(one.here for one in content.series)} instances of its series that are here"
        yield Finding(kind=Kind.COUNT, supports=True, words=words)
    if content.listed and not _more(seen, content):
        words = "an annotation lists all images of its stack, drawn on or not"
        yield Finding(kind=Kind.LIST, supports=True, words=words)


def _released(seen: Seen, patience: Patience, proofs: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield how the associations ended; one that broke off is made good by a later one of its caller."""
    brought = [one for one in seen.sendings if one.brought]
    broken = [one for one in brought if not one.released and not _made_good(one, seen.sendings)]
    if not broken:
        words = f"all {len(brought)} associations that brought it are released, or were followed by one that is"
        yield Finding(kind=Kind.ASSOCIATIONS, supports=True, words=words)
        return
    latest = max(one.closed_at for one in broken if one.closed_at)
    ends = ", ".join(sorted({one.ended.value for one in broken if one.ended}))
    words = f"{len(broken)} associations that brought it broke off ({ends}), and none of their callers came after them"
    until = None if proofs else latest + patience.incomplete
    yield Finding(kind=Kind.ASSOCIATIONS, supports=False, words=words, until=until)


def _made_good(broken: Sending, sendings: tuple[Sending, ...]) -> bool:
    """Return whether the caller of `broken` opened and released another one that brought the rest, or could have."""
    if broken.closed_at is None or broken.last_at is None:
        return False
    return any(
        one.released
        and one.caller == broken.caller
        and (one.opened_at >= broken.closed_at or (one.brought and one.opened_at > broken.last_at))
        for one in sendings
    )


def _named(seen: Seen, content: Content, patience: Patience) -> Iterator[Finding]:
    """Yield whether what the annotations name is here."""
    until = seen.last_instance_at + patience.incomplete
    if content.absent:
        words = f"{content.absent} of the {content.named} images that its annotations name are not here"
        yield Finding(kind=Kind.IMAGES, supports=False, words=words, until=until)
    elif content.named:
        words = f"all {content.named} images that its annotations name are here"
        yield Finding(kind=Kind.IMAGES, supports=True, words=words)
    if content.objects:
        words = f"{content.objects} annotations that its annotations need are not here"
        yield Finding(kind=Kind.IMAGES, supports=False, words=words, until=until)


def _doubts(seen: Seen, content: Content, patience: Patience, proofs: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield what says that images are missing: it holds nothing up where something proves that none is."""
    until = None if proofs else seen.last_instance_at + patience.incomplete
    if more := _more(seen, content):
        words = f"a PACS has {more} more instances of its series than are here"
        yield Finding(kind=Kind.COUNT, supports=False, words=words, until=until)
    if content.gaps:
        words = f"{content.gaps} slices are missing between planes"
        yield Finding(kind=Kind.GAPS, supports=False, words=words, until=until)
    if content.beyond:
        words = f"{content.beyond} sampled points are drawn where no plane is within half a slice distance"
        yield Finding(kind=Kind.OUTSIDE, supports=False, words=words, until=until)


def _others(seen: Seen, patience: Patience, proofs: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield that its senders may be sending more of it; against a list that bears only on the moment."""
    busy = sum(not one.brought and one.closed_at is None for one in seen.sendings)
    if not busy or any(one.kind is Kind.COUNT for one in proofs):
        return
    wait = patience.quiet if proofs else patience.incomplete
    words = f"its senders have {busy} other associations open"
    yield Finding(kind=Kind.OTHERS, supports=False, words=words, until=seen.last_instance_at + wait)


def _more(seen: Seen, content: Content) -> int:
    told = seen.told or {}
    return sum(max(0, told.get(one.series_uid, 0) - one.here) for one in content.series)


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
