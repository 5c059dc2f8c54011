from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.domain import Exclusion, StudyState
from dicomnode.errors import Reason
from dicomnode.readiness import judge, shortfall

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet_for", "open_associations", "quiet_seconds", "ready"),
    [
        (9.9, 0, 10.0, False),
        (10.0, 0, 10.0, True),
        (3600.0, 0, 10.0, True),
        (3600.0, 1, 10.0, False),
        (3600.0, 3, 10.0, False),
        (0.0, 0, 0.0, True),
        (0.0, 1, 0.0, False),
    ],
)
def test_a_study_is_ready_once_its_associations_are_closed_and_it_is_quiet(
    quiet_for: float, open_associations: int, quiet_seconds: float, *, ready: bool
) -> None:
    evidence = judge(NOW - timedelta(seconds=quiet_for), open_associations, NOW, quiet_seconds)
    assert evidence.ready is ready


def test_the_evidence_tells_of_open_associations() -> None:
    assert str(judge(NOW, 2, NOW, 10.0)) == "2 of its associations are open"


def test_the_evidence_tells_how_long_it_was_quiet_and_how_long_it_has_to_be() -> None:
    evidence = judge(NOW - timedelta(seconds=12.34), 0, NOW, 10.0)
    assert str(evidence) == "its associations are closed, and it has been quiet for 12.3 s; 10 s are asked for"


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
