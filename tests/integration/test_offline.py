"""Segmenting folders without a node: what is written where, and what the report says."""

from pathlib import Path

from dicomnode.domain import JobOptions
from dicomnode.errors import Reason
from dicomnode.offline import Report, Wishes, segment_paths
from dicomnode.pipeline import Step
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox


def _segment(folder: Path, output: Path, *, roi: str | None = None, preview: bool = False) -> Report:
    wishes = Wishes(
        output=output,
        options=JobOptions(roi=roi),
        preview=preview,
        progress=lambda _title, _step, _done, _total: None,
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
