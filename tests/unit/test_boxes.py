import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnode.dicom.prompts.boxes import extent, fit, to_pixels, union
from dicomnode.domain import Box, Orientation
from dicomnode.errors import Reason, Refused
from tests.values import plane

PLANE = plane()  # 8 rows, 10 columns, 1 mm


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def test_the_first_pixel_is_at_its_planes_position() -> None:
    there = plane(position=(-20.0, 7.0, 3.0))
    assert to_pixels(np.array([[-20.0, 7.0, 3.0]]), there).tolist() == [[0, 0]]


def test_x_counts_columns_by_the_second_spacing_and_y_rows_by_the_first() -> None:
    anisotropic = plane(spacing=(0.5, 2.0))
    assert to_pixels(np.array([[4.0, 3.0, 0.0]]), anisotropic).tolist() == [[2, 6]]


SKEWED: Orientation = (0.6, 0.8, 0.0, -0.7995, 0.6004, 0.0005)  # not quite unit vectors, not quite at a right angle


@pytest.mark.parametrize("orientation", [SKEWED, (0.7071, 0.7072, 0.0, 0.0, 0.0, -0.9995)])
def test_stated_directions_are_inverted_as_they_are(orientation: Orientation) -> None:
    there = plane(position=(-200.0, 50.0, 7.0), orientation=orientation, spacing=(0.7, 1.3))
    pixels = np.array([[0.0, 0.0], [511.0, 0.0], [0.0, 511.0], [511.0, 511.0]])
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    points = np.array(there.position) + pixels[:, :1] * 1.3 * row + pixels[:, 1:] * 0.7 * column
    assert np.allclose(to_pixels(points, there), pixels, rtol=0, atol=1e-9)


def test_at_a_right_angle_the_pixels_are_the_projections_on_the_directions() -> None:
    there = plane(position=(3.0, 4.0, 5.0), orientation=_orientation((0.3, -0.8, 2.0)), spacing=(0.7, 1.3))
    points = np.random.default_rng(5).uniform(-300, 300, (50, 3))
    row, column = np.array(there.orientation[:3]), np.array(there.orientation[3:])
    offsets = points - np.array(there.position)
    projected = np.column_stack([offsets @ row / 1.3, offsets @ column / 0.7])
    assert np.allclose(to_pixels(points, there), projected, rtol=0, atol=1e-9)


def test_the_box_of_points_is_their_extent_and_several_boxes_become_one() -> None:
    one, other = extent(np.array([[3.0, 1.0], [5.0, 2.0]])), extent(np.array([[0.0, 4.0], [1.0, 6.0]]))
    assert (one, union([one, other])) == (box(3, 1, 5, 2), box(0, 1, 5, 6))


def test_a_box_inside_the_image_stays_as_it_was_drawn() -> None:
    assert fit(box(1.25, 2, 5, 5.5), PLANE, 0.0, what="box") == (box(1.25, 2, 5, 5.5), ())


def test_a_margin_is_in_millimetres_on_each_axis() -> None:
    fitted, _ = fit(box(4, 4, 5, 5), plane(spacing=(0.5, 2.0)), 1.0, what="box", least_side=1.0)
    assert fitted == box(3.5, 2, 5.5, 7)


def test_a_box_over_the_edge_is_clipped_to_the_outer_edges_of_the_pixels() -> None:
    fitted, notes = fit(box(-3, 4, 4, 20), PLANE, 0.0, what="box")
    assert (fitted, notes) == (box(-0.5, 4, 4, 7.5), ("clipped to the image",))


@pytest.mark.parametrize("outside", [(-9, 1, -0.5, 3), (9.5, 1, 12, 3), (1, -4, 3, -1), (1, 7.5, 3, 9)])
def test_a_box_outside_the_image_is_refused_however_wide_its_margin(outside: tuple[float, float, float, float]) -> None:
    with pytest.raises(Refused, match="10 x 8 pixels") as refused:
        fit(box(*outside), PLANE, 5.0, what="box")
    assert refused.value.reason is Reason.BOX_OUTSIDE


def test_a_box_of_one_pixel_is_grown_to_three_and_a_note_says_so() -> None:
    fitted, notes = fit(box(3.5, 2.5, 4.5, 3.5), PLANE, 0.0, what="box")
    assert (fitted, notes) == (box(2.5, 1.5, 5.5, 4.5), ("grown to 3 pixels",))


def test_for_a_model_that_sees_single_pixels_a_box_is_grown_to_one_at_least() -> None:
    fitted, notes = fit(box(4.4, 3, 4.4, 3), PLANE, 0.0, what="box", least_side=1.0)
    assert (fitted.x0, fitted.y0, fitted.x1, fitted.y1) == pytest.approx((3.9, 2.5, 4.9, 3.5))
    assert notes == ("grown to 1 pixels",)
    assert fit(box(3.5, 2.5, 4.5, 3.5), PLANE, 0.0, what="box", least_side=1.0) == (box(3.5, 2.5, 4.5, 3.5), ())


def test_a_sliver_at_the_edge_grows_into_the_image() -> None:
    fitted, _ = fit(box(-2, 3, -0.4, 6), PLANE, 0.0, what="box")
    assert fitted == box(-0.5, 3, 2.5, 6)


def test_a_box_of_an_image_narrower_than_the_least_side_is_as_wide_as_the_image() -> None:
    narrow = plane(stored=np.zeros((2, 10), dtype=np.int16))
    fitted, _ = fit(box(4, 0, 8, 0.5), narrow, 0.0, what="box")
    assert fitted == box(4, -0.5, 8, 1.5)


def _orientation(angles: tuple[float, float, float]) -> Orientation:
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    rotation = about_z @ about_y @ about_x
    row, column = ([float(value) for value in rotation[:, axis]] for axis in (0, 1))
    return (row[0], row[1], row[2], column[0], column[1], column[2])


ANGLES = st.tuples(*[st.floats(-3.14, 3.14)] * 3)
SPACINGS = st.tuples(*[st.floats(0.1, 8)] * 2)
PLACES = st.tuples(*[st.floats(-2000, 2000)] * 3)
CORNERS = st.tuples(*[st.floats(-0.5, 500)] * 2)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(angles=ANGLES, spacing=SPACINGS, position=PLACES, corner=CORNERS, side=st.tuples(*[st.floats(1, 300)] * 2))
def test_a_box_drawn_as_a_contour_comes_back_whatever_the_orientation(
    angles: tuple[float, float, float],
    spacing: tuple[float, float],
    position: tuple[float, float, float],
    corner: tuple[float, float],
    side: tuple[float, float],
) -> None:
    there = plane(position=position, orientation=_orientation(angles), spacing=spacing)
    (x0, y0), (x1, y1) = corner, np.add(corner, side)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    row, column = np.array(there.orientation[:3]), np.array(there.orientation[3:])
    drawn = np.array(position) + corners[:, :1] * spacing[1] * row + corners[:, 1:] * spacing[0] * column
    found = extent(to_pixels(np.round(drawn, 5), there))  # a structure set's decimal texts
    assert np.allclose([found.x0, found.y0, found.x1, found.y1], [x0, y0, x1, y1], atol=1e-3)
