from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.domain import AssociationEnd, Content, Exclusion, Sending, SeriesCount, StudyState, Uid
from dicomnode.errors import Reason
from dicomnode.readiness import Decision, Kind, Patience, Seen, Verdict, judge, shortfall, still_sent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATIENCE = Patience(quiet=timedelta(seconds=10), incomplete=timedelta(seconds=600))
SERIES = Uid("1.2.3")
BARE = Content(images=8, annotations=1, pairs=1, series=(SeriesCount(series_uid=SERIES, study_uid=Uid("1.2"), here=8),))
LISTED = replace(BARE, named=8, listed=True)
TOLD = {SERIES: 8}


def sending(
    opened: float, closed: float | None, ended: str | None = "released", *, caller: str = "A", last: float | None = None
) -> Sending:
    """Return an association that opened and closed so many seconds ago, and brought its last instance `last` ago."""
    return Sending(
        caller=caller,
        opened_at=NOW - timedelta(seconds=opened),
        closed_at=None if closed is None else NOW - timedelta(seconds=closed),
        ended=AssociationEnd(ended) if ended and closed is not None else None,
        last_at=None if last is None else NOW - timedelta(seconds=last),
    )


RELEASED = sending(3, 1, last=2)
BROKEN = sending(8, 5, "aborted", last=6)


def judged(
    content: Content = LISTED,
    *sendings: Sending,
    quiet_for: float = 2.0,
    told: Mapping[Uid, int] | None = None,
) -> Verdict:
    last = NOW - timedelta(seconds=quiet_for)
    return judge(
        Seen(now=NOW, last_instance_at=last, sendings=sendings or (RELEASED,), content=content, told=told), PATIENCE
    )


def kinds(verdict: Verdict, *, supports: bool) -> set[Kind]:
    return {one.kind for one in verdict.findings if one.supports is supports}


@pytest.mark.parametrize("content", [BARE, LISTED])
@pytest.mark.parametrize("quiet_for", [0.0, 3600.0])
def test_nothing_starts_while_an_association_that_brought_some_of_it_is_open(
    content: Content, quiet_for: float
) -> None:
    verdict = judged(content, RELEASED, sending(9, None, last=4), quiet_for=quiet_for, told=TOLD)
    assert verdict == still_sent(1)
    assert (verdict.decision, verdict.until) == (Decision.WAIT, None)
    assert str(verdict) == "1 of its associations are open"


@pytest.mark.parametrize(
    ("content", "told"), [(BARE, TOLD), (LISTED, None), (LISTED, TOLD), (LISTED, {SERIES: 5}), (LISTED, {})]
)
def test_a_study_of_which_something_proves_that_it_is_whole_starts_at_once(
    content: Content, told: Mapping[Uid, int] | None
) -> None:
    assert judged(content, quiet_for=0, told=told).decision is Decision.READY


UNPROVEN: list[tuple[Content, dict[str, Any]]] = [
    (BARE, {}),
    (BARE, {"told": {}}),
    (BARE, {"told": {SERIES: 7}}),
    (replace(BARE, named=3), {}),
    (replace(LISTED, gaps=1), {}),
    (replace(LISTED, beyond=1), {}),
]


@pytest.mark.parametrize(("content", "more"), UNPROVEN)
def test_where_nothing_proves_it_a_study_has_to_be_quiet(content: Content, more: dict[str, Any]) -> None:
    early, late = judged(content, quiet_for=9.9, **more), judged(content, quiet_for=10.0, **more)
    assert (early.decision, early.until) == (Decision.WAIT, NOW + timedelta(seconds=0.1))
    assert Kind.QUIET in kinds(early, supports=False)
    assert late.decision is Decision.READY


MISSING: list[tuple[Content, dict[str, Any], str]] = [
    (replace(BARE, named=9, absent=2), {}, "2 of the 9 images that its annotations name are not here"),
    (replace(LISTED, absent=1), {"told": TOLD}, "1 of the 8 images that its annotations name are not here"),
    (replace(LISTED, objects=1), {}, "1 annotations that its annotations need are not here"),
    (BARE, {"told": {SERIES: 10}}, "a PACS has 2 more instances of its series than are here"),
    (LISTED, {"told": {SERIES: 10}}, "a PACS has 2 more instances of its series than are here"),
    (replace(BARE, gaps=3), {}, "3 slices are missing between planes"),
    (replace(BARE, beyond=4), {}, "4 sampled points are drawn where no plane is within half a slice distance"),
]


@pytest.mark.parametrize(("content", "more", "words"), MISSING)
def test_what_says_that_something_is_missing_holds_a_study_up_for_a_while(
    content: Content, more: dict[str, Any], words: str
) -> None:
    assert judged(content, quiet_for=3, **more).decision is Decision.WAIT
    waits = judged(content, quiet_for=100, **more)
    assert (waits.decision, waits.until) == (Decision.INCOMPLETE, NOW + timedelta(seconds=500))
    assert words in str(waits)
    late = judged(content, quiet_for=600, **more)
    assert late.decision is Decision.READY
    assert f"in spite of this: {words}" in str(late)


@pytest.mark.parametrize("ended", ["aborted", "lost", "died"])
def test_an_association_that_broke_off_makes_a_study_incomplete(ended: str) -> None:
    broken = sending(30, 20, ended, last=25)
    verdict = judged(BARE, broken, quiet_for=25)
    assert (verdict.decision, verdict.until) == (Decision.INCOMPLETE, NOW + timedelta(seconds=580))
    assert ended in str(verdict)
    assert judged(BARE, sending(700, 600, ended, last=650), quiet_for=650).decision is Decision.READY


AFTER = {
    "the same caller opened and released one after it": (sending(4, 1), True),
    "it began after the last that came, before the end was seen, and brought more": (sending(5.5, 1, last=2), True),
    "it began after the last that came, before the end was seen, and brought nothing": (sending(5.5, 1), False),
    "it began before the last that came": (sending(7, 1, last=2), False),
    "another caller": (sending(4, 1, caller="B"), False),
    "it is still open": (sending(4, None), False),
    "it broke off, too": (sending(4, 1, "lost"), False),
}


@pytest.mark.parametrize("name", AFTER)
def test_a_later_association_of_the_same_caller_makes_good_for_one_that_broke_off(name: str) -> None:
    other, good = AFTER[name]
    verdict = judged(BARE, BROKEN, other, quiet_for=20)
    assert (Kind.ASSOCIATIONS in kinds(verdict, supports=True)) is good
    assert (verdict.decision is Decision.READY) is good


def test_each_association_that_broke_off_is_to_be_made_good() -> None:
    verdict = judged(BARE, BROKEN, sending(8, 5, "lost", caller="B", last=6), sending(4, 1), quiet_for=20)
    assert verdict.decision is Decision.INCOMPLETE


def test_a_study_that_is_proven_whole_does_not_wait_for_an_association_that_broke_off() -> None:
    verdict = judged(LISTED, BROKEN)
    assert verdict.decision is Decision.READY
    assert Kind.ASSOCIATIONS in kinds(verdict, supports=False)


def test_an_open_association_of_its_senders_keeps_a_list_from_being_enough() -> None:
    other = sending(9, None)
    assert judged(LISTED, RELEASED, other).decision is Decision.WAIT
    assert judged(LISTED, RELEASED, other, quiet_for=10).decision is Decision.READY
    assert judged(LISTED, RELEASED, other, told=TOLD).decision is Decision.READY
    assert judged(BARE, RELEASED, other, quiet_for=100).decision is Decision.INCOMPLETE
    assert judged(BARE, RELEASED, other, quiet_for=600).decision is Decision.READY


@pytest.mark.parametrize("content", [replace(BARE, pairs=0), replace(LISTED, pairs=0, absent=3)])
def test_a_study_of_which_nothing_can_be_made_is_incomplete_once_it_is_quiet(content: Content) -> None:
    assert judged(content, quiet_for=9, told=TOLD).decision is Decision.WAIT
    verdict = judged(content, quiet_for=10, told=TOLD)
    assert (verdict.decision, verdict.until) == (Decision.INCOMPLETE, None)


def test_a_verdict_is_told_in_words_and_in_values() -> None:
    verdict = judged(LISTED)
    assert str(verdict) == (
        "all 1 associations that brought it are released, or were followed by one that is; all 8 images that its "
        "annotations name are here; an annotation lists all images of its stack, drawn on or not"
    )
    values = judged(replace(BARE, gaps=1), quiet_for=20).values()
    until = (NOW + timedelta(seconds=580)).isoformat()
    assert (values["decision"], values["until"]) == ("incomplete", until)
    words = "1 slices are missing between planes"
    assert values["findings"][-1] == {"kind": "gaps", "for": False, "words": words, "until": until}


ENDS = st.sampled_from(["released", "aborted", "lost", "died"])
NUMBERS = st.integers(0, 3)
CONTENTS = st.builds(
    Content,
    images=st.just(8),
    annotations=st.just(1),
    pairs=st.integers(0, 2),
    named=st.just(8),
    absent=NUMBERS,
    objects=NUMBERS,
    gaps=NUMBERS,
    beyond=NUMBERS,
    listed=st.booleans(),
    series=st.just(BARE.series),
)
SENDINGS = st.builds(
    lambda opened, closed, ended, caller, last: sending(
        opened, closed and min(opened, closed), ended, caller=caller, last=last and min(opened, last)
    ),
    st.floats(1, 900),
    st.none() | st.floats(0.1, 900),
    ENDS,
    st.sampled_from("AB"),
    st.none() | st.floats(0.1, 900),
)
SEEN = st.builds(
    lambda content, sendings, told, quiet: Seen(
        now=NOW,
        last_instance_at=NOW - timedelta(seconds=quiet),
        sendings=(RELEASED, *sendings),
        content=content,
        told=told,
    ),
    CONTENTS,
    st.lists(SENDINGS, max_size=3),
    st.none() | st.fixed_dictionaries({SERIES: st.integers(6, 10)}),
    st.floats(0, 900),
)


@given(SEEN)
def test_no_study_starts_before_it_may(seen: Seen) -> None:
    verdict, content = judge(seen, PATIENCE), seen.content
    assert content is not None
    if verdict.decision is not Decision.READY:
        return
    assert content.pairs
    assert not any(one.brought and one.closed_at is None for one in seen.sendings)
    if seen.now - seen.last_instance_at < PATIENCE.quiet:
        assert content.listed or seen.told == TOLD
        assert not any((content.absent, content.objects, content.gaps, content.beyond))


@given(SEEN)
def test_no_study_waits_for_longer_than_it_has_to(seen: Seen) -> None:
    later = replace(seen, now=seen.now + timedelta(days=1))
    open_ = any(one.brought and one.closed_at is None for one in seen.sendings)
    expected = Decision.WAIT if open_ else Decision.READY
    assert seen.content is not None
    assert judge(later, PATIENCE).decision is (expected if open_ or seen.content.pairs else Decision.INCOMPLETE)


@given(SEEN)
def test_a_verdict_holds_until_it_says(seen: Seen) -> None:
    verdict = judge(seen, PATIENCE)
    if verdict.until:
        assert verdict.until > seen.now
        before = replace(seen, now=verdict.until - timedelta(microseconds=1))
        assert judge(before, PATIENCE).decision is verdict.decision


def test_images_without_an_annotation_are_incomplete() -> None:
    found = shortfall(12, 0, ())
    assert found.state is StudyState.INCOMPLETE
    assert found.reason == "12 images and no annotation of them"


def test_an_annotation_that_could_not_be_read_is_named() -> None:
    broken = Exclusion(what="1.2.dcm", reason=Reason.UNREADABLE, detail="it ends early")
    assert shortfall(12, 0, (broken,)).reason == (
        "12 images and no annotation of them (1.2.dcm: UNREADABLE: it ends early)"
    )


def test_an_annotation_without_images_is_incomplete() -> None:
    found = shortfall(0, 2, ())
    assert found.state is StudyState.INCOMPLETE
    assert found.reason == "2 annotations and no images"


def test_an_annotation_that_means_none_of_the_images_is_held_with_the_reason() -> None:
    wrong = Exclusion(what="RTSTRUCT 1.2", reason=Reason.FOR_MISMATCH, detail="1.3 is not 1.4")
    aside = Exclusion(what="image 1.5", reason=Reason.LOCALIZER, detail="a localizer")
    found = shortfall(5, 1, (wrong, aside))
    assert found.state is StudyState.HELD
    why = "RTSTRUCT 1.2: FOR_MISMATCH: 1.3 is not 1.4"
    assert found.reason == f"none of 1 annotations means any of 5 images ({why})"
