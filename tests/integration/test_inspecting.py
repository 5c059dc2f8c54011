"""Inspecting folders: what the report says of stacks, annotations and what is left out, and the pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import ComputedRadiographyImageStorage

from dicomnode.domain import AnnotationKind, Box, Fact, JobOptions, PairingRule, PlaneKey, Uid
from dicomnode.errors import Reason
from dicomnode.inspecting import Look, inspect_paths
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.folders import seg_of


def test_a_series_is_one_stack_with_its_planes_in_order(tmp_path: Path) -> None:
    save(ct_series(planes=3, spacing=(0.5, 0.75), origin=(-10.0, -20.0, 30.0)), tmp_path)
    found = inspect_paths([tmp_path])
    (stack,) = found.stacks
    assert (stack.key, stack.modality, stack.kind, stack.split) == (f"{STUDY}.2/1", "CT", "CT", ())
    assert (stack.facts, stack.shape, stack.spacing) == ((Fact.REGULAR,), (3, 32, 40), (2.5, 0.5, 0.75))
    assert stack.planes == tuple(
        (PlaneKey(Uid(f"{STUDY}.2.{number}")), (-10.0, -20.0, 30.0 + 2.5 * (number - 1))) for number in (1, 2, 3)
    )
    assert stack.orientation == (1, 0, 0, 0, 1, 0)
    assert stack.affine is not None
    assert stack.affine.tolist() == [[0.75, 0, 0, -10], [0, 0.5, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]]
    assert (found.refused, found.set_aside, found.pictures) == ((), (), ())


def test_a_plane_that_cannot_be_read_is_refused_and_the_stack_is_what_is_left(tmp_path: Path) -> None:
    paths = save(ct_series(), tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-500])
    found = inspect_paths([tmp_path])
    assert [(one.what, one.reason) for one in found.refused] == [(str(paths[2]), Reason.TRUNCATED)]
    (stack,) = found.stacks
    assert (stack.shape, stack.spacing[0], stack.affine) == ((4, 32, 40), None, None)
    assert Fact.MISSING_SLICES in stack.facts
    assert stack.notes[0].startswith("MISSING_SLICES 1:")


def test_a_stack_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    for path in save(ct_series(), tmp_path):
        path.write_bytes(path.read_bytes()[:-500])
    found = inspect_paths([tmp_path])
    assert found.stacks == ()
    assert [(one.what, one.reason) for one in found.refused] == [(f"stack {STUDY}.2/1", Reason.TRUNCATED)]


def test_an_annotation_is_told_with_the_stack_it_means(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)]})], tmp_path)
    found = inspect_paths([tmp_path])
    assert [read.pair.images.key for read in found.pairs] == [f"{STUDY}.2/1"]
    assert [one.sop_instance_uid for one in found.annotations] == [f"{STUDY}.3.1"]


def test_the_prompts_of_an_annotation_are_told_with_what_paired_it(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)], "Air": []})], tmp_path)
    found = inspect_paths([tmp_path])
    (read,) = found.pairs
    assert (read.pair.rule, read.pair.evidence) == (PairingRule.IMAGES, "1 of its 1 image references")
    (prompt,) = read.prompts
    assert (prompt.label, prompt.source_item) == ("Liver", "1")
    assert prompt.boxes == {PlaneKey(Uid(f"{STUDY}.2.2")): Box(x0=10, y0=8, x1=20, y1=16)}
    assert [(one.reason, one.detail) for one in found.set_aside] == [(Reason.NOT_A_PROMPT, "it has no contours")]


def test_prompts_are_read_as_the_options_say(tmp_path: Path) -> None:
    images = ct_series()
    drawn = [square(10, 8, 20, 16, 0.0), square(10, 8, 20, 16, 5.0)]
    save([*images, rtstruct(images, {"Liver": drawn}, interpreted_type="EXTERNAL")], tmp_path)
    options = JobOptions(roi_types=("EXTERNAL",), margin_mm=2.0, interpolate=False)
    (prompt,) = inspect_paths([tmp_path], Look(options=options)).pairs[0].prompts
    assert list(prompt.boxes.values()) == [Box(x0=8, y0=6, x1=22, y1=18)] * 2


def test_an_annotation_that_cannot_be_read_on_its_stack_is_refused_and_the_stack_is_told(tmp_path: Path) -> None:
    images = ct_series()
    save([*images, rtstruct(images, {"Liver": []})], tmp_path)
    found = inspect_paths([tmp_path])
    assert [read.prompts for read in found.pairs] == [()]
    assert len(found.stacks) == 1
    assert len(found.exclusions) == 1


def test_an_annotation_of_a_stack_that_cannot_be_read_has_no_prompts(tmp_path: Path) -> None:
    images = ct_series()
    paths = save([*images, rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)]})], tmp_path)
    for path in paths[:-1]:
        path.write_bytes(path.read_bytes()[:-500])
    found = inspect_paths([tmp_path])
    assert [(read.pair.rule, read.prompts) for read in found.pairs] == [(PairingRule.IMAGES, ())]


def test_own_results_are_set_aside_unless_they_are_asked_for(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"Liver": [square(10, 8, 20, 16, 2.5)]})
    save([seg_of(images, drawn, tmp_path)], tmp_path)
    found = inspect_paths([tmp_path])
    assert [one.reason for one in found.set_aside] == [Reason.OWN_RESULT]
    assert len(found.pairs) == 1
    found = inspect_paths([tmp_path], Look(own_results=True))
    assert not found.exclusions
    assert [read.pair.annotation.kind for read in found.pairs] == [AnnotationKind.RTSTRUCT, AnnotationKind.SEG]
    assert [list(read.prompts[0].boxes.values()) for read in found.pairs] == [
        [Box(x0=10, y0=8, x1=20, y1=16)],
        [Box(x0=9.5, y0=7.5, x1=20.5, y1=16.5)],
    ]


def test_an_annotation_whose_images_are_not_there_is_refused_as_segment_would(tmp_path: Path) -> None:
    save([rtstruct(ct_series(), {"Liver": [square(10, 8, 20, 16, 2.5)]})], tmp_path)
    assert [one.reason for one in inspect_paths([tmp_path]).refused] == [Reason.NO_IMAGES]


def test_localizers_are_set_aside(tmp_path: Path) -> None:
    save(ct_series(planes=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path)
    found = inspect_paths([tmp_path])
    assert [one.reason for one in found.set_aside] == [Reason.LOCALIZER]
    assert (found.stacks, found.refused) == ((), ())


def test_an_image_without_a_place_has_no_position_orientation_or_affine(tmp_path: Path) -> None:
    (image,) = ct_series(planes=1, spacing=(0.5, 0.75))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.Modality = "CR"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(image, keyword)
    save([image], tmp_path)
    (stack,) = inspect_paths([tmp_path]).stacks
    assert stack.kind == "Computed Radiography"
    assert stack.planes == ((PlaneKey(Uid(f"{STUDY}.2.1")), None),)
    assert (stack.orientation, stack.affine, stack.spacing) == (None, None, (None, 0.5, 0.75))
    assert stack.facts == (Fact.NO_FRAME_OF_REFERENCE, Fact.SINGLE_PLANE)


def test_each_stack_is_drawn_into_the_folder(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    found = inspect_paths([tmp_path / "in"], Look(pictures=tmp_path / "new" / "out"))
    assert found.pictures == (tmp_path / "new" / "out" / f"{STUDY}.2-1.png",)
    with Image.open(found.pictures[0]) as picture:
        assert picture.width > 3 * 384
        assert len(np.unique(np.array(picture))) > 20


def test_pictures_that_cannot_be_written_are_failures_and_the_stacks_are_told(tmp_path: Path) -> None:
    save(ct_series(), tmp_path / "in")
    (tmp_path / "out").write_text("a file, not a folder")
    found = inspect_paths([tmp_path / "in"], Look(pictures=tmp_path / "out"))
    assert len(found.stacks) == 1
    assert str(tmp_path / "out") in found.failures[0]


def test_progress_is_told_stack_by_stack(tmp_path: Path) -> None:
    save(ct_series(), tmp_path)
    told: list[tuple[str, int, int]] = []
    inspect_paths([tmp_path], Look(progress=lambda *words: told.append(words)))
    assert told[0][0] == "1/1"
    assert {total for _, _, total in told} == {5}


FOLDERS = (
    *("breast_mr_br06_4d_seg", "crlm_ct_1004", "dcm_qa_agfa", "dcm_qa_ct_variable_and_plain", "dcm_qa_decubitus"),
    *("dcm_qa_ts", "dcm_qa_xa30_enhanced", "dcmqi", "dcmqi_tid1500", "dicom2nifti_oddgeom"),
    *("dicompyler_rtss_missing_images", "highdicom_testfiles", "papaya_mr_irregular", "pydicom_data_codecs"),
    *("pydicom_testfiles", "rt_utils", "sr_unresolved", "sts_raw_STS_001", "totalseg"),
)


@pytest.mark.data
@pytest.mark.parametrize("name", FOLDERS)
def test_every_stack_of_real_data_is_drawn_and_what_is_left_out_has_a_reason(
    name: str, data_dir: Path, tmp_path: Path
) -> None:
    found = inspect_paths([data_dir / name], Look(pictures=tmp_path))
    assert len(found.pictures) == len(found.stacks)
    assert found.failures == ()
    assert len(found.stacks) + len(found.exclusions) > 0
    for one in found.stacks:
        assert one.shape[0] == len(one.planes)
        assert (one.affine is None) is (Fact.REGULAR not in one.facts)
        assert (one.orientation is None) is (Fact.NO_FRAME_OF_REFERENCE in one.facts)
