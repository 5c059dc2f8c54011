"""What is found on sections of three directions is put together by votes, or by the sum of logits."""

import math
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.domain import Box
from dicomnode.inference.ellipsoids import Ellipsoid
from dicomnode.inference.fusion import MOST_LOGIT, Qualities, Sums, Votes
from dicomnode.inference.sections import Region, Section, Through

SHAPE = (6, 8, 10)
BOX, PLANES = Box(x0=1.5, y0=0.5, x1=8.5, y1=5.5), range(1, 6)
MIDDLE = (Section(Through.PLANE, 3), Section(Through.ROW, 3), Section(Through.COLUMN, 5))


def images(value: float) -> list[NDArray[np.float32]]:
    """Return an image of `value` for each section of MIDDLE."""
    return [np.full(section.shape_in(SHAPE), value, np.float32) for section in MIDDLE]


def sums() -> Sums:
    """Return the sums about an ellipsoid whose middle is the voxel that the sections of MIDDLE have in common."""
    ellipsoid = Ellipsoid.inscribed(BOX, PLANES)
    return Sums.about(ellipsoid, ellipsoid.region(PLANES, SHAPE))


def test_two_votes_of_three_win_in_the_region_that_is_voted_on() -> None:
    votes = Votes.on(Region(range(1, 3), range(8), range(10)))
    plane, row, column = (np.full(shape, -1, np.float32) for shape in ((8, 10), (6, 10), (6, 8)))
    plane[4, 5] = plane[2, 2] = 1
    row[:, 5] = 1
    column[1, 4] = 1
    votes.add(Section(Through.PLANE, 2), plane)
    votes.add(Section(Through.ROW, 4), row)
    votes.add(Section(Through.COLUMN, 5), column)
    assert np.argwhere(votes.inside()).tolist() == [[0, 4, 5], [1, 4, 5]]
    assert ((votes.probabilities() >= 128) == votes.inside()).all()


def test_without_any_section_the_ellipsoid_is_inside() -> None:
    known = sums()
    assert known.region == Region(range(1, 6), range(1, 6), range(2, 9))
    assert (known.inside() == (Ellipsoid.inscribed(BOX, PLANES).squares(known.region) < 1)).all()
    assert ((known.probabilities() >= 128) == known.inside()).all()


def test_the_logits_of_each_section_are_added_to_the_voxels_that_it_shows() -> None:
    known, volume = sums(), np.linspace(-1, 1, 480).reshape(SHAPE).astype(np.float32)
    before = known.logits.copy()
    for section in MIDDLE:
        known.add(section, np.take(volume, section.number, section.through.axis))
    part = volume[1:6, 1:6, 2:9]
    times = np.zeros(part.shape, int)
    times[2] += 1
    times[:, 2] += 1
    times[:, :, 3] += 1
    np.testing.assert_allclose(known.logits - before, times * part, atol=1e-6)


def test_ellipses_on_all_sections_are_the_ellipsoid() -> None:
    known, volume = sums(), Ellipsoid.inscribed(BOX, PLANES).squares(Region(range(6), range(8), range(10)))
    logits = np.where(volume <= 1, np.float32(9), np.float32(-9))
    for section in known.region.sections():
        known.add(section, np.take(logits, section.number, section.through.axis))
    assert (known.inside() == (volume <= 1)[1:6, 1:6, 2:9]).all()


def test_what_is_inside_gives_boxes_once_and_sections_without_any_speak_against_it() -> None:
    known = sums()
    known.logits[:] = -1
    known.logits[1:3, 2, 3:6] = 1
    again = known.further(SHAPE, 1.0)
    assert again is not None
    begun, boxes = again
    assert boxes[Section(Through.PLANE, 2)] == Box(x0=4.5, y0=2.5, x1=7.5, y1=3.5)
    assert boxes[Section(Through.ROW, 3)] == Box(x0=4.5, y0=1.5, x1=7.5, y1=3.5)
    assert len(boxes) == 2 + 1 + 3
    np.testing.assert_allclose(begun.logits[1, 2, 4], sums().logits[1, 2, 4])
    np.testing.assert_allclose(begun.logits[0, 0, 0], sums().logits[0, 0, 0] - 3 * MOST_LOGIT)
    assert begun.further(SHAPE, 1.0) is None


@pytest.mark.parametrize("sure", [0, 1, 2])
def test_two_views_outvote_one_however_sure_it_is(sure: int) -> None:
    for sign in (1, -1):
        known = sums()
        known.logits[:] = 0
        for number, (section, image) in enumerate(zip(MIDDLE, images(sign * 3.0), strict=True)):
            known.add(section, image if number != sure else image * -100)
        assert bool(known.inside()[2, 2, 3]) == (sign > 0)


def test_sums_take_the_memory_of_the_boxs_voxels_and_not_of_the_stacks() -> None:
    shape, planes = (300, 512, 512), range(100, 140)
    box = Box(x0=99.5, y0=199.5, x1=199.5, y1=299.5)
    tracemalloc.start()
    ellipsoid = Ellipsoid.inscribed(box, planes)
    known = Sums.about(ellipsoid, ellipsoid.region(planes, shape))
    known.add(Section(Through.PLANE, 100), np.zeros((512, 512), np.float32))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    voxels = 40 * 100 * 100
    assert known.logits.nbytes == 4 * voxels
    assert most < 4 * voxels * 1.2 + 512 * 512 * 4


def test_the_quality_of_a_plane_is_the_mean_of_the_views_that_show_it() -> None:
    known = Qualities.on(6)
    across = Box(x0=0.5, y0=1.5, x1=4.5, y1=3.5)  # planes 2 and 3
    known.add(Section(Through.PLANE, 2), BOX, 0.9)
    known.add(Section(Through.PLANE, 4), BOX, 0.5)
    known.add(Section(Through.PLANE, 5), BOX, math.nan)
    known.add(Section(Through.ROW, 1), across, 0.4)
    known.add(Section(Through.ROW, 2), across, 0.6)
    known.add(Section(Through.COLUMN, 7), across, 0.1)
    assert known.means(range(2, 6)) == pytest.approx({2: (0.9 + 0.5 + 0.1) / 3, 3: (0.5 + 0.1) / 2, 4: 0.5})
