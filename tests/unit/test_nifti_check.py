"""A volume that holds something else than the masks, or holds them elsewhere, is refused."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dicomnode.dicom.results.nifti import write_volumes
from dicomnode.dicom.results.nifti_check import check_volumes
from dicomnode.domain import Orientation
from dicomnode.errors import Reason, Refused
from tests.values import mask, stack_at

INSIDE = np.zeros((8, 10), dtype=bool)
INSIDE[1:3, 4:9] = True
MASKS = [mask({1: INSIDE, 3: INSIDE}, "one"), mask({}, "none")]
OBLIQUE: Orientation = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
STACK = stack_at(-2.5, 0.0, 2.5, 5.0, orientation=OBLIQUE, spacing=(0.7, 1.3))


@pytest.mark.parametrize(
    "orientation",
    [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), OBLIQUE, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)],
)
def test_what_is_written_passes(orientation: Orientation) -> None:
    stack = stack_at(-2.5, 0.0, 2.5, 5.0, orientation=orientation, spacing=(0.7, 1.3))
    check_volumes(write_volumes(MASKS, stack), MASKS, stack)


def number(form: str, offset: int, value: float) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(form, content, offset, value)


def swap_the_columns_of_the_matrix(content: bytearray) -> None:
    for row in (280, 296, 312):
        one, other = struct.unpack_from("<2f", content, row)
        struct.pack_into("<2f", content, row, other, one)


def move_by_a_pixel(content: bytearray) -> None:
    (x,) = struct.unpack_from("<f", content, 292)
    struct.pack_into("<f", content, 292, x + 1.3)


@pytest.mark.parametrize(
    "tamper",
    [
        swap_the_columns_of_the_matrix,
        move_by_a_pixel,
        number("<f", 292, float("nan")),
        number("<f", 268, 50.0),  # where the qform begins
        number("<f", 260, 0.9),  # how it is turned
        number("<f", 80, 0.7),  # a side of a voxel
        number("<h", 254, 0),  # no sform
        number("<h", 42, 8),  # columns
        number("<h", 70, 256),  # int8
        number("B", 123, 3),  # micrometres
        number("<f", 112, 2.0),
        number("B", 352, 1),
        number("B", 352 + 80 + 14, 0),
        number("B", 352 + 80 + 14, 2),
        lambda content: content.append(0),
        lambda content: content.clear(),
    ],
)
def test_a_volume_that_says_something_else_is_refused(tamper: Callable[[bytearray], None]) -> None:
    one, other = write_volumes(MASKS, STACK)
    content = bytearray(gzip.decompress(one.content))
    tamper(content)
    with pytest.raises(Refused) as refused:
        check_volumes([replace(one, content=gzip.compress(bytes(content))), other], MASKS, STACK)
    assert refused.value.reason is Reason.FAILED_CHECK


def test_bytes_that_are_cut_off_and_volumes_that_are_missing_are_refused() -> None:
    one, other = write_volumes(MASKS, STACK)
    for volumes in ([one], [other, one], [one, replace(other, content=other.content[:-9])]):
        with pytest.raises(Refused) as refused:
            check_volumes(volumes, MASKS, STACK)
        assert refused.value.reason is Reason.FAILED_CHECK
