"""What is rounding and what is geometry: each bound, from both sides."""

from io import BytesIO
from math import cos, radians, sin, tan
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmwrite

from dicomnode.dicom.grouping import group
from dicomnode.dicom.instances import describe
from dicomnode.domain import Fact, ImageInstance, OtherInstance
from dicomnode.errors import Reason
from dicomnode.geometry import facts_of
from tests.builders import ct_series
from tests.values import image, images_at

UP = np.array([0.0, 0.0, 1.0])
WITHIN, BEYOND = (True, False)


def facts(positions: NDArray[np.float64]) -> frozenset[Fact]:
    return facts_of(positions, UP, np.full(len(positions), np.nan))


def at(gaps: list[float]) -> NDArray[np.float64]:
    """Return the positions, (plane, 3) in mm, of planes with `gaps` between them."""
    return np.asarray(np.cumsum([0.0, *gaps])[:, None] * UP)


@pytest.mark.parametrize(
    ("step", "odd", "within"),
    [
        *((1.0, 0.099, True), (1.0, 0.101, False), (1.9, 0.099, True), (1.9, 0.101, False)),
        *((2.1, 0.104, True), (2.1, 0.106, False), (10.0, 0.49, True), (10.0, 0.51, False)),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_gap_may_be_a_tenth_of_a_millimetre_or_a_twentieth_off(
    step: float, odd: float, side: int, *, within: bool
) -> None:
    expected = Fact.REGULAR if within else Fact.IRREGULAR
    assert facts(at([step, step, step + side * odd, step, step])) == {expected}


@pytest.mark.parametrize(("degrees", "expected"), [(0.49, Fact.REGULAR), (0.51, Fact.SHEARED)])
@pytest.mark.parametrize("side", [1, -1])
def test_planes_may_lean_by_half_a_degree(degrees: float, expected: Fact, side: int) -> None:
    aside = np.arange(6)[:, None] * np.array([0, side * 2.5 * tan(radians(degrees)), 0])
    assert facts(at([2.5] * 5) + aside) == {expected}


@pytest.mark.parametrize(
    ("step", "aside", "expected"),
    [(1.0, 0.099, Fact.REGULAR), (1.0, 0.101, Fact.IRREGULAR), (5.0, 0.24, Fact.REGULAR), (5.0, 0.26, Fact.IRREGULAR)],
)
def test_a_plane_may_lie_beside_the_line_as_far_as_a_gap_may_be_off(step: float, aside: float, expected: Fact) -> None:
    positions = at([step] * 6)
    positions[3, 0] += aside
    assert facts(positions) == {expected}


@pytest.mark.parametrize(("half", "expected"), [(12, Fact.REGULAR), (13, Fact.IRREGULAR)])
def test_gaps_that_are_all_but_even_may_not_add_up_to_more_than_half_a_gap(half: int, expected: Fact) -> None:
    assert facts(at([1.04] * half + [0.96] * half)) == {expected}


@pytest.mark.parametrize(("turned", "stacks"), [(0.00099, 1), (0.00101, 2)])
def test_directions_of_one_stack_may_differ_by_a_thousandth(turned: float, stacks: int) -> None:
    orientation = (cos(turned), sin(turned), 0.0, -sin(turned), cos(turned), 0.0)
    found, _ = group([*images_at(0, 1, 2), *images_at(3, 4, prefix="1.4", orientation=orientation)])
    assert len(found) == stacks


@pytest.mark.parametrize(("wider", "stacks"), [(0.00009, 1), (0.00011, 2)])
@pytest.mark.parametrize("axis", [0, 1])
def test_pixel_spacings_of_one_stack_may_differ_by_a_tenth_of_a_micrometre(
    wider: float, stacks: int, axis: int
) -> None:
    spacing = (1.0 + wider * (axis == 0), 1.0 + wider * (axis == 1))
    found, _ = group([*images_at(0, 1, 2), *images_at(3, 4, prefix="1.4", spacing=spacing)])
    assert len(found) == stacks


@pytest.mark.parametrize(("apart", "reason"), [(0.0011, None), (0.0009, Reason.DUPLICATE_POSITIONS)])
def test_planes_less_than_a_micrometre_apart_lie_at_the_same_place(apart: float, reason: Reason | None) -> None:
    _, exclusions = group([*images_at(0, 1, 2), image("1.4.1", (0.0, 0.0, 1 + apart))])
    assert [one.reason for one in exclusions] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("orientation", "within"),
    [
        ([1.00099, 0, 0, 0, 1, 0], WITHIN),
        ([1.00101, 0, 0, 0, 1, 0], BEYOND),
        ([1, 0, 0, 0, 0.99901, 0], WITHIN),
        ([1, 0, 0, 0, 0.99899, 0], BEYOND),
        ([1, 0, 0, 0.00099, 1, 0], WITHIN),
        ([1, 0, 0, 0.00101, 1, 0], BEYOND),
    ],
)
def test_directions_are_unit_vectors_at_a_right_angle_within_a_thousandth(
    orientation: list[float], *, within: bool
) -> None:
    (ds,) = ct_series(planes=1, ImageOrientationPatient=orientation)
    buffer = BytesIO()
    dcmwrite(buffer, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)
    buffer.seek(0)
    found = describe(buffer, path=Path("x"), digest="")
    if within:
        assert isinstance(found, ImageInstance)
    else:
        assert isinstance(found, OtherInstance)
        assert found.exclusion.reason is Reason.INVALID_HEADER
