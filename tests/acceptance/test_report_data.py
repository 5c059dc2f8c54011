"""Reports on real scans and of what is rare, as dciodvfy, PixelMed, dcmqi and the node's own reader find them."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage

from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.objects import write_objects
from dicomnode.dicom.scan import scan
from dicomnode.domain import SEG_ONLY, AnnotationKind, Box, Code, JobOptions, Mask, ObjectKind
from dicomnode.inference.classical import ClassicalRuntime
from dicomnode.offline import Wishes, segment_paths
from dicomnode.planning import job_of, plan
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of, prompts_in
from tests.reading import voxels_by_dcmqi
from tests.reports import evidence_of, groups_of, measured_by_dcmqi
from tests.validation import Validator, Waiver, split_by_pixelmed, split_errors, waivers
from tests.values import mask

pytestmark = [pytest.mark.data, pytest.mark.peer]

UNITS = {"CT": "[hnsf'U]", "MR_T1": "1", "PET": "g/ml{SUVbw}"}
MADE_UP = ("gap", "nothing", "flat", "film")
WITH_SEG = (*UNITS, "flat")  # whose SEGs PixelMed looks at, with a place and without
OPTIONS = JobOptions(objects=(ObjectKind.SEG, ObjectKind.SR))
LEFT = Code(value="7771000", scheme="SCT", meaning="Left")
KIDNEY = Code(value="64033007", scheme="SCT", meaning="Kidney")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A report and the SEGs that it refers to, in files, and an image that they were made of."""

    source: Path
    report: Path
    segs: tuple[Path, ...]
    image: Dataset


Cases = Mapping[str, Case]


@pytest.fixture(scope="module")
def cases(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Return a case for each of three real series, and those of masks that a test made up."""
    folder = tmp_path_factory.mktemp("reports")
    real = {name: _real(data_dir / "ibsi_sts" / "dicom" / "STS_019" / name, folder / name) for name in UNITS}
    return real | dict(_made_up(folder))


def _real(source: Path, output: Path) -> Case:
    profile = replace(SEG_ONLY, objects=OPTIONS.objects)
    wishes = Wishes(output=output, options=JobOptions(), profile=profile)
    (result,) = segment_paths([source], ClassicalRuntime(), wishes).results
    seg, report = (one.path for one in result.objects)
    image = dcmread(min((source / "image").iterdir()), stop_before_pixels=True)
    return Case(source=source, report=report, segs=(seg,), image=image)


def _made_up(folder: Path) -> Iterator[tuple[str, Case]]:
    """Yield reports: where a slice is missing, where nothing was found, and on images without a place, one a film."""
    full, empty = np.zeros((32, 40), dtype=bool), np.zeros((32, 40), dtype=bool)
    full[5:9, 6:12] = True
    gap = [image for number, image in enumerate(ct_series(planes=7)) if number != 3]
    (flat,) = ct_series(planes=1)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(flat, keyword)
    flat.SOPClassUID = flat.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    flat.PatientOrientation = ["L", "P"]
    yield "gap", _written(folder / "gap", gap, mask({1: full, 2: full}, "one"), mask({4: empty}, "none"))
    yield "nothing", _written(folder / "nothing", ct_series(), mask({1: empty}, "one"), mask({2: empty}, "other"))
    yield "flat", _written(folder / "flat", [flat], mask({0: full}, "one"), mask({0: empty}, "none"))
    film = deepcopy(flat)
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    film.Modality, film.NumberOfFrames, film.PixelData = "US", 4, flat.PixelData * 4
    for keyword in ("PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept", "RescaleType"):
        delattr(film, keyword)
    yield "film", _written(folder / "film", [film], mask({0: full}, "one"), mask({2: empty}, "none"))


def _written(folder: Path, images: list[Dataset], *masks: Mask) -> Case:
    """Write what was found of `masks`, all of them in a left kidney."""
    save([*images, rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 0.0)]}, references=False)], folder)
    job = job_in(folder)
    sided = [replace(one, prompt=replace(one.prompt, modifiers=(LEFT,), sites=(KIDNEY,))) for one in masks]
    findings = findings_of(sided, planes_of(job.images), job.annotation, FillsTheBox().identity, "1")
    paths: dict[ObjectKind, Path] = {}
    for made in write_objects(findings, OPTIONS).objects:
        paths[made.kind] = folder / f"{made.kind}.dcm"
        paths[made.kind].write_bytes(made.content)
    report = paths.pop(ObjectKind.SR)
    return Case(source=folder, report=report, segs=tuple(paths.values()), image=images[0])


Found = tuple[dict[Path, list[str]], set[Waiver]]  # errors in each file beyond those that are waived; the waivers used


@pytest.fixture(scope="module")
def by_pixelmed(cases: Cases) -> Found:
    """Return what PixelMed finds in the reports, and in the SEGs of `WITH_SEG`."""
    reports = split_by_pixelmed(Validator.SR, {case.report: case.image for case in cases.values()})
    chosen = [cases[name] for name in WITH_SEG]
    segs = split_by_pixelmed(Validator.INSTANCE, {path: case.image for case in chosen for path in case.segs})
    return reports[0] | segs[0], reports[1] | segs[1]


@pytest.mark.parametrize("name", [*UNITS, *MADE_UP])
def test_pixelmed_finds_nothing_wrong_in_a_report(cases: Cases, by_pixelmed: Found, name: str) -> None:
    assert by_pixelmed[0][cases[name].report] == []


@pytest.mark.parametrize("name", WITH_SEG)
def test_pixelmed_finds_nothing_wrong_in_a_seg_but_what_is_waived(cases: Cases, by_pixelmed: Found, name: str) -> None:
    assert [by_pixelmed[0][path] for path in cases[name].segs] == [[]]


def test_every_waiver_for_pixelmed_is_needed(by_pixelmed: Found) -> None:
    assert by_pixelmed[1] == set(waivers("pixelmed"))


@pytest.mark.parametrize("name", [*UNITS, *MADE_UP])
def test_dciodvfy_finds_nothing_wrong_in_a_report_but_what_is_wrong_in_the_source(cases: Cases, name: str) -> None:
    wrong = {"StudyID"} if name in UNITS else set[str]()
    assert split_errors(cases[name].report, cases[name].image) == (wrong, [])


@pytest.mark.parametrize("name", UNITS)
def test_dcmqi_reads_the_volume_of_the_voxels_that_it_reads_in_the_seg(cases: Cases, name: str, tmp_path: Path) -> None:
    case = cases[name]
    (group,) = measured_by_dcmqi(case.report, tmp_path)
    figures = {one["quantity"]["CodeMeaning"]: one for one in group["measurementItems"]}
    (voxels,) = voxels_by_dcmqi(case.segs[0], tmp_path / "voxels").values()
    heights = np.unique(np.round(voxels[:, 2], 3))  # all three series are axial
    row, column = (float(value) for value in case.image.PixelSpacing)
    assert float(figures["Volume"]["value"]) == pytest.approx(
        len(voxels) * row * column * float(np.diff(heights).min()) / 1000, rel=1e-3
    )
    assert figures["Volume"]["units"]["CodeValue"] == "ml"
    assert group["segmentationSOPInstanceUID"] == dcmread(case.segs[0], stop_before_pixels=True).SOPInstanceUID
    assert group["ReferencedSegment"] == 1


@pytest.mark.parametrize("name", MADE_UP)
def test_dcmqi_reads_reports_of_what_is_rare(cases: Cases, name: str, tmp_path: Path) -> None:
    groups = measured_by_dcmqi(cases[name].report, tmp_path)
    assert [group["TrackingIdentifier"] for group in groups] == (
        ["one", "other"] if name == "nothing" else ["one", "none"]
    )


@pytest.mark.parametrize("name", UNITS)
def test_a_report_hangs_image_prompt_and_seg_together(cases: Cases, name: str) -> None:
    case = cases[name]
    report, seg = (dcmread(path, stop_before_pixels=True) for path in (case.report, *case.segs))
    (group,) = groups_of(report)
    (segment,) = seg.SegmentSequence
    assert group.segment == (seg.SOPInstanceUID, segment.SegmentNumber)
    assert group.uid("Tracking Unique Identifier") == segment.TrackingUID
    frames = [one.DerivationImageSequence[0].SourceImageSequence[0] for one in seg.PerFrameFunctionalGroupsSequence]
    assert {uid for uid, _ in group.images()} == {one.ReferencedSOPInstanceUID for one in frames}
    images = {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (case.source / "image").iterdir()}
    prompt = dcmread(next((case.source / "mask").iterdir()), stop_before_pixels=True)
    assert set(evidence_of(report)) == images | {seg.SOPInstanceUID, prompt.SOPInstanceUID}
    assert set(group.units.values()) == {"ml", "mm", UNITS[name]}
    assert 0 < group.values["Short axis"] <= group.values["Long axis"]


@pytest.mark.parametrize("name", UNITS)
def test_the_own_reader_finds_the_boxes_of_the_masks_in_a_report(cases: Cases, name: str) -> None:
    case = cases[name]
    instances, _ = scan([case.source / "image", case.report, *case.segs])
    found = {
        pair.annotation.kind: prompts_in(job_of(pair, JobOptions(), FillsTheBox().identity))
        for pair in plan(instances, own_results=True).pairs
    }
    assert found.keys() == {AnnotationKind.SEG, AnnotationKind.SR}
    (by_seg,), (by_report,) = (found[kind].prompts for kind in (AnnotationKind.SEG, AnnotationKind.SR))
    assert by_report.boxes == by_seg.boxes
    assert {type(box) for box in by_report.boxes.values()} == {Box}
    assert (by_report.label, by_report.tracking_uid) == (by_seg.label, by_seg.tracking_uid)
    assert not found[AnnotationKind.SR].exclusions
