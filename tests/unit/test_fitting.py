"""What is found in a box that was drawn about an object reaches its sides."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.inference.fitting import MOST_LIFT, PRIOR, fit

BOX = np.array([2.5, 1.5, 12.5, 8.5])  # columns 3..12, rows 2..8


def flat(value: float) -> NDArray[np.float32]:
    return np.full((12, 16), value, np.float32)


def fitted(logits: NDArray[np.float32], box: NDArray[np.float64] = BOX) -> NDArray[np.bool_]:
    fit(logits, box)
    return logits > 0


def test_what_nearly_reaches_the_sides_does() -> None:
    logits = flat(-9)
    logits[2:9, 3:13] = -0.4
    inside = fitted(logits)
    assert inside[2].any()
    assert inside[8].any()
    assert inside[:, 3].any()
    assert inside[:, 12].any()


def test_nothing_outside_the_box_is_changed() -> None:
    logits = flat(-0.4)
    inside = fitted(logits)
    inside[2:9, 3:13] = False
    assert not inside.any()
    assert (logits[0] == np.float32(-0.4)).all()


def test_what_is_far_from_the_sides_stays_so() -> None:
    logits = flat(-9)
    logits[4:7, 6:10] = 3
    inside = fitted(logits)
    assert inside.sum() == 12


def test_what_reaches_them_is_not_lifted() -> None:
    logits = flat(5)
    before = logits.copy()
    fit(logits, BOX)
    assert (logits - before).max() <= PRIOR


def test_the_lift_is_bounded() -> None:
    logits = flat(-3)
    before = logits.copy()
    fit(logits, BOX)
    assert (logits - before).max() <= PRIOR + MOST_LIFT


def test_the_middle_counts_more_the_more_of_the_ellipse_is_found() -> None:
    gained = []
    for share in (0.2, 0.4, 0.5, 0.9):
        logits = flat(np.log(share / (1 - share)))
        before = logits.copy()
        fit(logits, BOX)
        gained.append((logits - before)[5, 7])
    assert gained[0] <= MOST_LIFT
    assert MOST_LIFT < gained[1] < gained[2]
    assert gained[3] == pytest.approx(PRIOR, abs=0.1)


def test_two_plates_in_a_box_are_not_joined_in_its_middle() -> None:
    logits = flat(-9)
    logits[2:9, 3:13] = -1.5
    logits[[2, 8], 3:13] = 4
    assert not fitted(logits)[4:7].any()


@pytest.mark.parametrize(
    "box", [(20.0, 20.0, 30.0, 30.0), (-9.0, -9.0, -3.0, -3.0), (4.2, 4.2, 4.4, 4.4), (-5.0, -5.0, 40.0, 40.0)]
)
def test_any_box_is_taken(box: tuple[float, ...]) -> None:
    fitted(flat(-1), np.array(box))


@pytest.mark.parametrize("at", [(2, 3), (8, 12), (2, 7), (5, 7)])
def test_what_has_something_inside_keeps_something(at: tuple[int, int]) -> None:
    """The one pixel that a model has inside, that of an unlikely box, may lie where the prior is against it."""
    logits = flat(-20)
    logits[2:9, 3:13] = -9
    logits[at] = 1e-3
    assert np.argwhere(fitted(logits)).tolist() == [list(at)]


def test_what_has_nothing_inside_gets_nothing() -> None:
    logits = flat(-20)
    logits[2:9, 3:13] = -9
    assert not fitted(logits).any()
