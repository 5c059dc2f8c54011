"""What is drawn on an image has the extent that the standard gives its graphic type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.graphics import extent_of, points_in
from dicomnode.dicom.prompts.solids import sections
from dicomnode.domain import Box
from dicomnode.errors import Reason, Refused
from tests.values import stack_at

coordinates = st.floats(-500, 500)


def drawn(graphic_type: str, *points: tuple[float, float]) -> tuple[float, ...] | None:
    """Return x0, y0, x1, y1 of what is drawn, rounded, or None."""
    box = extent_of(graphic_type, np.array(points, dtype=np.float64)).extent
    return corners(box) if box else None


def corners(box: Box) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in (box.x0, box.y0, box.x1, box.y1))


def turned(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_a_point_and_two_of_several_points_have_no_extent() -> None:
    one = extent_of("POINT", np.array([[3.0, 4.0]]))
    assert (one.extent, one.points) == (None, ((3.0, 4.0),))
    two = extent_of("MULTIPOINT", np.array([[3.0, 4.0], [5.0, 6.0]]))
    assert (two.extent, two.points) == (None, ((3.0, 4.0), (5.0, 6.0)))


def test_three_points_and_what_they_draw_have_the_extent_of_all() -> None:
    points = ((3.0, 4.0), (9.0, 1.0), (5.0, 6.0))
    for graphic_type in ("MULTIPOINT", "POLYLINE", "POLYGON", "INTERPOLATED"):
        assert drawn(graphic_type, *points) == (3, 1, 9, 6)


def test_a_circle_is_its_centre_and_a_point_of_its_edge() -> None:
    assert drawn("CIRCLE", (10.0, 20.0), (13.0, 24.0)) == (5, 15, 15, 25)


def test_an_ellipse_along_the_axes_has_its_own_ends() -> None:
    assert drawn("ELLIPSE", (50.0, 60.0), (90.0, 60.0), (70.0, 50.0), (70.0, 70.0)) == (50, 50, 90, 70)


@given(x=coordinates, y=coordinates, a=st.floats(0.1, 200), b=st.floats(0.1, 200), angle=st.floats(0, 3.2))
def test_a_turned_ellipse_has_the_extent_of_all_its_points(
    x: float, y: float, a: float, b: float, angle: float
) -> None:
    turn = turned(angle)
    ends = np.array([x, y]) + np.array([[-a, 0], [a, 0], [0, -b], [0, b]]) @ turn.T
    around = np.linspace(0, 2 * np.pi, 100_001)
    edge = np.array([x, y]) + np.column_stack([a * np.cos(around), b * np.sin(around)]) @ turn.T
    found = extent_of("ELLIPSE", ends)
    assert found.extent
    exact = (*edge.min(axis=0), *edge.max(axis=0))
    assert np.allclose(corners(found.extent), exact, atol=1e-5)
    assert (found.outline >= edge.min(axis=0) - 1e-6).all()
    assert (found.outline <= edge.max(axis=0) + 1e-6).all()


@pytest.mark.parametrize(
    ("graphic_type", "count", "words"),
    [
        ("POINT", 2, "POINT of 2 points: 1 wanted"),
        ("POLYLINE", 1, "POLYLINE of 1 points: 2 at least wanted"),
        ("POLYGON", 2, "POLYGON of 2 points: 3 at least wanted"),
        ("CIRCLE", 3, "CIRCLE of 3 points: 2 wanted"),
        ("ELLIPSE", 5, "ELLIPSE of 5 points: 4 wanted"),
        ("MULTIPOINT", 0, "MULTIPOINT of 0 points: 1 at least wanted"),
        ("SQUIGGLE", 3, "graphic type 'SQUIGGLE' is not known"),
    ],
)
def test_a_wrong_number_of_points_is_told(graphic_type: str, count: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        extent_of(graphic_type, np.zeros((count, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers_are_told(value: float) -> None:
    with pytest.raises(ValueError, match="no finite numbers"):
        extent_of("POLYLINE", np.array([[0.0, 0.0], [value, 1.0]]))


@pytest.mark.parametrize(
    ("data", "words"),
    [([1.0, 2.0, 3.0], "3 numbers in GraphicData"), ([], "0 numbers"), ([1.0, float("nan")], "no finite numbers")],
)
def test_graphic_data_that_are_no_points_are_told(data: list[float], words: str) -> None:
    ds = Dataset()
    ds.GraphicData = data
    with pytest.raises(ValueError, match=words):
        points_in(ds, 2)


def test_a_turned_ellipsoid_is_cut_as_its_equation_says() -> None:
    stack = stack_at(*np.arange(0, 40, 2.0), spacing=(0.8, 1.25))
    rng = np.random.default_rng(7)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    axes, centre = turn * np.array([12.0, 5.0, 8.0]), np.array([30.0, 25.0, 19.3])
    ends = np.array([centre + sign * axis for axis in axes.T for sign in (-1, 1)])
    form = np.linalg.inv(axes @ axes.T)
    fine = np.linspace(-14, 14, 1401)
    x, y = np.meshgrid(fine, fine)
    found = sections("ELLIPSOID", ends, stack, "it").planes
    reach = np.linalg.norm(axes[2])
    assert sorted(found) == [index for index, height in enumerate(stack.heights()) if abs(height - 19.3) < reach]
    for index, ((graphic_type, points),) in found.items():
        offsets = np.stack([x, y, np.full_like(x, stack.heights()[index] - 19.3)], axis=-1)
        inside = np.einsum("...i,ij,...j->...", offsets, form, offsets) <= 1
        exact = [(30 + x[inside].min()) / 1.25, (25 + y[inside].min()) / 0.8]
        exact += [(30 + x[inside].max()) / 1.25, (25 + y[inside].max()) / 0.8]
        box = extent_of(graphic_type, points).extent
        assert box
        assert np.allclose(corners(box), exact, atol=0.05), index


def test_an_ellipsoid_between_two_planes_lies_on_the_nearest_with_a_note() -> None:
    ends = np.array([[3, 4, 5.9], [7, 4, 5.9], [5, 2, 5.9], [5, 6, 5.9], [5, 4, 5.4], [5, 4, 6.4]])
    found = sections("ELLIPSOID", ends, stack_at(0, 5, 10), "it")
    ((graphic_type, points),) = found.planes[1]
    box = extent_of(graphic_type, points).extent
    assert box
    assert corners(box) == (3, 2, 7, 6)
    assert "between planes" in found.notes[0]


def test_a_circle_that_stands_on_the_planes_is_told() -> None:
    with pytest.raises(ValueError, match="not parallel to the planes"):
        sections("CIRCLE", np.array([[5.0, 4, 5], [5, 4, 8]]), stack_at(0, 5, 10), "it")


def test_an_ellipsoid_without_height_is_told() -> None:
    ends = np.array([[3.0, 4, 5], [7, 4, 5], [5, 2, 5], [5, 6, 5], [5, 4, 5], [5, 4, 5]])
    with pytest.raises(ValueError, match="without height"):
        sections("ELLIPSOID", ends, stack_at(0, 5, 10), "it")


def test_what_lies_beyond_the_last_plane_is_refused() -> None:
    ends = np.array([[3, 4, 20.0], [7, 4, 20], [5, 2, 20], [5, 6, 20], [5, 4, 19], [5, 4, 21]])
    for graphic_type, points in (("ELLIPSOID", ends), ("POINT", ends[:1]), ("ELLIPSE", ends[:4])):
        with pytest.raises(Refused) as error:
            sections(graphic_type, points, stack_at(0, 5, 10), "it")
        assert error.value.reason is Reason.CONTOUR_OFF_STACK
