"""The ellipsoid in a 3-D box, and the boxes of its sections."""

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box
from dicomnode.inference.boxes import extent
from dicomnode.inference.ellipsoids import Ellipsoid
from dicomnode.inference.sections import Region, Section, Through

SHAPE = (24, 32, 40)
BOX, PLANES = Box(x0=5.5, y0=7.5, x1=33.5, y1=24.5), range(4, 19)


def filled(box: Box, planes: range, shape: tuple[int, int, int], finer: int = 1) -> NDArray[np.bool_]:
    """Return the ellipsoid in `box` on `planes`, by its definition, in voxels `finer` times smaller each way."""
    z, y, x = (
        ((np.arange(count * finer) + 0.5) / finer - 0.5 - (low + high) / 2) / ((high - low) / 2)
        for count, low, high in zip(
            shape, (planes[0] - 0.5, box.y0, box.x0), (planes[-1] + 0.5, box.y1, box.x1), strict=True
        )
    )
    return np.asarray(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 1)


def test_the_box_of_each_section_is_that_of_what_the_ellipsoid_shows_on_it() -> None:
    finer = 9  # odd, so that a section's number is the middle of one of the smaller voxels
    small = filled(BOX, PLANES, SHAPE, finer)
    boxes = Ellipsoid.inscribed(BOX, PLANES).sections(PLANES, SHAPE, 0.0)
    assert len(boxes) == 15 + 17 + 28
    for section, box in boxes.items():
        drawn = extent(np.take(small, section.number * finer + finer // 2, section.through.axis))
        assert drawn is not None
        sides = np.array([(drawn.x0, drawn.y0, drawn.x1, drawn.y1), (box.x0, box.y0, box.x1, box.y1)])
        sides[0] = (sides[0] + 0.5) / finer - 0.5
        assert np.abs(sides[0] - sides[1]).max() < 1 / finer


def test_a_section_through_the_middle_has_the_sides_of_the_3_d_box() -> None:
    boxes = Ellipsoid.inscribed(BOX, PLANES).sections(PLANES, SHAPE, 1.0)
    assert boxes[Section(Through.PLANE, 11)] == BOX
    assert boxes[Section(Through.ROW, 16)] == Box(x0=5.5, y0=3.5, x1=33.5, y1=18.5)


def test_a_section_of_the_end_is_as_large_as_the_model_needs() -> None:
    boxes = Ellipsoid.inscribed(BOX, PLANES).sections(PLANES, SHAPE, 12.0)
    for box in boxes.values():
        assert min(box.x1 - box.x0, box.y1 - box.y0) >= 12.0 - 1e-9


def test_a_section_that_only_touches_the_ellipsoid_is_left_out() -> None:
    boxes = Ellipsoid.inscribed(Box(x0=5.0, y0=7.5, x1=33.0, y1=24.5), PLANES).sections(PLANES, SHAPE, 3.0)
    assert {section.number for section in boxes if section.through is Through.COLUMN} == set(range(6, 33))


def test_an_ellipsoid_that_leaves_the_image_has_boxes_within_it() -> None:
    across = Box(x0=-10.5, y0=20.5, x1=9.5, y1=40.5)
    boxes = Ellipsoid.inscribed(across, PLANES).sections(PLANES, SHAPE, 1.0)
    assert {section.number for section in boxes if section.through is Through.ROW} == set(range(21, 32))
    assert {section.number for section in boxes if section.through is Through.COLUMN} == set(range(10))
    for section, box in boxes.items():
        rows, columns = section.shape_in(SHAPE)
        assert -0.5 <= box.x0 < box.x1 <= columns - 0.5
        assert -0.5 <= box.y0 < box.y1 <= rows - 0.5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_thin_ellipsoids_have_a_box_on_each_of_their_planes(count: int) -> None:
    planes = range(7, 7 + count)
    boxes = Ellipsoid.inscribed(BOX, planes).sections(planes, SHAPE, 1.0)
    on = {section.number: box for section, box in boxes.items() if section.through is Through.PLANE}
    assert set(on) == set(planes)
    assert on[7].x1 - on[7].x0 == pytest.approx(28 * sqrt(1 - ((count - 1) / count) ** 2))
    assert all(box.y1 - box.y0 >= 1.0 - 1e-9 for box in boxes.values())


def test_the_squared_radius_is_one_at_the_rim() -> None:
    region = Region(range(24), range(32), range(40))
    squares = Ellipsoid.inscribed(BOX, PLANES).squares(region)
    assert squares.dtype == np.float32
    assert ((squares <= 1) == filled(BOX, PLANES, SHAPE)).all()
    part = Region(range(4, 19), range(8, 25), range(6, 34))
    assert (Ellipsoid.inscribed(BOX, PLANES).squares(part) == squares[4:19, 8:25, 6:34]).all()
    assert Ellipsoid.inscribed(BOX, PLANES).region(PLANES, SHAPE) == part
