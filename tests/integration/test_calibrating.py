"""A network is quantised with planes as it sees them, spread over the images at hand."""

from pathlib import Path

import numpy as np
import pytest

from dicomnode.calibrating import squares_of
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, save


def test_planes_are_taken_evenly_from_the_inner_ones_of_each_stack(tmp_path: Path) -> None:
    save(ct_series(planes=16), tmp_path)
    squares = squares_of([tmp_path], 4)
    assert [one.shape for one in squares] == [(3, 256, 256)] * 4
    assert all(one.dtype == np.float32 and one.min() >= 0 and one.max() <= 1 for one in squares)
    assert len(squares_of([tmp_path], 99)) == 12  # of 16, two at each end show little


def test_images_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    save(ct_series(planes=3), tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    assert len(squares_of([tmp_path], 8)) == 3


def test_without_images_nothing_can_be_calibrated(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        squares_of([tmp_path], 8)
    assert refused.value.reason is Reason.NO_IMAGES
