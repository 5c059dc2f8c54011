"""Filling contours, and carrying masks between grids."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.prompts.filling import filled
from dicomnode.dicom.prompts.seg_frames import Grid
from dicomnode.dicom.prompts.seg_masks import on_plane
from dicomnode.domain import Plane, PlaneKey, Uid


def square(low: float, high: float) -> NDArray[np.float64]:
    return np.array([(low, low), (high, low), (high, high), (low, high)])


def test_a_pixel_is_inside_where_its_centre_is() -> None:
    assert np.argwhere(filled([square(1.5, 4.4)], (6, 8))).min(axis=0).tolist() == [2, 2]
    assert np.argwhere(filled([square(1.5, 4.4)], (6, 8))).max(axis=0).tolist() == [4, 4]
    assert filled([square(1.6, 1.9)], (6, 8)).sum() == 0


def test_a_contour_within_another_is_a_hole_whichever_way_it_turns() -> None:
    outer, inner = square(0.5, 8.5), square(3.5, 5.5)
    expected = filled([outer], (10, 10))
    expected[4:6, 4:6] = False
    assert (filled([outer, inner], (10, 10)) == expected).all()
    assert (filled([outer, inner[::-1]], (10, 10)) == expected).all()


def test_a_hole_that_is_joined_by_a_keyhole_is_one_too() -> None:
    outer, inner = square(0.5, 8.5), square(3.5, 5.5)
    keyhole = np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]])
    assert (filled([keyhole], (10, 10)) == filled([outer, inner], (10, 10))).all()


def test_of_two_that_share_an_edge_on_centres_each_pixel_is_in_one() -> None:
    left, right = square(0, 4), np.add(square(0, 4), (4, 0))
    both = filled([left], (6, 10)).astype(int) + filled([right], (6, 10))
    assert both.max() == 1
    assert both[1:4, 1:8].all()


def test_what_lies_beyond_the_image_is_cut() -> None:
    assert filled([square(-5, 50)], (4, 4)).all()
    assert not filled([square(10, 50)], (4, 4)).any()


def grid(position: tuple[float, float, float], row: tuple[float, float, float], spacing: float) -> Grid:
    return Grid(
        position=np.array(position),
        row=np.array(row),
        column=np.array((0.0, 1.0, 0.0)),
        spacing=(spacing,) * 2,
        depth=1,
    )


PLANE = Plane(
    key=PlaneKey(Uid("1")),
    source=Path(),
    position=(0.0, 0.0, 0.0),
    orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    spacing=(1.0, 1.0),
    thickness=None,
    stored=np.zeros((4, 6), np.int16),
    slope=1.0,
    intercept=0.0,
    inverted=False,
    padding=None,
)


def test_a_mask_on_a_grid_that_runs_the_other_way_is_turned_round() -> None:
    mask = np.random.default_rng(0).random((4, 6)) < 0.5
    assert (on_plane(mask, grid((5.0, 0.0, 0.0), (-1.0, 0.0, 0.0), 1.0), PLANE) == mask[:, ::-1]).all()


def test_a_mask_on_a_coarser_grid_gives_each_pixel_the_nearest_and_nothing_outside() -> None:
    mask = np.array([[True, False]])  # pixels of 2 mm, from the plane's first corner
    found = on_plane(mask, grid((0.5, 0.5, 0.0), (1.0, 0.0, 0.0), 2.0), PLANE)
    assert found.astype(int).tolist() == [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6, [0] * 6]
