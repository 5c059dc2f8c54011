"""What the modality measured, made of what files store: signs that differ in one series, and tables of values."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.domain import Fact
from tests.builders import ct_series, rtstruct, square
from tests.folders import outcome_of, stack_of

SIDE = (32, 40)


def store(ds: Dataset, stored: NDArray[np.integer[Any]]) -> None:
    """Give `ds` the pixels `stored`, (row, column) int16 or uint16."""
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.PixelData = stored.tobytes()


def mixed() -> list[Dataset]:
    """Return planes that store the same measurements signed, and unsigned with another intercept, in turn."""
    images = ct_series(planes=4, RescaleIntercept=0)
    measured = np.linspace(-1000, 31_000, SIDE[0] * SIDE[1]).astype(np.int16).reshape(SIDE)
    for number, ds in enumerate(images):
        if number % 2:
            store(ds, (measured.astype(np.int32) + 32_768).astype(np.uint16))  # to 63768: no int16 holds it
            ds.RescaleIntercept, ds.PixelPaddingValue = -32_768, 31_768
            ds["PixelPaddingValue"].VR = "US"
        else:
            store(ds, measured)
            ds.PixelPaddingValue = -1000
            ds["PixelPaddingValue"].VR = "SS"
    return images


def test_signed_and_unsigned_planes_of_one_series_are_one_stack_of_the_same_measurements(tmp_path: Path) -> None:
    stack = stack_of(mixed(), tmp_path)
    assert stack.facts == {Fact.REGULAR}
    assert [plane.stored.dtype for plane in stack.planes] == [np.int16, np.uint16] * 2
    for plane in stack.planes[1:]:
        np.testing.assert_array_equal(plane.values(), stack.planes[0].values())
    assert [plane.padding for plane in stack.planes] == [(-1000, -1000), (31_768, 31_768)] * 2


def test_signed_and_unsigned_planes_are_segmented_together(tmp_path: Path) -> None:
    images = mixed()
    drawn = rtstruct(images, {"A": [square(5, 5, 20, 20, 2.5 * number) for number in range(4)]})
    outcome = outcome_of(images, drawn, tmp_path)
    assert (outcome.exclusions, len(outcome.objects)) == ((), 1)
