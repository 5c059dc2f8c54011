"""What stands in a written report: groups, figures with units, references; and that two builds are the same bytes."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import UID, SecondaryCaptureImageStorage

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.prompts.written import parse_box
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import Findings, findings_of
from dicomnode.dicom.results.report import write_report
from dicomnode.dicom.results.segmentation import write_segs
from dicomnode.domain import (
    SEG_ONLY,
    Annotation,
    AnnotationKind,
    Code,
    JobOptions,
    Mask,
    ObjectKind,
    SegType,
    Stack,
    Uid,
    WrittenObject,
)
from dicomnode.inference.segmenter import summarise
from dicomnode.offline import Wishes, segment_paths
from dicomnode.pipeline import Tools, run
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.multiframe import enhanced, film
from tests.reports import children, evidence_of, groups_of, meaning
from tests.values import mask

MODEL = FillsTheBox().identity
BOTH = (ObjectKind.SEG, ObjectKind.SR)


def block(rows: slice, columns: slice) -> NDArray[np.bool_]:
    inside = np.zeros((32, 40), dtype=bool)
    inside[rows, columns] = True
    return inside


SQUARE, WIDE, NOTHING = block(slice(5, 9), slice(6, 12)), block(slice(8, 16), slice(10, 20)), block(slice(0), slice(0))


def source(folder: Path, images: Sequence[Dataset]) -> tuple[Stack, Annotation]:
    """Save `images` and a structure set on them; return the stack and the annotation."""
    save([*images, rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 0.0)]}, references=False)], folder)
    job = job_in(folder)
    return planes_of(job.images), job.annotation


def found(folder: Path, masks: Sequence[Mask], images: Sequence[Dataset] = ()) -> Findings:
    """Return `masks` as what was found on `images`, an ascending CT series if there are none."""
    return findings_of(masks, *source(folder, images or ct_series()), MODEL, "A-1")


def written(findings: Findings, segs: Sequence[WrittenObject] | None = None) -> WrittenObject:
    """Return the report on `findings`, checked beside its SEGs."""
    segs = write_segs(findings, SegType.BINARY) if segs is None else segs
    report = write_report(findings, segs, SegType.BINARY)
    check([*segs, report], findings.masks, findings.stack)
    return report


def opened(made: WrittenObject) -> Dataset:
    return dcmread(BytesIO(made.content))


def report_of(folder: Path, masks: Sequence[Mask], images: Sequence[Dataset] = ()) -> Dataset:
    return opened(written(found(folder, masks, images)))


def test_there_is_a_group_for_each_segment_with_its_identity_and_what_made_it(tmp_path: Path) -> None:
    findings = found(tmp_path, [mask({1: SQUARE, 2: SQUARE}, "one"), mask({3: WIDE}, "other")])
    (seg,) = write_segs(findings, SegType.BINARY)
    groups = groups_of(opened(written(findings)))
    described = opened(seg).SegmentSequence
    for group, item in zip(groups, described, strict=True):
        assert group.segment == (seg.sop_instance_uid, item.SegmentNumber)
        assert group.text("Tracking Identifier") == item.TrackingID
        assert group.uid("Tracking Unique Identifier") == item.TrackingUID
        assert group.meanings("Finding") == [item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning]
        assert group.meanings("Finding category") == [item.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning]
        assert (group.text("Algorithm Name"), group.text("Algorithm Version")) == (MODEL.name, MODEL.version)
        said = [one.TextValue for one in group.all("Algorithm Parameters")]
        assert said == [f"source={MODEL.source}", "margin_mm=0", "prompt=RTSTRUCT 1.5 ROI 1"]
    assert [len(group.images()) for group in groups] == [2, 1]


def test_the_figures_are_those_of_the_mask_with_their_units(tmp_path: Path) -> None:
    findings = found(tmp_path, [mask({1: SQUARE, 2: WIDE})], ct_series(spacing=(0.5, 2.0)))
    (group,) = groups_of(opened(written(findings)))
    (summary,) = summarise(findings.masks, findings.stack)
    values = np.concatenate([findings.stack.planes[1].values()[SQUARE], findings.stack.planes[2].values()[WIDE]])
    diagonal = np.hypot(20.0, 4.0)  # 10 pixels of 2 mm, 8 of 0.5 mm
    assert group.values == pytest.approx(
        {
            "Volume": summary.volume_ml,
            "Long axis": diagonal,
            "Short axis": 4.0 * diagonal / 20.0,
            "Attenuation Coefficient Mean": values.mean(),
            "Attenuation Coefficient Standard Deviation": values.std(),
        },
        rel=1e-5,
    )
    assert list(group.units.values()) == ["ml", "mm", "mm", "[hnsf'U]", "[hnsf'U]"]


def test_each_figure_says_how_it_is_defined_and_axes_on_which_image(tmp_path: Path) -> None:
    images = ct_series()
    (group,) = groups_of(report_of(tmp_path, [mask({1: SQUARE, 2: WIDE})], images))
    figures = [item for item in group.ds.ContentSequence if item.ValueType == "NUM"]
    definitions = [[one.TextValue for one in children(item, "Algorithm Parameters")] for item in figures]
    assert len(figures) == len({words for (words,) in definitions}) == 5
    axes = [item for item in figures if "axis" in meaning(item)]
    for item in axes:
        (image,) = children(item, "Source of Measurement")
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == images[2].SOPInstanceUID


def test_it_is_a_preliminary_report_of_a_device_and_of_no_person(tmp_path: Path) -> None:
    report = report_of(tmp_path, [mask({1: SQUARE})])
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert meaning(report) == "Imaging Measurement Report"
    assert (report.VerificationFlag, report.PreliminaryFlag, report.CompletionFlag) == (
        "UNVERIFIED",
        "PRELIMINARY",
        "COMPLETE",
    )
    said = {meaning(item): item for item in report.ContentSequence}
    assert said["Observer Type"].ConceptCodeSequence[0].CodeMeaning == "Device"
    assert report.DeviceUID == said["Device Observer UID"].UID
    assert said["Device Observer Serial Number"].TextValue == report.DeviceSerialNumber == "A-1"
    assert said["Procedure reported"].ConceptCodeSequence[0].CodeValue == "25045-6"
    assert not [name for name in said if name.startswith("Person")]
    assert (report.ContentDate, report.ContentTime) == ("20260102", "120000")


def test_images_segs_and_annotation_are_its_evidence(tmp_path: Path) -> None:
    findings = found(tmp_path, [mask({1: SQUARE})])
    segs = write_segs(findings, SegType.BINARY)
    images = [str(plane.key.sop_instance_uid) for plane in findings.stack.planes]
    assert evidence_of(opened(written(findings))) == [
        *images,
        segs[0].sop_instance_uid,
        findings.annotation.sop_instance_uid,
    ]
    elsewhere = replace(findings, annotation=replace(findings.annotation, study_uid=Uid("1.9.9")))
    report = opened(written(elsewhere))
    assert evidence_of(report, "PertinentOtherEvidenceSequence") == [findings.annotation.sop_instance_uid]
    written_box = replace(findings, annotation=replace(findings.annotation, kind=AnnotationKind.BOXES))
    assert findings.annotation.sop_instance_uid not in evidence_of(opened(written(written_box)))


def test_sites_and_sides_stand_as_the_segment_has_them(tmp_path: Path) -> None:
    left, kidney = (Code(value=value, scheme="SCT", meaning=words) for value, words in SIDE_AND_ORGAN)
    upper = Code(value="261183002", scheme="SCT", meaning="Upper")
    plain = mask({1: SQUARE})
    with_site = replace(plain, prompt=replace(plain.prompt, sites=(kidney,), modifiers=(left, upper)))
    without = replace(plain, prompt=replace(plain.prompt, type=kidney, modifiers=(left,)))
    for number, one in enumerate((with_site, without)):
        (group,) = groups_of(report_of(tmp_path / str(number), [one]))
        (site,) = group.all("Finding Site")
        assert site.ConceptCodeSequence[0].CodeMeaning == "Kidney"
        assert children(site, "Laterality")[0].ConceptCodeSequence[0].CodeMeaning == "Left"
        assert len(children(site, "Topographical modifier")) == len(one.prompt.modifiers) - 1
    assert groups_of(report_of(tmp_path / "none", [plain]))[0].all("Finding Site") == []


SIDE_AND_ORGAN = (("7771000", "Left"), ("64033007", "Kidney"))


def test_a_label_stands_beside_the_identifier_where_they_differ(tmp_path: Path) -> None:
    made = [mask({1: SQUARE}, "one"), mask({1: NOTHING}, "none")]
    tracked = [replace(one, prompt=replace(one.prompt, tracking_id=f"lesion {n}")) for n, one in enumerate(made)]
    for name, masks in (("both", tracked), ("nothing", tracked[1:])):
        groups = groups_of(report_of(tmp_path / name, masks))
        assert [group.text("Comment") for group in groups] == [one.prompt.label for one in masks]
        assert [group.text("Tracking Identifier") for group in groups] == [one.prompt.tracking_id for one in masks]


def test_a_segment_without_a_voxel_has_a_group_that_says_so(tmp_path: Path) -> None:
    findings = found(tmp_path, [mask({1: SQUARE}, "one"), mask({1: NOTHING, 2: NOTHING}, "none")])
    _, none = groups_of(opened(written(findings)))
    assert none.meanings("CAD Processing and Findings Summary") == ["All algorithms succeeded; without findings"]
    assert none.segment[1] == 2
    assert (none.values, none.units) == ({"Volume": 0.0}, {"Volume": "ml"})
    assert [uid for uid, _ in none.images()] == [plane.key.sop_instance_uid for plane in findings.stack.planes[1:3]]


def test_where_nothing_at_all_was_found_one_report_says_so_without_a_seg(tmp_path: Path) -> None:
    findings = found(tmp_path, [mask({1: NOTHING}, "one"), mask({2: NOTHING}, "other")])
    assert write_segs(findings, SegType.BINARY) == ()
    made = [write_report(findings, (), seg_type) for seg_type in SegType]
    assert {(one.alternative, one.content) for one in made} == {(None, made[0].content)}
    check(made[:1], findings.masks, findings.stack)
    for group, plane in zip(groups_of(opened(made[0])), (1, 2), strict=True):
        assert group.meanings("CAD Processing and Findings Summary") == ["All algorithms succeeded; without findings"]
        assert group.images("Source of Measurement") == [(findings.stack.planes[plane].key.sop_instance_uid, [])]
        assert (group.values, group.all("Referenced Segment")) == ({}, [])


def test_slices_that_are_missing_flag_the_volume(tmp_path: Path) -> None:
    images = [image for number, image in enumerate(ct_series(planes=9)) if number not in {3, 4}]
    across, beyond = mask({2: SQUARE, 3: SQUARE}, "across"), mask({5: SQUARE}, "beyond")
    findings = found(tmp_path, [across, beyond], images)
    flagged, plain = groups_of(opened(written(findings)))
    assert flagged.values["Volume"] == pytest.approx(2 * 24 * 2.5 / 1000)
    assert "missing in or beside it: 2" in flagged.text("Comment")
    volume = next(item for item in flagged.ds.ContentSequence if meaning(item) == "Volume")
    assert any("not counted: 2" in item.TextValue for item in children(volume, "Algorithm Parameters"))
    assert plain.all("Comment") == []


def test_a_plane_that_could_not_be_read_flags_the_volume_too(tmp_path: Path) -> None:
    images = ct_series(planes=7)
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, z) for z in (5.0, 7.5, 10.0)]})], tmp_path)
    broken = tmp_path / f"{images[3].SOPInstanceUID}.dcm"
    broken.write_bytes(broken.read_bytes()[:-500])
    with Decoders() as decoders:
        job = job_in(tmp_path, JobOptions(objects=BOTH))
        outcome = run(job, Tools(runtime=FillsTheBox(), decoders=decoders))
    (group,) = groups_of(opened(outcome.objects[1]))
    assert group.values["Volume"] == pytest.approx(outcome.segments[0].volume_ml) == pytest.approx(2 * 25 * 2.5 / 1000)
    assert "missing in or beside it: 1" in group.text("Comment")


def test_a_lone_plane_has_an_area_and_a_volume_only_where_it_has_a_thickness(tmp_path: Path) -> None:
    for thickness, names in ((2.5, {"Volume", "Area"}), (None, {"Area"})):
        images = ct_series(planes=1, SliceThickness=thickness)
        (group,) = groups_of(report_of(tmp_path / f"{thickness}", [mask({0: SQUARE})], images))
        assert {"Volume", "Area"} & group.values.keys() == names
        assert (group.values["Area"], group.units["Area"]) == (24.0, "mm2")


def test_planes_that_lie_nowhere_have_a_group_each_in_one_report_and_no_volume(tmp_path: Path) -> None:
    ds = film(frames=3)
    save([ds], tmp_path / "in")
    wishes = Wishes(
        output=tmp_path / "out",
        options=JobOptions(),
        profile=replace(SEG_ONLY, objects=BOTH),
        boxes=tuple(parse_box(f"{ds.SOPInstanceUID}@{ds.SOPInstanceUID}#{frame}:2,2,8,6") for frame in (1, 3)),
    )
    (result,) = segment_paths([tmp_path / "in"], FillsTheBox(), wishes).results
    segs = [one for one in result.objects if one.kind is ObjectKind.SEG]
    (report,) = [dcmread(one.path) for one in result.objects if one.kind is ObjectKind.SR]
    groups = groups_of(report)
    assert [group.segment for group in groups] == [(seg.sop_instance_uid, 1) for seg in segs]
    assert [group.images() for group in groups] == [[(ds.SOPInstanceUID, [1])], [(ds.SOPInstanceUID, [3])]]
    for group in groups:
        assert group.units == {"Echogenicity Mean": "1", "Echogenicity Standard Deviation": "1"}


def test_planes_without_a_place_but_with_a_spacing_have_area_and_axes(tmp_path: Path) -> None:
    (image,) = ct_series(planes=1)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(image, keyword)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    image.PixelSpacing, image.SliceThickness = [0.5, 0.5], 1.0
    drawn = rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 0.0)]})
    save([image, drawn], tmp_path)
    job = job_in(tmp_path)
    findings = findings_of([mask({0: SQUARE})], planes_of(job.images), job.annotation, MODEL, "A-1")
    (group,) = groups_of(opened(written(findings)))
    assert (group.values["Area"], group.units["Area"]) == (6.0, "mm2")
    assert group.values["Long axis"] == pytest.approx(np.hypot(3.0, 2.0), rel=1e-5)
    assert "Volume" not in group.values


def test_frames_of_an_enhanced_image_are_named_and_their_values_have_the_frames_unit(tmp_path: Path) -> None:
    image = enhanced(ct_series())
    (group,) = groups_of(report_of(tmp_path, [mask({1: SQUARE, 3: SQUARE})], [image]))
    assert group.images() == [(image.SOPInstanceUID, [2, 4])]
    assert group.units["Attenuation Coefficient Mean"] == "[hnsf'U]"


PET = {"Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"}


@pytest.mark.parametrize(
    ("changes", "name", "unit"),
    [
        ({"RescaleType": "HU"}, "Attenuation Coefficient", "[hnsf'U]"),
        ({"RescaleType": None}, "Attenuation Coefficient", "[hnsf'U]"),
        ({"RescaleType": "US"}, "X-Ray Attenuation", "1"),
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "MR signal intensity", "1"),
        ({**PET, "Units": "BQML"}, "Nuclear Medicine Tomographic Activity", "Bq/ml"),
        ({**PET, "Units": "CNTS"}, "Nuclear Medicine Tomographic Activity", "{counts}"),
        ({**PET, "Units": "GML"}, "SUVbw", "g/ml{SUVbw}"),
        ({**PET, "Units": "GML", "SUVType": "LBM"}, "SUVlbm", "g/ml{SUVlbm}"),
        ({**PET, "Units": "CM2ML"}, "SUVbsa", "cm2/ml{SUVbsa}"),
        ({**PET, "Units": "NONE"}, "Mean", "1"),
        ({**PET, "Units": "PCNT"}, "Mean", "%"),
    ],
)
def test_values_are_called_by_their_quantity_and_unit(
    tmp_path: Path, changes: dict[str, Any], name: str, unit: str
) -> None:
    images = ct_series(planes=2, **changes)
    for image in images:
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        if image.Modality != "CT":
            del image.RescaleType
    (group,) = groups_of(report_of(tmp_path, [mask({0: SQUARE})], images))
    assert [group.units.get(key) for key in (f"{name} Mean", name) if key in group.units] == [unit]


def test_planes_whose_values_have_several_units_are_not_averaged(tmp_path: Path) -> None:
    images = ct_series(planes=3)
    images[2].RescaleType = "US"
    (group,) = groups_of(report_of(tmp_path, [mask({0: SQUARE, 2: SQUARE})], images))
    assert set(group.values) == {"Volume", "Long axis", "Short axis"}


def test_two_builds_are_the_same_bytes_and_another_seg_is_another_report(tmp_path: Path) -> None:
    findings = found(tmp_path, [mask({1: SQUARE})])
    (seg,) = write_segs(findings, SegType.BINARY)
    first, again = written(findings), written(findings)
    assert first == again
    assert dcmread(BytesIO(first.content)).SOPInstanceUID == first.sop_instance_uid
    ds = opened(seg)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID("2.25.5")
    buffer = BytesIO()
    ds.save_as(buffer)
    other = written(findings, [replace(seg, sop_instance_uid=Uid("2.25.5"), content=buffer.getvalue())])
    assert other.sop_instance_uid != first.sop_instance_uid
    assert opened(other).SeriesInstanceUID != opened(first).SeriesInstanceUID


def test_a_job_that_asks_for_both_gives_a_report_on_the_seg(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 2.5)]})], tmp_path)
    with Decoders() as decoders:
        job = job_in(tmp_path, JobOptions(objects=BOTH))
        outcome = run(job, Tools(runtime=FillsTheBox(), decoders=decoders))
    assert [made.kind for made in outcome.objects] == [ObjectKind.SEG, ObjectKind.SR]
    assert outcome.objects[1].alternative is SegType.BINARY
