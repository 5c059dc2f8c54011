"""The segmentations of real data give the extents of their masks, as foreign tools read them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.dicom.prompts.boxes import union
from dicomnode.dicom.prompts.region import Regions
from dicomnode.dicom.prompts.seg import regions_of_seg
from dicomnode.dicom.prompts.seg_references import references_of_seg
from dicomnode.dicom.reading import read_dataset
from dicomnode.dicom.scan import scan
from dicomnode.domain import JobOptions, Stack
from dicomnode.errors import Reason, Refused
from dicomnode.planning import plan
from tests.folders import planes_of
from tests.reading import read_nifti, voxels_by_dcmqi
from tests.values import annotation

pytestmark = [pytest.mark.data]

Boxes = dict[int, dict[int, tuple[float, ...]]]  # segment -> plane index -> x0, y0, x1, y1

DCMQI = "dcmqi/data/segmentations"
LIVER = "dcmqi_tid1500/examples/dcmqi/liver"
_OF_PATIENT_AND_STUDY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
CODECS = "pydicom_data_codecs/data_store/data"
HIGHDICOM = "highdicom_testfiles/test_files"
DICOMDIR = "pydicom_testfiles/data/test_files/dicomdirtests/77654033"


def stacks_in(*paths: Path) -> list[Stack]:
    """Return all stacks that the files in `paths` make."""
    instances, _ = scan(paths)
    return [planes_of(images) for images in plan(instances).stacks]


def stack_named_by(path: Path, folder: Path) -> Stack:
    """Return the only stack in `folder` that has images which the SEG at `path` names."""
    ds, _ = read_dataset(path, str(path), pixels=False)
    named = {key.sop_instance_uid for key in references_of_seg(ds, str(path)).planes}
    found = [stack for stack in stacks_in(folder) if named & {plane.key.sop_instance_uid for plane in stack.planes}]
    (stack,) = found
    return stack


def read(path: Path, stack: Stack) -> Regions:
    ds, _ = read_dataset(path, str(path), pixels=False)
    with Decoders(1) as decoders:
        return regions_of_seg(ds, open_pixels(path, decoders).frame, annotation(path=path), stack, JobOptions())


def boxes_of(found: Regions) -> Boxes:
    """Return the least box on each plane."""
    return {
        int(region.item): {
            index: (whole.x0, whole.y0, whole.x1, whole.y1)
            for index, whole in ((index, union(parts)) for index, parts in region.extents.items())
        }
        for region in found.regions
    }


def same(one: Boxes, other: Boxes, tolerance: float = 1e-3) -> None:
    """Assert that both have the same boxes on the same planes."""
    assert {number: sorted(planes) for number, planes in one.items()} == {
        number: sorted(planes) for number, planes in other.items()
    }
    pairs = [(box, other[number][index]) for number, planes in one.items() for index, box in planes.items()]
    assert pairs
    assert float(np.abs(np.array([a for a, _ in pairs]) - np.array([b for _, b in pairs])).max()) < tolerance


def pixel_box(inside: NDArray[np.bool_]) -> tuple[float, ...]:
    rows, columns = np.nonzero(inside)
    return (columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5)


def boxes_by_source(path: Path, stack: Stack) -> Boxes:
    """Return the boxes of the masks in the SEG at `path`, of the stack's size, by pydicom and what its frames name."""
    ds = dcmread(path)
    index = {plane.key.sop_instance_uid: number for number, plane in enumerate(stack.planes)}
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    found: Boxes = {}
    for values, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for number, inside in masks_in(ds, group, values):
            if inside.any():
                found.setdefault(number, {})[index[source]] = pixel_box(inside)
    return found


def masks_in(ds: Dataset, group: Dataset, values: NDArray[Any]) -> Iterable[tuple[int, NDArray[np.bool_]]]:
    if ds.SegmentationType == "LABELMAP":
        return [(int(number), values == number) for number in np.unique(values) if number]
    number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    whole = ds.MaximumFractionalValue if ds.SegmentationType == "FRACTIONAL" else 1
    return [(number, values.astype(float) / whole >= 0.5)]


@pytest.mark.parametrize(
    ("seg", "images"),
    [
        (f"{DCMQI}/24x38x3/seg/label.seg", f"{DCMQI}/24x38x3/image"),
        (f"{DCMQI}/23x38x3/seg/label.seg", f"{DCMQI}/23x38x3/image"),
        (f"{DCMQI}/sparse-labelmap-ppv5.dcm", f"{DCMQI}/24x38x3/image"),
        (f"{DCMQI}/sparse-labelmap-noppv.dcm", f"{DCMQI}/24x38x3/image"),
        (f"{DCMQI}/partial_overlaps.dcm", LIVER.rpartition("/")[0]),
        (f"{LIVER}/liver.dcm", LIVER.rpartition("/")[0]),
        (f"{HIGHDICOM}/seg_image_ct_binary.dcm", DICOMDIR),
        (f"{HIGHDICOM}/seg_image_ct_binary_overlap.dcm", DICOMDIR),
        (f"{HIGHDICOM}/seg_image_ct_binary_fractional.dcm", DICOMDIR),
        (f"{HIGHDICOM}/seg_image_ct_true_fractional.dcm", DICOMDIR),
        (f"{HIGHDICOM}/seg_image_ct_binary_single_frame.dcm", f"{HIGHDICOM}/ct_image.dcm"),
        (f"{HIGHDICOM}/seg_image_cr_binary.dcm", f"{DICOMDIR}/CR1/6154"),
    ],
)
def test_a_segmentation_gives_the_boxes_of_its_masks(data_dir: Path, seg: str, images: str) -> None:
    path = data_dir / seg
    stack = stack_named_by(path, data_dir / images)
    found = read(path, stack)
    same(boxes_of(found), boxes_by_source(path, stack))
    assert not [one for one in found.exclusions if one.reason.refuses]


@pytest.mark.parametrize("name", ["deflate", "expb", "j2k", "rle"])
def test_the_same_masks_in_any_transfer_syntax_give_the_same_boxes(data_dir: Path, name: str) -> None:
    path = data_dir / CODECS / f"liver_{name}.dcm"
    stack = stack_named_by(path, data_dir / LIVER.rpartition("/")[0])
    same(boxes_of(read(path, stack)), boxes_by_source(data_dir / LIVER / "liver.dcm", stack))


@pytest.mark.parametrize("name", ["", "_deflate", "_j2k", "_rle"])
def test_masks_whose_frames_end_within_a_byte_give_their_boxes(data_dir: Path, name: str) -> None:
    path = data_dir / CODECS / f"liver_nonbyte_aligned{name}.dcm"
    stack = stack_named_by(path, data_dir / LIVER.rpartition("/")[0])
    same(boxes_of(read(path, stack)), boxes_by_source(data_dir / CODECS / "liver_nonbyte_aligned.dcm", stack))


def test_a_segmentation_of_single_images_has_the_same_boxes_on_their_enhanced_copy(data_dir: Path) -> None:
    folder = data_dir / DCMQI / "24x38x3"
    (singles,) = stacks_in(folder / "image")
    (copy,) = stacks_in(folder / "multiframe")
    path = folder / "seg" / "label.seg"
    same(boxes_of(read(path, copy)), boxes_of(read(path, singles)))


def test_an_old_segmentation_without_references_lies_where_its_frames_say(data_dir: Path) -> None:
    folder = data_dir / "breast_mr_br06_4d_seg" / "UCSF-BR-06"
    (path,) = (folder / "mask").glob("*.dcm")
    ds = dcmread(path)
    found = {stack.key: (stack, boxes_of(read(path, stack))) for stack in stacks_in(folder / "image_dce_3dfgre_orig")}
    assert len(found) == 3
    for stack, boxes in found.values():
        positions = [tuple(round(value, 2) for value in plane.position) for plane in stack.planes]
        expected = {
            positions.index(tuple(round(float(v), 2) for v in group.PlanePositionSequence[0].ImagePositionPatient)):
            pixel_box(values > ds.MaximumFractionalValue / 2)
            for values, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True)
        }  # fmt: skip
        assert len(expected) == 42
        same(boxes, {1: expected})


@pytest.mark.peer
@pytest.mark.parametrize(
    ("seg", "images"),
    [
        (f"{LIVER}/liver.dcm", LIVER.rpartition("/")[0]),
        (f"{DCMQI}/24x38x3/seg/label.seg", f"{DCMQI}/24x38x3/image"),
        (f"{DCMQI}/partial_overlaps.dcm", LIVER.rpartition("/")[0]),
    ],
)
def test_dcmqi_reads_the_same_boxes(data_dir: Path, tmp_path: Path, seg: str, images: str) -> None:
    path = data_dir / seg
    stack = stack_named_by(path, data_dir / images)
    expected = {
        number: boxes_of_voxels(voxels, stack) for number, voxels in voxels_by_dcmqi(path, tmp_path / "dcmqi").items()
    }
    same(boxes_of(read(path, stack)), expected)


def boxes_of_voxels(voxels: NDArray[np.float64], stack: Stack) -> dict[int, tuple[float, ...]]:
    """Return the boxes of voxels, (voxel, 3) in mm, of the stack's own grid, by their nearest planes."""
    found: dict[int, tuple[float, ...]] = {}
    nearest = np.abs((voxels @ stack.normal)[:, None] - stack.heights()).argmin(axis=1)
    for index in np.unique(nearest):
        plane = stack.planes[index]
        axes = np.array([plane.orientation[:3], plane.orientation[3:], stack.normal]).T
        x, y, _ = np.linalg.solve(axes, (voxels[nearest == index] - plane.position).T)
        x, y = x / plane.spacing[1], y / plane.spacing[0]
        found[int(index)] = (x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5)
    return found


@pytest.mark.parametrize("name", ["control", "control_labelmap", "control_labelmap_palette_color", "dots",
                                  "dots_tiled_full", "numbers"])  # fmt: skip
def test_the_segmentation_of_a_slide_is_no_prompt(data_dir: Path, name: str) -> None:
    path = data_dir / HIGHDICOM / f"seg_image_sm_{name}.dcm"
    ds, _ = read_dataset(path, str(path), pixels=False)
    with pytest.raises(Refused) as refused:
        references_of_seg(ds, str(path))
    assert refused.value.reason is Reason.NOT_A_PROMPT


def written(
    images: Sequence[Dataset], pixels: NDArray[Any], kind: hd.seg.SegmentationTypeValues, numbers: Sequence[int]
) -> hd.seg.Segmentation:
    """Return the segmentation that highdicom makes of `pixels` on `images`."""
    algorithm = hd.AlgorithmIdentificationSequence("by hand", codes.DCM.ArtificialIntelligence, "1")
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"label {number}",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Organ,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number in numbers
    ]
    fractional = kind is hd.seg.SegmentationTypeValues.FRACTIONAL
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid="1.2.3.1",
        series_number=1,
        sop_instance_uid="1.2.3.2",
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Test",
        software_versions="1",
        device_serial_number="1",
        max_fractional_value=200,
        transfer_syntax_uid=RLELossless if fractional else ExplicitVRLittleEndian,
    )


def headers(stack: Stack) -> list[Dataset]:
    """Return the images of `stack`, with the identities that it gave them where they have none."""
    images: list[Dataset] = [dcmread(plane.source) for plane in stack.planes]
    for image, plane in zip(images, stack.planes, strict=True):
        image.SOPInstanceUID = plane.key.sop_instance_uid
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID
        image.SeriesInstanceUID, image.StudyInstanceUID = stack.series_uid, stack.study_uid
        image.FrameOfReferenceUID = stack.frame_of_reference_uid
        for keyword in _OF_PATIENT_AND_STUDY:
            setattr(image, keyword, "")
    return images


@pytest.mark.parametrize("kind", [hd.seg.SegmentationTypeValues.BINARY, hd.seg.SegmentationTypeValues.LABELMAP])
def test_the_organs_of_a_scan_have_their_boxes(
    data_dir: Path, tmp_path: Path, kind: hd.seg.SegmentationTypeValues
) -> None:
    folder = data_dir / "totalseg" / "example_ct_dicom"
    (stack,) = stacks_in(folder)
    labels = read_nifti(data_dir / "totalseg" / "example_seg_dicom.nii.gz")
    values = labels.voxels.transpose(2, 1, 0)[:, ::-1].astype(np.uint8)  # its rows go up
    corner = labels.affine @ [0, labels.voxels.shape[1] - 1, 0, 1]
    assert np.allclose(corner[:3], stack.planes[0].position, atol=1e-3)
    numbers = [int(number) for number in np.unique(values) if number]
    assert len(numbers) > 25
    path = tmp_path / "seg.dcm"
    order = np.zeros(256, dtype=np.uint8)
    order[numbers] = np.arange(1, len(numbers) + 1)
    written(headers(stack), order[values], kind, range(1, len(numbers) + 1)).save_as(path)
    expected = {
        int(order[number]): {
            index: pixel_box(plane == number) for index, plane in enumerate(values) if (plane == number).any()
        }
        for number in numbers
    }
    same(boxes_of(read(path, stack)), expected)


def test_fractions_on_a_whole_body_scan_have_the_boxes_of_what_is_half_inside(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "crlm_ct_1004" / "CRLM-CT-1004" / "image"
    (stack,) = stacks_in(folder)
    planes, rows, columns = np.indices(stack.shape)
    distance = np.sqrt(((planes - 20.3) / 9) ** 2 + ((rows - 201.7) / 40) ** 2 + ((columns - 300.2) / 71) ** 2)
    fractions = np.clip(1.5 - distance, 0, 1)
    path = tmp_path / "seg.dcm"
    made = written(headers(stack), fractions, hd.seg.SegmentationTypeValues.FRACTIONAL, [1])
    made.save_as(path)
    inside = np.rint(fractions * 200) >= 100
    expected = {index: pixel_box(plane) for index, plane in enumerate(inside) if plane.any()}
    assert len(expected) > 15
    same(boxes_of(read(path, stack)), {1: expected})
