"""Pictures and presentation states of real images of every kind, by dciodvfy's and DCMTK's word."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.pictures import write_pictures
from dicomnode.dicom.results.presentation import write_presentation_states
from dicomnode.dicom.scan import scan
from dicomnode.domain import WrittenObject
from dicomnode.planning import plan
from tests.folders import planes_of
from tests.reading import Told, pixels_of_seg
from tests.shown import boxed, findings_with, lines_by_dcmtk, saved, shown_by_dcmtk
from tests.validation import split_errors

pytestmark = [pytest.mark.data, pytest.mark.peer]

SERIES = {
    "a CT": "ibsi_sts/dicom/STS_002/CT/image",
    "an MR": "ibsi_sts/dicom/STS_002/MR_T1/image",
    "a PET": "ibsi_sts/dicom/STS_002/PET/image",
    "an oblique MR": "sts_raw_STS_001/STS_001/MR_T2/image",
    "an enhanced MR": "dcm_qa_xa30_enhanced/In/6_anat-T1w_acq-tfl",
    "an ultrasound": "pydicom_testfiles/data/test_files/examples_palette.dcm",
    "an ultrasound film": "pydicom_testfiles/data/test_files/examples_ybr_color.dcm",
}
WRONG_IN_THE_SOURCE = {"a CT": {"StudyID"}, "an MR": {"StudyID"}, "a PET": {"StudyID"}}
GREY = (
    "ibsi_sts/dicom/STS_019/CT",
    "ibsi_sts/dicom/STS_019/MR_T1",
    "ibsi_sts/dicom/STS_019/PET",
    "sts_raw_STS_001/STS_001/MR_T2",  # oblique
)


def found_on(path: Path, folder: Path) -> Findings:
    """Return two masks, one of them with a hole, on three planes of the first stack in `path`."""
    instances, _ = scan([path])
    stack = planes_of(plan(instances).stacks[0])
    count, rows, columns = stack.shape
    y, x = np.indices((rows, columns)) / np.array([rows, columns])[:, None, None]
    away = np.hypot(y - 0.4, x - 0.4)
    planes = sorted({0, count // 2, count - 1})
    ring, disc = (away < 0.2) & (away > 0.1), np.hypot(y - 0.6, x - 0.55) < 0.15
    ringed, filled = boxed(stack, dict.fromkeys(planes, ring), "ring"), boxed(stack, {planes[-1]: disc}, "disc")
    return findings_with(stack, folder, ringed, filled)


def made_of(found: Findings) -> tuple[Sequence[WrittenObject], WrittenObject]:
    pictures, (state,) = write_pictures(found), write_presentation_states(found)
    check([*pictures, state], found.masks, found.stack)
    return pictures, state


@pytest.mark.parametrize("name", SERIES)
def test_dciodvfy_finds_nothing_wrong_but_what_is_wrong_in_the_source(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    found = found_on(data_dir / SERIES[name], tmp_path)
    pictures, state = made_of(found)
    source = dcmread(found.stack.planes[0].source, stop_before_pixels=True)
    for written in (pictures[0], state):
        assert split_errors(saved(written, tmp_path), source) == (WRONG_IN_THE_SOURCE.get(name, set()), [])


@pytest.mark.parametrize("part", GREY)
def test_dcmtk_shows_the_source_in_the_greys_of_the_pictures_and_the_lines_round_the_seg(
    data_dir: Path, everything_of: Callable[[str], Told], tmp_path: Path, part: str
) -> None:
    told, folder = everything_of(part), data_dir / part / "image"
    ((seg,), pictures, (state,)) = (told.made(kind) for kind in ("SEG", "SC", "PR"))
    images = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in folder.iterdir()}
    inside = pixels_of_seg(seg)
    assert {image for _, image in inside} <= {source_of(dcmread(path)) for path in pictures}
    for picture in map(dcmread, (pictures[0], pictures[len(pictures) // 2], pictures[-1])):
        greys, words = shown_by_dcmtk(images[source_of(picture)], state, tmp_path)
        factor = picture.Columns // greys.shape[1]
        ours = picture.pixel_array[: len(greys) * factor : factor, ::factor].astype(int)
        grey = (ours[..., 0] == ours[..., 1]) & (ours[..., 1] == ours[..., 2])
        assert grey.mean() > 0.5
        assert np.abs(ours[..., 0] - greys)[grey].max() <= 1
        here = {number: pixels for (number, image), pixels in inside.items() if image == source_of(picture)}
        assert here
        for number, pixels in here.items():
            assert np.array_equal(filled(lines_by_dcmtk(words, f"MASK {number}"), greys.shape), pixels)


def source_of(picture: Dataset) -> str:
    return str(picture.SourceImageSequence[0].ReferencedSOPInstanceUID)


def filled(lines: Sequence[Sequence[tuple[float, float]]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels' centres are in an odd number of `lines`, (row, column) bool, by the sums of their turns."""
    y, x = np.indices(shape) + 0.5
    inside = np.zeros(shape, dtype=bool)
    for line in lines:
        turned = np.zeros(shape)
        for (x0, y0), (x1, y1) in pairwise(line):
            ax, ay, bx, by = x0 - x, y0 - y, x1 - x, y1 - y
            turned += np.arctan2(ax * by - ay * bx, ax * bx + ay * by)
        inside ^= np.abs(turned) > np.pi
    return inside
