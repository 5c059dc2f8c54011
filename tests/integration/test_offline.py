"""Segmenting folders without a node: what is written where, and what the report says."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

from dicomnode.dicom.prompts.written import WrittenBox, parse_box
from dicomnode.dicom.prompts.written_files import parse_boxes_file
from dicomnode.domain import SEG_ONLY, AnnotationKind, JobOptions
from dicomnode.errors import Reason
from dicomnode.offline import Report, Wishes, segment_paths
from dicomnode.pipeline import Step
from dicomnode.settings.profiles import FORMS
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox


def _segment(
    folder: Path,
    output: Path,
    *,
    roi: str | None = None,
    boxes: Sequence[str | WrittenBox] = (),
    **wished: Any,  # noqa: ANN401 - any field of Wishes
) -> Report:
    wishes = Wishes(
        output=output,
        options=JobOptions(roi=roi),
        preview=wished.pop("preview", False),
        progress=lambda _title, _step, _done, _total: None,
        boxes=tuple(parse_box(one) if isinstance(one, str) else one for one in boxes),
        **wished,
    )
    return segment_paths([folder], FillsTheBox(), wishes)


def _study(folder: Path) -> None:
    images = ct_series()
    drawn = rtstruct(
        images, {"Liver": [square(10, 8, 20, 16, z) for z in (2.5, 5.0)], "Node": [square(5, 5, 9, 9, 5.0)]}
    )
    save([*images, drawn], folder)


def test_a_folder_gives_one_seg_a_stack_and_annotation(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    report = _segment(tmp_path / "in", tmp_path / "out")
    assert [one.path.is_file() for result in report.results for one in result.objects] == [True]
    result = report.results[0]
    assert result.objects[0].path.parent.name.endswith("-1")
    assert result.objects[0].path.name.endswith("_SEG.dcm")
    assert [(one.label, one.planes) for one in result.segments] == [("Liver", 2), ("Node", 1)]
    assert set(result.seconds) == {*(step.value for step in Step), "total"}
    assert not report.exclusions


def test_the_volume_is_voxels_times_pixel_area_times_slab(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    liver = _segment(tmp_path / "in", tmp_path / "out").results[0].segments[0]
    assert liver.voxels == 2 * 11 * 9
    assert liver.volume_ml == liver.voxels * 2.5 / 1000


def test_running_twice_writes_the_same_bytes_and_takes_no_own_result_as_input(tmp_path: Path) -> None:
    _study(tmp_path)
    first = _segment(tmp_path, tmp_path / "segmentations").results[0].objects[0].path
    content = first.read_bytes()
    again = _segment(tmp_path, tmp_path / "segmentations")
    assert again.results[0].objects[0].path == first
    assert first.read_bytes() == content
    assert [one.reason for one in again.set_aside] == [Reason.OWN_RESULT]
    assert not again.refused


def test_a_profile_says_in_which_form_the_seg_is_written(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    deflated = replace(SEG_ONLY, seg=(FORMS["binary-deflated"], FORMS["labelmap"]))
    plain = _segment(tmp_path / "in", tmp_path / "plain").results[0].objects[0].path
    paths = [
        _segment(tmp_path / "in", tmp_path / name, profile=deflated).results[0].objects[0].path for name in ("a", "b")
    ]
    assert dcmread(paths[0]).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert dcmread(paths[0]) == dcmread(plain)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_was_written_deflated_is_an_own_result_too(tmp_path: Path) -> None:
    _study(tmp_path)
    deflated = replace(SEG_ONLY, seg=(FORMS["binary-deflated"],))
    _segment(tmp_path, tmp_path / "segmentations", profile=deflated)
    again = _segment(tmp_path, tmp_path / "segmentations", profile=deflated, preview=True)
    assert [one.reason for one in again.set_aside] == [Reason.OWN_RESULT]
    assert again.results[0].preview is not None


def test_only_the_regions_that_match_are_segmented(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    report = _segment(tmp_path / "in", tmp_path / "out", roi="liv.*")
    assert [one.label for one in report.results[0].segments] == ["Liver"]
    assert [one.reason for one in report.set_aside] == [Reason.NOT_SELECTED]


def test_a_preview_is_drawn_beside_the_object(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    result = _segment(tmp_path / "in", tmp_path / "out", preview=True).results[0]
    assert result.preview is not None
    assert result.preview.read_bytes().startswith(b"\x89PNG")
    assert result.preview.parent == result.objects[0].path.parent


def test_volumes_lie_beside_the_object_one_for_each_segment(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    result = _segment(tmp_path / "in", tmp_path / "out", nifti=True).results[0]
    stem = str(result.objects[0].path).removesuffix(".dcm")
    assert {number: str(path) for number, path in result.volumes.items()} == {
        number: f"{stem}_{number}.nii.gz" for number in (1, 2)
    }
    contents = [path.read_bytes() for path in result.volumes.values()]
    again = _segment(tmp_path / "in", tmp_path / "out", nifti=True).results[0]
    assert [path.read_bytes() for path in again.volumes.values()] == contents
    assert not list(tmp_path.rglob("*.part"))
    assert _segment(tmp_path / "in", tmp_path / "other").results[0].volumes == {}


def test_a_stack_that_is_not_regular_gives_its_object_and_no_volume(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"Liver": [square(10, 8, 20, 16, 5.0)]})
    save([*images[:3], images[4], drawn], tmp_path / "in")
    report = _segment(tmp_path / "in", tmp_path / "out", nifti=True)
    assert [one.path.is_file() for one in report.results[0].objects] == [True]
    assert report.results[0].volumes == {}
    assert [(one.reason, "MISSING_SLICES" in one.detail) for one in report.refused] == [(Reason.NOT_REGULAR, True)]


def test_two_structure_sets_under_one_uid_do_not_overwrite_each_other(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 5.0)]})], tmp_path / "in" / "1")
    save([rtstruct(images, {"B": [square(15, 15, 19, 19, 5.0)]})], tmp_path / "in" / "2")
    report = _segment(tmp_path / "in", tmp_path / "out")
    assert [[one.label for one in result.segments] for result in report.results] == [["A"]]
    assert [one.reason for one in report.refused] == [Reason.UID_CONFLICT]


def test_pixels_that_are_cut_off_leave_their_plane_out_and_the_rest_is_done(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    broken = min((tmp_path / "in").glob("*.2.2.dcm"))
    broken.write_bytes(broken.read_bytes()[:-500])
    report = _segment(tmp_path / "in", tmp_path / "out")
    assert {one.reason for one in report.refused} == {Reason.TRUNCATED, Reason.CONTOUR_OFF_STACK}
    assert str(broken) in {one.what for one in report.refused}
    assert [(one.label, one.planes) for one in report.results[0].segments] == [("Liver", 1), ("Node", 1)]


def _values(path: Path) -> NDArray[np.uint8]:
    """Return the frames of a SEG, (frame, row, column)."""
    ds = dcmread(path)
    return ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)


def test_boxes_alone_are_segmented_each_on_the_stack_it_names(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    boxes = ("1.2/1@1-2:9.5,7.5,20.5,16.5", f"{STUDY}.2@{STUDY}.2.5:1.5,1.5,4.5,4.5")
    (result,) = _segment(tmp_path / "in", tmp_path / "out", boxes=boxes).results
    assert result.job.annotation.kind is AnnotationKind.BOXES
    assert [(one.label, one.voxels, one.planes) for one in result.segments] == [
        ("Segment 1", 2 * 11 * 9, 2),
        ("Segment 2", 9, 1),
    ]
    (made,) = result.objects
    assert made.path.name == f"{result.job.annotation.sop_instance_uid[-12:]}_SEG.dcm"
    assert not result.job.annotation.path.exists()


def test_a_seg_says_by_which_strategy_each_segment_was_made(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    boxes = ("1.2/1@1-3:9.5,7.5,20.5,16.5", "1.2/1@2:9.5,7.5,20.5,16.5")
    (result,) = _segment(tmp_path / "in", tmp_path / "out", boxes=boxes).results
    items = dcmread(result.objects[0].path).SegmentSequence
    parameters = [item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters for item in items]
    assert ["strategy=propagate" in said for said in parameters] == [True, False]
    assert ["strategy=per-plane" in said for said in parameters] == [False, True]


def test_boxes_stand_beside_what_is_annotated(tmp_path: Path) -> None:
    _study(tmp_path / "in")
    report = _segment(tmp_path / "in", tmp_path / "out", boxes=(f"{STUDY}.2@0:1,1,5,5",))
    assert [result.job.annotation.kind for result in report.results] == [AnnotationKind.RTSTRUCT, AnnotationKind.BOXES]
    assert len({one.path for result in report.results for one in result.objects}) == 2
    assert not report.exclusions


def test_the_same_boxes_make_the_same_bytes_wherever_the_files_lie(tmp_path: Path) -> None:
    made = []
    for name in ("here", "there"):
        save(ct_series(), tmp_path / name)
        file = tmp_path / f"{name}.json"
        file.write_text(f'{{"boxes": [{{"stack": "{STUDY}.2", "planes": [1, 1], "box": [2, 2, 9, 9]}}]}}')
        (result,) = _segment(tmp_path / name, tmp_path / "out" / name, boxes=parse_boxes_file(file)).results
        made.append(result.objects[0].path.read_bytes())
    assert made[0] == made[1]


def test_a_box_that_means_nothing_here_is_refused_and_the_others_are_segmented(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    boxes = (
        "9.9.9@0:1,1,5,5",
        f"{STUDY}.2@5:1,1,5,5",
        f"{STUDY}.2@0:50,1,60,5",
        "1.2/1@0:1,1,5,5",
    )
    report = _segment(tmp_path / "in", tmp_path / "out", boxes=boxes)
    assert [(one.what.partition(",")[0], one.reason) for one in report.refused] == [
        (boxes[0].partition(",")[0], Reason.NO_IMAGES),
        (boxes[1].partition(",")[0], Reason.BOX_OUTSIDE),
        (boxes[2].partition(",")[0], Reason.BOX_OUTSIDE),
    ]
    assert [one.label for one in report.results[0].segments] == ["Segment 4"]


def test_a_frame_of_a_film_that_a_box_names_is_segmented(tmp_path: Path) -> None:
    film = ct_series(planes=1)[0]
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    film.Modality, film.NumberOfFrames, film.PixelData = "US", 3, film.PixelData * 3
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PixelSpacing"):
        delattr(film, keyword)
    save([film], tmp_path / "in")
    idle = _segment(tmp_path / "in", tmp_path / "out")
    assert [one.reason for one in idle.set_aside] == [Reason.UNSUPPORTED_CINE]
    report = _segment(
        tmp_path / "in", tmp_path / "out", boxes=(f"{film.SOPInstanceUID}@{film.SOPInstanceUID}#2:2,2,8,6",)
    )
    assert not report.exclusions
    (made,) = report.results[0].objects
    ds = dcmread(made.path)
    assert (film.SOPInstanceUID, 2) == (
        ds.SourceImageSequence[0].ReferencedSOPInstanceUID,
        ds.SourceImageSequence[0].ReferencedFrameNumber,
    )
    assert int(_values(made.path).sum()) == 7 * 5


def test_the_box_of_an_own_result_is_fed_back_when_it_is_asked_for(tmp_path: Path) -> None:
    _study(tmp_path)
    first = _segment(tmp_path, tmp_path / "segmentations").results[0]
    report = _segment(tmp_path, tmp_path / "segmentations", own_results=True)
    assert [result.job.annotation.kind for result in report.results] == [AnnotationKind.RTSTRUCT, AnnotationKind.SEG]
    again = report.results[1]
    assert [(one.label, one.voxels) for one in again.segments] == [(one.label, one.voxels) for one in first.segments]
    assert (_values(again.objects[0].path) == _values(first.objects[0].path)).all()
    assert not report.exclusions
