from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.domain import Backoff

BACKOFF = Backoff(first=timedelta(seconds=3), longest=timedelta(hours=1))


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 3), (1, 3), (2, 6), (3, 12), (11, 3072), (12, 3600), (10**9, 3600)]
)
def test_a_wait_doubles_up_to_the_longest(failures: int, seconds: float) -> None:
    assert BACKOFF.after(failures, lambda: 0.0) == timedelta(seconds=seconds)


@given(failures=st.integers(1, 100), chance=st.floats(0, 1, exclude_max=True))
def test_chance_shortens_a_wait_by_less_than_a_quarter(failures: int, chance: float) -> None:
    whole = BACKOFF.after(failures, lambda: 0.0)
    assert whole * 0.7499 < BACKOFF.after(failures, lambda: chance) <= whole


def test_what_failed_together_is_not_tried_again_together() -> None:
    chances = iter((0.0, 0.25, 0.5, 0.75))
    assert len({BACKOFF.after(5, lambda: next(chances)) for _ in range(4)}) == 4
