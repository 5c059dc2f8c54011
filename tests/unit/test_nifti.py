"""A NIfTI volume says where its voxels lie, as nibabel reads it, and is the same bytes every time."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.results.nifti import write_volumes
from dicomnode.domain import Fact, Orientation, Stack
from dicomnode.errors import Reason, Refused
from tests.values import mask, stack_at

OBLIQUE: Orientation = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
UPRIGHT: Orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
BACKWARDS: Orientation = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
HEIGHTS = (-2.5, 0.0, 2.5, 5.0)
INSIDE = np.zeros((8, 10), dtype=bool)
INSIDE[1:3, 4:9] = True


def image_of(content: bytes) -> Any:  # noqa: ANN401 - nibabel has no types
    return nibabel.Nifti1Image.from_stream(BytesIO(gzip.decompress(content)))


def place_of(stack: Stack, plane: int, row: int, column: int) -> NDArray[np.float64]:
    """Return where a pixel lies, in mm to the right, to the front and to the head (RAS)."""
    one = stack.planes[plane]
    along, down = np.array(one.orientation[:3]) * one.spacing[1], np.array(one.orientation[3:]) * one.spacing[0]
    return np.asarray((np.array(one.position) + column * along + row * down) * (-1, -1, 1))


@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), OBLIQUE, UPRIGHT, BACKWARDS])
def test_every_voxel_lies_where_its_pixel_does_by_either_matrix(orientation: Orientation) -> None:
    stack = stack_at(*HEIGHTS, orientation=orientation, spacing=(0.7, 1.3))
    (made,) = write_volumes([mask({1: INSIDE, 3: INSIDE})], stack)
    image = image_of(made.content)
    assert (image.shape, image.get_data_dtype()) == ((10, 8, 4), np.uint8)
    assert image.header.get_xyzt_units()[0] == "mm"
    for affine, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        for plane, row, column in ((0, 0, 0), (3, 7, 9), (1, 5, 2)):
            there = affine @ (column, row, plane, 1)
            assert there[:3] == pytest.approx(place_of(stack, plane, row, column), abs=1e-5)
    voxels = np.asarray(image.dataobj)
    assert {tuple(one) for one in np.argwhere(voxels)} == {
        (column, row, plane) for plane in (1, 3) for row, column in np.argwhere(INSIDE)
    }
    assert voxels.max() == 1


def test_axes_that_are_not_quite_at_right_angles_are_kept_and_no_rotation_stands_for_them() -> None:
    stack = leaning(0.008)
    assert Fact.REGULAR in stack.facts
    image = image_of(write_volumes([mask({1: INSIDE})], stack)[0].content)
    assert image.get_qform(coded=True)[1] == 0
    for plane in (0, 39):
        there = image.affine @ (9, 7, plane, 1)
        assert there[:3] == pytest.approx(place_of(stack, plane, 7, 9), abs=1e-5)


def leaning(lean: float) -> Stack:
    """Return 40 planes of which each lies `lean` times the step to the left of the one before."""
    stack = stack_at(*(2.5 * number for number in range(40)))
    planes = [replace(one, position=(lean * one.position[2], 0.0, one.position[2])) for one in stack.planes]
    return replace(stack, planes=tuple(planes))


def test_each_segment_is_a_file_of_its_own_also_one_with_nothing_inside() -> None:
    stack = stack_at(*HEIGHTS)
    volumes = write_volumes([mask({0: INSIDE}, "one"), mask({}, "none"), mask({1: ~INSIDE}, "other")], stack)
    assert [made.segment for made in volumes] == [1, 2, 3]
    assert [int(np.asarray(image_of(made.content).dataobj).sum()) for made in volumes] == [10, 0, 70]


def test_the_same_masks_are_the_same_bytes() -> None:
    stack = stack_at(*HEIGHTS)
    first, second = (write_volumes([mask({0: INSIDE})], stack) for _ in range(2))
    assert first == second
    assert first[0].content[4:8] == bytes(4)  # the time in the header of gzip


@pytest.mark.parametrize("heights", [(0.0,), (0.0, 2.5, 7.5, 10.0), (0.0, 2.0, 5.0)])
def test_a_stack_that_is_not_regular_is_refused_by_its_facts(heights: Sequence[float]) -> None:
    with pytest.raises(Refused) as refused:
        write_volumes([mask({0: INSIDE})], stack_at(*heights))
    assert refused.value.reason is Reason.NOT_REGULAR
    assert any(fact in refused.value.detail for fact in (Fact.SINGLE_PLANE, Fact.MISSING_SLICES, Fact.IRREGULAR))
