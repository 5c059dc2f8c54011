import pytest

from dicomnode.domain import PriorityRule, priority_of

RULES = (
    PriorityRule(priority=9, calling_ae_title="STROKE", modalities=("CT", "MR")),
    PriorityRule(priority=-5, modalities=("US",)),
    PriorityRule(priority=1, calling_ae_title="STROKE"),
)


@pytest.mark.parametrize(
    ("senders", "modality", "expected"),
    [
        ({"STROKE", "OTHER"}, "CT", 9),
        ({"OTHER"}, "CT", 0),
        ({"OTHER"}, "US", -5),
        ({"STROKE"}, "US", -5),
        ({"STROKE"}, "PT", 1),
        (set(), "PT", 0),
    ],
)
def test_the_first_rule_that_fits_says_how_urgent_a_job_is(senders: set[str], modality: str, expected: int) -> None:
    assert priority_of(RULES, senders, modality) == expected
