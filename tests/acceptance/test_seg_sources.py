"""SEGs of real images of every kind of source: enhanced, tilted, single, colour, cine and without a place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import permutations
from pathlib import Path

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from dicomnode.dicom.results.check import check
from dicomnode.dicom.scan import scan
from dicomnode.domain import Annotation, Box, Fact, Mask, ModelIdentity, SegType, Stack
from dicomnode.errors import Reason
from dicomnode.inference.classical import ClassicalRuntime
from dicomnode.inference.runtime import Runtime
from dicomnode.inference.segmenter import summarise
from dicomnode.planning import Plan, plan
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox, Size
from tests.folders import planes_of
from tests.reading import segment, voxels_by_dcmqi, voxels_of_seg
from tests.results import segs_of
from tests.validation import errors_of, split_errors
from tests.values import annotation, masks_of, prompt

pytestmark = [pytest.mark.data, pytest.mark.peer]

Voxels = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Remembers(FillsTheBox):
    """A model that fills its boxes and remembers the images it saw."""

    seen: list[NDArray[np.float32]] = field(default_factory=list)

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:
        self.seen.extend(images)
        return FillsTheBox().encode(images, spacing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What was written of a stack: the objects in files, the masks and the stack."""

    paths: list[Path]
    masks: tuple[Mask, ...]
    stack: Stack


@pytest.fixture
def drawn(tmp_path: Path) -> Annotation:
    """Return an annotation that has a file."""
    (path,) = save([rtstruct(ct_series(), {"A": [square(5, 5, 9, 9, 5.0)]})], tmp_path / "annotation")
    return replace(annotation(), path=path)


def planned(*paths: Path) -> Plan:
    instances, _ = scan(paths)
    return plan(instances)


def only_stack(*paths: Path) -> Stack:
    (images,) = planned(*paths).stacks
    return planes_of(images)


def middle(stack: Stack) -> Box:
    """Return a box about the middle of the planes of `stack`, of whole pixels."""
    _, rows, columns = stack.shape
    return Box(x0=columns // 4 - 0.5, y0=rows // 4 - 0.5, x1=columns // 2 + 0.5, y1=rows // 2 + 0.5)


def make(stack: Stack, planes: Sequence[int], of: Annotation, folder: Path, runtime: Runtime) -> Made:
    """Segment the middle of `planes` of `stack`, write and check the result and save it into `folder`."""
    prompts = [prompt({stack.planes[index].key: middle(stack) for index in planes})]
    masks = masks_of(stack, prompts, runtime)
    identity: ModelIdentity = runtime.identity
    objects = segs_of(masks, stack, of, identity, "1")
    check(objects, masks, stack)
    return Made(paths=save([dcmread(BytesIO(one.content)) for one in objects], folder), masks=masks, stack=stack)


def file_called(name: str, data: Path) -> Path:
    """Return the first file called `name` in the sets of single files."""
    folders = (data / part for part in ("pydicom_testfiles", "pydicom_data_codecs", "highdicom_testfiles"))
    return next(path for folder in folders for path in sorted(folder.rglob(name)))


def items_of(ds: Dataset, frame: int) -> Mapping[str, Dataset]:
    """Return the geometry macros of frame number `frame` of an enhanced image, by pydicom alone."""
    own, shared = ds.PerFrameFunctionalGroupsSequence[frame - 1], ds.SharedFunctionalGroupsSequence[0]
    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return {name: (own if name in own else shared)[name][0] for name in names}


def voxels_of_frames(ds: Dataset, frames: Sequence[int], inside: NDArray[np.bool_]) -> Voxels:
    """Return where the pixels of `inside`, (row, column) bool, lie on `frames` of `ds`, (voxel, 3) in patient mm."""
    rows, columns = np.nonzero(inside)
    found = []
    for frame in frames:
        macros = items_of(ds, frame)
        position = np.array(macros["PlanePositionSequence"].ImagePositionPatient, float)
        orientation = np.array(macros["PlaneOrientationSequence"].ImageOrientationPatient, float)
        row_gap, column_gap = map(float, macros["PixelMeasuresSequence"].PixelSpacing)
        across, down = columns[:, None] * orientation[:3] * column_gap, rows[:, None] * orientation[3:] * row_gap
        found.append(position + across + down)
    return np.concatenate(found)


def assert_same_place(one: Voxels, other: Voxels, tolerance: float = 1e-3) -> None:
    """Check that both hold the same places, in whatever order."""
    assert len(one) == len(other)
    order, counterpart = (np.lexsort(np.round(voxels, 2).T) for voxels in (one, other))
    assert np.abs(one[order] - other[counterpart]).max() < tolerance


@pytest.mark.parametrize("pair", ["24x38x3", "23x38x3"])
def test_a_legacy_converted_image_gives_the_mask_of_its_single_frames(
    data_dir: Path, tmp_path: Path, drawn: Annotation, pair: str
) -> None:
    folder = data_dir / "dcmqi" / "data" / "segmentations" / pair
    singles, converted = (
        make(only_stack(folder / part), range(3), drawn, tmp_path / part, ClassicalRuntime())
        for part in ("image", "multiframe")
    )
    single_voxels, converted_voxels = (voxels_of_seg(made.paths[0])[1] for made in (singles, converted))
    assert 0 < singles.masks[0].voxels == converted.masks[0].voxels
    assert np.array_equal(single_voxels, converted_voxels)
    assert_same_place(voxels_by_dcmqi(converted.paths[0], tmp_path / "dcmqi")[1], single_voxels)
    assert errors_of(converted.paths[0]) == []
    uid = dcmread(folder / "multiframe" / "mf.dcm", stop_before_pixels=True).SOPInstanceUID
    assert [plane.key for plane in converted.stack.planes] == [(uid, 1), (uid, 2), (uid, 3)]
    read = highdicom.seg.segread(converted.paths[0])
    pixels = read.get_pixels_by_source_frame(uid, [1, 2, 3])
    assert np.array_equal(pixels[..., 0], [converted.masks[0].planes[index] for index in range(3)])


@pytest.mark.parametrize(
    "source",
    [
        "pydicom_*/**/eCT_Supplemental.dcm",
        "dcm_qa_xa30_enhanced/In/6_anat-T1w_acq-tfl/*.dcm",
        "dicom2nifti_oddgeom/philips_enhanced/*",
    ],
)
def test_frames_of_enhanced_images_lie_where_their_functional_groups_say(
    data_dir: Path, tmp_path: Path, drawn: Annotation, source: str
) -> None:
    for number, images in enumerate(planned(min(data_dir.glob(source))).stacks):
        stack = planes_of(images)
        chosen = sorted({0, len(stack.planes) // 2, len(stack.planes) - 1})
        made = make(stack, chosen, drawn, tmp_path / f"{number}", FillsTheBox())
        ds = dcmread(stack.planes[0].source, stop_before_pixels=True)
        frames = [stack.planes[index].key.frame or 0 for index in chosen]
        voxels = voxels_of_seg(made.paths[0])[1]
        inside = made.masks[0].planes[0]
        assert_same_place(voxels, voxels_of_frames(ds, frames, inside))
        assert_same_place(voxels_by_dcmqi(made.paths[0], tmp_path / f"dcmqi {number}")[1], voxels, 0.05)
        pixels = highdicom.seg.segread(made.paths[0]).get_pixels_by_source_frame(ds.SOPInstanceUID, frames)
        assert all(np.array_equal(pixels[index, ..., 0], inside) for index in range(len(chosen)))
        assert split_errors(made.paths[0], ds) == (set(), [])


def test_a_tilted_scan_of_uneven_gaps_keeps_its_positions_to_the_last_digit(
    data_dir: Path, tmp_path: Path, drawn: Annotation
) -> None:
    found = planned(data_dir / "dcm_qa_ct_variable_and_plain").stacks
    (tilted,) = [stack for stack in map(planes_of, found) if Fact.SHEARED in stack.facts]
    assert Fact.IRREGULAR in tilted.facts
    made = make(tilted, range(len(tilted.planes)), drawn, tmp_path / "seg", FillsTheBox())
    seg = dcmread(made.paths[0])
    sources = {plane.key.sop_instance_uid: dcmread(plane.source, stop_before_pixels=True) for plane in tilted.planes}
    assert len(sources) == len(seg.PerFrameFunctionalGroupsSequence) == len(tilted.planes)
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = sources.pop(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        place = group.PlanePositionSequence[0].get_item("ImagePositionPatient").value
        assert place == source.get_item("ImagePositionPatient").value
        assert group.PixelMeasuresSequence[0].SliceThickness == source.SliceThickness
        assert "SpacingBetweenSlices" not in group.PixelMeasuresSequence[0]
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]
    assert highdicom.seg.segread(made.paths[0]).get_volume_geometry(allow_missing_positions=True) is None
    assert errors_of(made.paths[0]) == []


@pytest.mark.parametrize("name", ["MR_small.dcm", "693_UNCR.dcm", "CT_small.dcm"])
def test_one_slice_makes_a_seg_that_lies_there(data_dir: Path, tmp_path: Path, drawn: Annotation, name: str) -> None:
    source = file_called(name, data_dir)
    made = make(only_stack(source), [0], drawn, tmp_path / "seg", ClassicalRuntime())
    assert made.masks[0].voxels > 0
    voxels = voxels_of_seg(made.paths[0])[1]
    assert_same_place(voxels_by_dcmqi(made.paths[0], tmp_path / "dcmqi")[1], voxels)
    assert split_errors(made.paths[0], dcmread(source, stop_before_pixels=True)) == (set(), [])


@pytest.mark.parametrize(
    "name",
    [
        *("examples_rgb_color.dcm", "US1_UNCI.dcm", "SC_rgb.dcm", "examples_jpeg2k.dcm"),
        *("SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_jpeg_dcmtk.dcm"),
        *("examples_palette.dcm", "OBXXXX1A.dcm", "gdcm-US-ALOKA-16.dcm"),
    ],
)
def test_a_model_sees_the_colours_and_the_seg_is_of_one_frame(
    data_dir: Path, tmp_path: Path, drawn: Annotation, name: str
) -> None:
    source = file_called(name, data_dir)
    model = Remembers()
    made = make(only_stack(source), [0], drawn, tmp_path / "seg", model)
    (seen,) = model.seen
    wanted = rgb_of(source)
    assert seen.shape == wanted.shape
    assert seen.dtype == np.float32
    assert np.abs(seen - wanted).max() <= 2
    assert_shows_its_source(made, source)


def rgb_of(path: Path) -> NDArray[np.int64]:
    """Return the image as (row, column, 3) in 0..255, by pydicom alone."""
    ds = dcmread(path)
    pixels = pixel_array(ds)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, ds)
        return pixels.astype(np.int64) >> (8 if pixels.dtype == np.uint16 else 0)
    return pixels.astype(np.int64)


def assert_shows_its_source(made: Made, source: Path) -> None:
    """Check that the only object is of one frame without a place and that others read the mask for the image."""
    ds = dcmread(source, stop_before_pixels=True)
    read = highdicom.seg.segread(made.paths[0])
    assert (len(made.paths), read.NumberOfFrames, "FrameOfReferenceUID" in read) == (1, 1, False)
    pixels = read.get_pixels_by_source_instance([ds.SOPInstanceUID])
    assert np.array_equal(pixels[0, ..., 0], made.masks[0].planes[0])
    assert split_errors(made.paths[0], ds) == (set(), [])
    assert [one.volume_ml for one in summarise(made.masks, made.stack)] == [None]


@pytest.mark.parametrize(
    "name",
    [
        *("dx_image.dcm", "RG3_J2KR.dcm", "RG1_J2KI.dcm", "image_dfl.dcm", "JPEG2000_UNC.dcm", "JLSL_08_07_0_1F.dcm"),
        *("US1_J2KI.dcm", "ExplVR_BigEnd.dcm"),
    ],
)
def test_one_image_without_a_place_makes_a_seg_of_one_frame(
    data_dir: Path, tmp_path: Path, drawn: Annotation, name: str
) -> None:
    source = file_called(name, data_dir)
    stack = only_stack(source)
    assert stack.facts == {Fact.SINGLE_PLANE, Fact.NO_FRAME_OF_REFERENCE}
    made = make(stack, [0], drawn, tmp_path / "seg", ClassicalRuntime())
    assert made.masks[0].voxels > 0
    assert_shows_its_source(made, source)


@pytest.mark.parametrize(("name", "planes"), [("examples_ybr_color.dcm", [2, 6]), ("OBXXXX1A_rle_2frame.dcm", [1])])
def test_a_cine_is_segmented_on_the_frames_that_a_prompt_names(
    data_dir: Path, tmp_path: Path, drawn: Annotation, name: str, planes: list[int]
) -> None:
    source = file_called(name, data_dir)
    found = planned(source)
    assert [one.reason for one in found.exclusions] == [Reason.UNSUPPORTED_CINE]
    (images,) = found.stacks
    made = make(planes_of(images), planes, drawn, tmp_path / "seg", ClassicalRuntime())
    ds = dcmread(source, stop_before_pixels=True)
    masks = {int(frame): inside for path in made.paths for frame, inside in masks_by_frame(path, ds).items()}
    assert set(masks) == {index + 1 for index in planes}
    assert all(np.array_equal(masks[index + 1], inside) for index, inside in made.masks[0].planes.items())
    for path in made.paths:
        assert split_errors(path, ds) == (set(), [])


def masks_by_frame(path: Path, source: Dataset) -> dict[int, NDArray[np.bool_]]:
    """Return the mask of the only segment by the frame of `source` that it is of, as highdicom reads it."""
    seg = highdicom.seg.segread(path)
    (image,) = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    frame = int(image.ReferencedFrameNumber)
    pixels = seg.get_pixels_by_source_frame(source.SOPInstanceUID, [frame])
    return {frame: pixels[0, ..., 0].astype(bool)}


def test_a_scan_with_an_empty_character_set_is_segmented(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "dcmqi_tid1500" / "examples" / "dcmqi" / "ct-3slice"
    images = [dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    assert {image["SpecificCharacterSet"].value for image in images} == {""}
    x, y, _ = (float(value) for value in images[0].ImagePositionPatient)
    contours = [square(x + 150, y + 150, x + 220, y + 200, float(image.ImagePositionPatient[2])) for image in images]
    structure_set = rtstruct(images, {"liver": contours}, frame_of_reference=images[0].FrameOfReferenceUID)
    save([structure_set], tmp_path / "in")
    told = segment(folder, tmp_path / "in", output=tmp_path / "out")
    assert (told.code, told.document["refused"]) == (0, [])
    seg = dcmread(told.only_seg())
    assert (seg.SpecificCharacterSet, seg.PatientName) == ("ISO_IR 192", images[0].PatientName)
    voxels = voxels_of_seg(told.only_seg())[1]
    assert len({round(float(height), 3) for height in voxels[:, 2]}) == 3
    assert_same_place(voxels_by_dcmqi(told.only_seg(), tmp_path / "dcmqi")[1], voxels)
    assert split_errors(told.only_seg(), images[0]) == (set(), [])


@pytest.mark.parametrize("seg_type", list(SegType))
def test_a_mask_on_three_real_slices_is_the_same_for_others_in_whatever_order_they_came(
    data_dir: Path, tmp_path: Path, drawn: Annotation, seg_type: SegType
) -> None:
    files = sorted((data_dir / "dcmqi_tid1500" / "examples" / "dcmqi" / "ct-3slice").glob("*.dcm"))
    contents = set()
    for order in permutations(files):
        stack = only_stack(*order)
        masks = masks_of(stack, [prompt({plane.key: middle(stack) for plane in stack.planes})], ClassicalRuntime())
        masks = tuple(with_probabilities(one) for one in masks)
        (written,) = segs_of(masks, stack, drawn, FillsTheBox().identity, seg_type=seg_type)
        check([written], masks, stack)
        contents.add(written.content)
    (path,) = save([dcmread(BytesIO(contents.pop()))], tmp_path / "seg")
    assert contents == set()
    assert_read_back(path, masks[0], stack)
    voxels = voxels_of_seg(path)[1]
    assert len(voxels) == masks[0].voxels > 0
    if seg_type is not SegType.FRACTIONAL:
        assert_same_place(voxels_by_dcmqi(path, tmp_path / "dcmqi")[1], voxels)
    assert split_errors(path, dcmread(files[0], stop_before_pixels=True)) == (set(), [])


def with_probabilities(one: Mask) -> Mask:
    return replace(
        one, probabilities={index: np.where(inside, 255, 0).astype(np.uint8) for index, inside in one.planes.items()}
    )


def assert_read_back(path: Path, one: Mask, stack: Stack) -> None:
    """Check that highdicom reads the mask of the only segment for the images it was made of."""
    read = highdicom.seg.segread(path).get_pixels_by_source_instance(
        [plane.key.sop_instance_uid for plane in stack.planes],
        segment_numbers=[1],
        assert_missing_frames_are_empty=True,
    )
    assert all(np.array_equal(read[index, ..., 0] > 0, inside) for index, inside in one.planes.items())


@pytest.mark.parametrize(
    ("name", "lossy"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", ("01", "ISO_10918_1")),
        ("SC_rgb_jpeg_lossy_gdcm.dcm", ("01", "ISO_10918_1")),  # which does not name its method
        ("693_J2KI.dcm", ("01", "ISO_15444_1")),  # likewise
        ("SC_rgb.dcm", ("00", None)),
    ],
)
def test_a_seg_of_an_image_that_lost_something_says_so_and_how(
    data_dir: Path, tmp_path: Path, drawn: Annotation, name: str, lossy: tuple[str, str | None]
) -> None:
    made = make(only_stack(file_called(name, data_dir)), [0], drawn, tmp_path / "seg", FillsTheBox())
    seg = dcmread(made.paths[0])
    assert (seg.LossyImageCompression, seg.get("LossyImageCompressionMethod")) == lossy
