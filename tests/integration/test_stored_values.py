"""What the modality measured, made of what files store: signs that differ in one series, and tables of values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.domain import Fact
from dicomnode.errors import Reason, Refused
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


def tabled(first: int, entries: NDArray[np.integer[Any]], *, vr: str = "OW", **changes: Any) -> list[Dataset]:  # noqa: ANN401 - any element
    """Return three planes that store -2, -1, 0, ... from left to right, and a table from stored value `first` on."""
    images = ct_series(planes=3, RescaleSlope=None, RescaleIntercept=None, **changes)
    for ds in images:
        store(ds, np.broadcast_to(np.arange(-2, 38, dtype=np.int16), SIDE).copy())
        table = Dataset()
        table.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, 12])
        table.add_new("LUTData", vr, entries.astype("<u2").tobytes() if vr == "OW" else entries.tolist())
        table.ModalityLUTType = "HU"
        ds.ModalityLUTSequence = [table]
    return images


@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("first", [-2, 65_534])
def test_a_table_of_the_modality_makes_values_of_what_is_stored(tmp_path: Path, vr: str, first: int) -> None:
    entries = np.arange(40) ** 2 + 7
    stack = stack_of(tabled(first, entries, vr=vr), tmp_path)
    for plane in stack.planes:
        np.testing.assert_array_equal(plane.values(), np.broadcast_to(entries, SIDE))


def test_a_table_stands_in_place_of_slope_and_intercept(tmp_path: Path) -> None:
    images = tabled(-2, np.arange(40) + 7)
    for ds in images:
        ds.RescaleSlope, ds.RescaleIntercept = 2, -1024
    assert stack_of(images, tmp_path).planes[0].values()[0].tolist() == [*range(7, 47)]


def test_what_lies_outside_the_table_has_the_value_of_its_end(tmp_path: Path) -> None:
    plane = stack_of(tabled(3, np.array([50, 60, 70])), tmp_path).planes[0]
    assert plane.values()[0].tolist() == [50] * 6 + [60] + [70] * 33


def test_padding_stays_padding_under_a_table(tmp_path: Path) -> None:
    images = tabled(-2, np.arange(40)[::-1] + 100)
    for ds in images:
        ds.add_new("PixelPaddingValue", "SS", -2)
    plane = stack_of(images, tmp_path).planes[0]
    assert plane.values()[0].tolist() == [100, *range(138, 99, -1)]


def test_a_table_with_fewer_entries_than_it_says_is_refused(tmp_path: Path) -> None:
    images = tabled(0, np.arange(10))
    for ds in images:
        ds.ModalityLUTSequence[0].LUTDescriptor = [11, 0, 12]
    with pytest.raises(Refused) as caught:
        stack_of(images, tmp_path)
    assert caught.value.reason is Reason.INVALID_HEADER
    assert "LUTData has 10 entries" in caught.value.detail
