"""The self-check finds every way in which a report can say something else than the masks."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.report import write_report
from dicomnode.dicom.results.report_check import check_report
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.domain import Fact, Mask, SegType, Stack, WrittenObject
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.reports import ReadGroup, children, groups_of, meaning
from tests.values import mask

Parts = tuple[tuple[WrittenObject, ...], WrittenObject, tuple[Mask, ...], Stack]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Return a SEG of three segments, one of them empty, the report on it, their masks and the stack."""
    folder, images = tmp_path_factory.mktemp("in"), ct_series()
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]})], folder)
    job = job_in(folder)
    stack = planes_of(job.images)
    small, large, nothing = _filled(4, 6), _filled(8, 10), _filled(0, 0)
    masks = (mask({1: small, 2: small}, "one"), mask({3: large}, "other"), mask({3: nothing}, "none"))
    findings = findings_of(masks, stack, job.annotation, FillsTheBox().identity, "1")
    segs = write_segs(findings, SegType.BINARY)
    return segs, write_report(findings, segs, SegType.BINARY), masks, stack


def _filled(rows: int, columns: int) -> NDArray[np.bool_]:
    inside = np.zeros((32, 40), dtype=bool)
    inside[5 : 5 + rows, 6 : 6 + columns] = True
    return inside


def _first(report: Dataset) -> ReadGroup:
    return groups_of(report)[0]


def enlarge_the_volume(report: Dataset) -> None:
    (volume,) = _first(report).all("Volume")
    volume.MeasuredValueSequence[0].NumericValue = float(volume.MeasuredValueSequence[0].NumericValue) * 1.001


def state_it_in_another_unit(report: Dataset) -> None:
    (volume,) = _first(report).all("Volume")
    volume.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "mm3"


def lose_the_volume(report: Dataset) -> None:
    group = _first(report).ds
    group.ContentSequence = [item for item in group.ContentSequence if meaning(item) != "Volume"]


def name_another_segment(report: Dataset) -> None:
    _first(report).all("Referenced Segment")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = 2


def name_another_seg(report: Dataset) -> None:
    _first(report).all("Referenced Segment")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def name_a_foreign_image(report: Dataset) -> None:
    _first(report).all("Source Image for Segmentation")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def name_another_plane(report: Dataset) -> None:
    one, other = _first(report).all("Source Image for Segmentation")
    one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = other.ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def measure_on_a_foreign_image(report: Dataset) -> None:
    (axis,) = _first(report).all("Long axis")
    children(axis, "Source of Measurement")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def track_something_else(report: Dataset) -> None:
    _first(report).all("Tracking Unique Identifier")[0].UID = "1.2.3"


def call_it_something_else(report: Dataset) -> None:
    _first(report).all("Tracking Identifier")[0].TextValue = "another"


def find_something_else(report: Dataset) -> None:
    _first(report).all("Finding")[0].ConceptCodeSequence[0].CodeValue = "1"


def tell_of_it_twice(report: Dataset) -> None:
    (measurements,) = children(report, "Imaging Measurements")
    measurements.ContentSequence.append(measurements.ContentSequence[0])


def tell_nothing_of_it(report: Dataset) -> None:
    (measurements,) = children(report, "Imaging Measurements")
    del measurements.ContentSequence[0]


def find_something_where_nothing_is(report: Dataset) -> None:
    (summary,) = groups_of(report)[2].all("CAD Processing and Findings Summary")
    summary.ConceptCodeSequence[0].CodeValue = "111242"


def lose_evidence(report: Dataset) -> None:
    del report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]


def test_what_was_written_passes(parts: Parts) -> None:
    segs, report, masks, stack = parts
    check([*segs, report], masks, stack)


@pytest.mark.parametrize(
    "tamper",
    [
        enlarge_the_volume,
        state_it_in_another_unit,
        lose_the_volume,
        name_another_segment,
        name_another_seg,
        name_a_foreign_image,
        name_another_plane,
        measure_on_a_foreign_image,
        track_something_else,
        call_it_something_else,
        find_something_else,
        tell_of_it_twice,
        tell_nothing_of_it,
        find_something_where_nothing_is,
        lose_evidence,
    ],
)
def test_a_report_that_says_something_else_is_refused(parts: Parts, tamper: Callable[[Dataset], None]) -> None:
    segs, made, masks, stack = parts
    report = dcmread(BytesIO(made.content))
    tamper(report)
    buffer = BytesIO()
    report.save_as(buffer)
    with pytest.raises(Refused) as refused:
        check([*segs, replace(made, content=buffer.getvalue())], masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK
    assert made.sop_instance_uid in refused.value.what


def test_a_report_that_lacks_the_label_is_refused(parts: Parts) -> None:
    segs, made, masks, stack = parts
    first = replace(masks[0], prompt=replace(masks[0].prompt, label="another"))
    with pytest.raises(Refused, match="the mask 'another'"):
        check_report(made, segs, (first, *masks[1:]), stack)


def test_a_report_whose_seg_was_not_written_is_refused(parts: Parts) -> None:
    segs, made, masks, stack = parts
    with pytest.raises(Refused) as refused:
        check([*segs, replace(made, alternative=SegType.LABELMAP)], masks, stack)
    assert refused.value.reason is Reason.FAILED_CHECK


def test_bytes_that_are_cut_off_are_refused(parts: Parts) -> None:
    segs, made, masks, stack = parts
    for end in (0, 100, 400, len(made.content) // 2, len(made.content) - 200):
        with pytest.raises(Refused) as refused:
            check([*segs, replace(made, content=made.content[:end])], masks, stack)
        assert refused.value.reason is Reason.FAILED_CHECK


def test_a_volume_between_missing_slices_is_held_within_bounds(parts: Parts) -> None:
    """How deep a plane is beside a gap is known to be less than half the way to its neighbour."""
    segs, made, masks, stack = parts
    apart = replace(stack, facts=frozenset({Fact.MISSING_SLICES}))
    check([*segs, made], masks, apart)
    thinner = tuple(replace(plane, position=(0.0, 0.0, plane.position[2] * 0.9)) for plane in stack.planes)
    with pytest.raises(Refused, match="its volume is"):
        check_report(made, segs, masks, replace(apart, planes=thinner))
