"""SEGs of every type: they hold the same masks, are valid, and other programs read the masks from them."""

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.objects import write_objects
from dicomnode.domain import Annotation, JobOptions, Mask, SegType, Stack, WrittenObject
from dicomnode.pipeline import Tools, run
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.reading import voxels_by_dcmqi, voxels_of_seg
from tests.results import segs_of
from tests.validation import errors_of
from tests.values import mask

MODEL = FillsTheBox().identity
EVERY_TYPE = tuple(SegType)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A stack, an annotation that names it, and masks on it."""

    stack: Stack
    annotation: Annotation
    masks: tuple[Mask, ...]
    folder: Path

    def written(self, seg_type: SegType) -> WrittenObject:
        """Write the masks as one SEG of `seg_type`, and check it."""
        (made,) = segs_of(self.masks, self.stack, self.annotation, MODEL, seg_type=seg_type)
        check([made], self.masks, self.stack)
        return made

    def path(self, seg_type: SegType) -> Path:
        """Return where the SEG lies as a file."""
        path = self.folder / f"{seg_type}.dcm"
        path.write_bytes(self.written(seg_type).content)
        return path


def block(rows: slice, columns: slice, shape: tuple[int, int] = (31, 37)) -> NDArray[np.bool_]:
    inside = np.zeros(shape, dtype=bool)
    inside[rows, columns] = True
    return inside


def probable(label: str, *planes: int, inside: NDArray[np.bool_]) -> Mask:
    """Return a mask with probabilities on `planes`."""
    random = np.random.default_rng(len(label))
    values = np.where(inside, random.integers(128, 256, inside.shape), random.integers(0, 128, inside.shape))
    made = mask(dict.fromkeys(planes, inside), label)
    return replace(made, probabilities=dict.fromkeys(planes, values.astype(np.uint8)))


ONE, OTHER = block(slice(3, 9), slice(4, 15)), block(slice(15, 29), slice(20, 34))
NOTHING = np.zeros((31, 37), dtype=bool)


def scene_of(images: list[Dataset], masks: tuple[Mask, ...], folder: Path) -> Scene:
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]}, references=False)], folder / "in")
    job = job_in(folder / "in")
    return Scene(stack=planes_of(job.images), annotation=job.annotation, masks=masks, folder=folder)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return five segments on four of six planes, the third of them empty; frames end within bytes."""
    masks = (
        probable("one", 1, 2, inside=ONE),
        probable("other", 2, 3, inside=OTHER),
        probable("empty", 2, inside=NOTHING),
        probable("corner", 4, inside=block(slice(30, 31), slice(36, 37))),
        probable("beside", 2, inside=block(slice(3, 9), slice(15, 17))),
    )
    return scene_of(ct_series(planes=6, shape=(31, 37)), masks, tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize("seg_type", EVERY_TYPE)
def test_a_seg_of_any_type_is_valid_and_lists_a_segment_without_frames(scene: Scene, seg_type: SegType) -> None:
    path = scene.path(seg_type)
    seg = dcmread(path)
    assert errors_of(path) == []
    labels = [item.SegmentLabel for item in seg.SegmentSequence if item.SegmentNumber]
    assert labels == ["one", "other", "empty", "corner", "beside"]
    assert (seg.SegmentationType, seg.SegmentsOverlap) == (seg_type, "NO")
    assert seg.NumberOfFrames == len(seg.PerFrameFunctionalGroupsSequence)
    assert seg.NumberOfFrames == (4 if seg_type is SegType.LABELMAP else 6)
    assert scene.written(seg_type).sop_class_uid == seg.SOPClassUID == seg.file_meta.MediaStorageSOPClassUID


@pytest.mark.parametrize("seg_type", EVERY_TYPE)
def test_highdicom_reads_the_masks_back(scene: Scene, seg_type: SegType) -> None:
    uids = [plane.key.sop_instance_uid for plane in scene.stack.planes]
    seg = segread(scene.path(seg_type))
    read = seg.get_pixels_by_source_instance(
        uids,
        segment_numbers=range(1, 6),
        rescale_fractional=False,
        assert_missing_frames_are_empty=True,
    )
    assert read.shape == (6, 31, 37, 5)
    for number, one in enumerate(scene.masks):
        for index in range(6):
            wanted = one.planes.get(index, NOTHING).astype(np.uint8)
            if seg_type is SegType.FRACTIONAL and wanted.any():
                wanted = one.probabilities[index]
            assert np.array_equal(read[index, ..., number], wanted)


@pytest.mark.peer
@pytest.mark.parametrize("seg_type", [SegType.BINARY, SegType.LABELMAP])
def test_dcmqi_reads_the_same_voxels_from_both_types(scene: Scene, seg_type: SegType) -> None:
    path = scene.path(seg_type)
    by_dcmqi, by_pydicom = voxels_by_dcmqi(path, scene.folder / "dcmqi"), voxels_of_seg(path)
    for number, one in enumerate(scene.masks, start=1):
        places = by_dcmqi.get(number, np.empty((0, 3)))
        assert len(places) == len(by_pydicom[number]) == one.voxels
        orders = [np.lexsort(found.T) for found in (places.round(3), by_pydicom[number].round(3))]
        assert np.allclose(places[orders[0]], by_pydicom[number][orders[1]], atol=1e-3)


@pytest.mark.parametrize("seg_type", EVERY_TYPE)
def test_a_second_build_of_any_type_is_the_same_bytes_and_other_masks_another_uid(
    scene: Scene, seg_type: SegType
) -> None:
    first, second = scene.written(seg_type), scene.written(seg_type)
    assert first.content == second.content
    changed = replace(scene, masks=(*scene.masks[:-1], probable("beside", 2, inside=block(slice(1, 2), slice(1, 2)))))
    assert changed.written(seg_type).sop_instance_uid != first.sop_instance_uid


def test_other_probabilities_of_the_same_mask_are_another_uid(scene: Scene) -> None:
    (index,) = scene.masks[-1].planes
    surer = {index: np.where(scene.masks[-1].planes[index], 255, 0).astype(np.uint8)}
    changed = replace(scene, masks=(*scene.masks[:-1], replace(scene.masks[-1], probabilities=surer)))
    of_both = [one.written(SegType.FRACTIONAL).sop_instance_uid for one in (scene, changed)]
    assert of_both[0] != of_both[1]


def test_a_label_map_has_a_background_and_a_frame_a_plane(scene: Scene) -> None:
    seg = dcmread(BytesIO(scene.written(SegType.LABELMAP).content))
    background = seg.SegmentSequence[0]
    assert (background.SegmentNumber, background.SegmentLabel) == (0, "Background")
    assert seg.PixelPaddingValue == 0
    assert [index.DimensionIndexPointer for index in seg.DimensionIndexSequence] == [0x00200032]
    heights = [float(group.PlanePositionSequence[0].ImagePositionPatient[2]) for group in frames(seg)]
    assert sorted(heights) == [2.5, 5.0, 7.5, 10.0]


@pytest.mark.parametrize("seg_type", [SegType.BINARY, SegType.FRACTIONAL])
def test_frames_are_in_the_order_of_segments_and_then_of_places(scene: Scene, seg_type: SegType) -> None:
    seg = dcmread(BytesIO(scene.written(seg_type).content))
    assert [index.DimensionIndexPointer for index in seg.DimensionIndexSequence] == [0x0062000B, 0x00200032]
    indices = [tuple(group.FrameContentSequence[0].DimensionIndexValues) for group in frames(seg)]
    assert indices == sorted(indices)
    segments = [group.SegmentIdentificationSequence[0].ReferencedSegmentNumber for group in frames(seg)]
    assert segments == [index[0] for index in indices] == [1, 1, 2, 2, 4, 5]


def test_a_label_map_of_more_than_255_segments_has_two_bytes_a_pixel(tmp_path: Path) -> None:
    cells = [block(slice(n // 37, n // 37 + 1), slice(n % 37, n % 37 + 1)) for n in range(260)]
    masks = tuple(mask({1: cell}, f"segment {number}") for number, cell in enumerate(cells))
    scene = scene_of(ct_series(planes=2, shape=(31, 37)), masks, tmp_path)
    seg = dcmread(BytesIO(scene.written(SegType.LABELMAP).content))
    assert (seg.BitsAllocated, seg["PixelData"].VR, len(seg.SegmentSequence)) == (16, "OW", 261)


def frames(seg: Dataset) -> list[Dataset]:
    return list(seg.PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize(
    ("planes", "organization"), [((1, 2, 3), "3D"), ((0, 2, 4), None), ((0, 1, 3), None), ((2,), None)]
)
def test_a_label_map_is_three_dimensional_where_its_frames_lie_on_neighbouring_planes(
    tmp_path: Path, planes: tuple[int, ...], organization: str | None
) -> None:
    scene = scene_of(ct_series(shape=(31, 37)), (mask(dict.fromkeys(planes, ONE), "one"),), tmp_path)
    seg = dcmread(BytesIO(scene.written(SegType.LABELMAP).content))
    assert seg.get("DimensionOrganizationType") == organization


def test_a_fractional_seg_says_that_it_holds_probabilities(scene: Scene) -> None:
    seg = dcmread(BytesIO(scene.written(SegType.FRACTIONAL).content))
    assert (seg.SegmentationFractionalType, seg.MaximumFractionalValue) == ("PROBABILITY", 255)
    assert (seg.BitsAllocated, len(seg.PixelData)) == (8, 6 * 31 * 37)


def test_where_segments_overlap_binary_is_made_in_place_of_a_label_map(tmp_path: Path) -> None:
    """A label map cannot hold a voxel of two segments: BINARY does, and SegmentsOverlap says so."""
    images = ct_series()
    regions = {"A": [square(5, 5, 9, 9, 5.0)], "B": [square(7, 7, 12, 12, 5.0)], "C": [square(20, 20, 24, 24, 5.0)]}
    save([*images, rtstruct(images, regions)], tmp_path)
    wanted = JobOptions(seg_types=(SegType.LABELMAP, SegType.BINARY))
    with Decoders() as decoders:
        outcome = run(job_in(tmp_path, wanted), Tools(runtime=FillsTheBox(), decoders=decoders))
    (made,) = outcome.objects
    seg = dcmread(BytesIO(made.content))
    assert (made.alternative, seg.SegmentationType, seg.SegmentsOverlap) == (SegType.BINARY, "BINARY", "YES")
    assert "BINARY instead of LABELMAP: segments overlap, 'A' and 'B'" in outcome.notes


def test_each_type_that_is_asked_for_is_an_alternative_in_a_series_of_its_own(scene: Scene) -> None:
    findings = findings_of(scene.masks, scene.stack, scene.annotation, MODEL, "1")
    written = write_objects(findings, JobOptions(seg_types=EVERY_TYPE))
    assert [one.alternative for one in written.objects] == [*EVERY_TYPE]
    assert written.notes == ()
    check(written.objects, scene.masks, scene.stack)
    series = {dcmread(BytesIO(one.content)).SeriesInstanceUID for one in written.objects}
    assert len(series) == len(EVERY_TYPE)


def test_masks_without_a_voxel_make_no_object_of_any_type_and_no_note(scene: Scene) -> None:
    findings = findings_of([mask({2: NOTHING}), mask({})], scene.stack, scene.annotation, MODEL, "1")
    assert write_objects(findings, JobOptions(seg_types=EVERY_TYPE)) == ((), ())


def test_five_segments_on_300_planes_have_as_many_frames_and_bytes_as_they_need(tmp_path: Path) -> None:
    """465 frames on 171 planes; in 512 x 512 these are 15.5 MB, and 45 MB of a label map."""
    depths, (rows, columns) = (171, 120, 84, 60, 30), (30, 20)
    masks = []
    for number, depth in enumerate(depths):
        inside = block(slice(6 * number, 6 * number + 5), slice(2, 18), shape=(rows, columns))
        masks.append(probable(f"segment {number}", *range(50, 50 + depth), inside=inside))
    scene = scene_of(ct_series(planes=300, shape=(rows, columns)), tuple(masks), tmp_path)
    contents = {seg_type: scene.written(seg_type).content for seg_type in EVERY_TYPE}
    found = {seg_type: dcmread(BytesIO(content)) for seg_type, content in contents.items()}
    assert {seg_type: (seg.NumberOfFrames, len(seg.PixelData)) for seg_type, seg in found.items()} == {
        SegType.BINARY: (465, 465 * rows * columns // 8 + 1),
        SegType.LABELMAP: (171, 171 * rows * columns),
        SegType.FRACTIONAL: (465, 465 * rows * columns),
    }
    header = len(contents[SegType.BINARY]) - 465 * rows * columns // 8
    assert header < 465 * 600 + 300 * 200  # what is said of a frame and of an image does not grow
