"""Segmentations become extents on the planes of a stack, wherever and however their frames lie."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.dicom.prompts.islands import islands
from dicomnode.dicom.prompts.region import Region, Regions
from dicomnode.dicom.prompts.seg import region_of_segment, regions_of_seg
from dicomnode.dicom.prompts.seg_references import references_of_seg
from dicomnode.domain import Box, Code, JobOptions, Orientation, PlaneKey, Stack, Uid, Vector
from dicomnode.errors import Reason, Refused
from tests.builders import ct_series, rtstruct, square
from tests.folders import outcome_of, stack_in
from tests.segs import code, frame, grid, seg, segment
from tests.values import annotation, plane, stack_at

Mask = NDArray[np.bool_]
ROWS, COLUMNS = 12, 16


def mask(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (ROWS, COLUMNS)) -> Mask:
    """Return (row, column) bool that is inside from the first to the last pixel x0, y0, x1, y1 of each box."""
    inside = np.zeros(shape, dtype=np.bool_)
    for x0, y0, x1, y1 in boxes:
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


def placed(heights: Sequence[float] = (0.0, 2.5, 5.0), **changes: Any) -> Stack:  # noqa: ANN401
    """Return a stack of 12 rows and 16 columns; `changes` are fields of its planes."""
    return stack_at(*heights, stored=np.zeros((ROWS, COLUMNS), dtype=np.int16), **changes)


def unplaced(count: int = 1) -> Stack:
    """Return an image without a place, or the frames of one."""
    stored = np.zeros((ROWS, COLUMNS), dtype=np.int16)
    keys = [PlaneKey(Uid("1.3.1"), number if count > 1 else None) for number in range(1, count + 1)]
    planes = tuple(plane(key=key, stored=stored) for key in keys)
    return Stack(
        key="1.2/1",
        series_uid=Uid("1.2"),
        study_uid=Uid("1.1"),
        modality="US",
        frame_of_reference_uid=None,
        planes=planes,
        facts=frozenset(),
    )


def read(ds: Dataset, values: NDArray[Any], stack: Stack, **options: Any) -> Regions:  # noqa: ANN401
    """Return the regions of `ds`, whose stored values are (frame, row, column)."""
    return regions_of_seg(
        ds, lambda number: values[number - 1], annotation(path=Path("seg.dcm")), stack, JobOptions(**options)
    )


def on_planes(region: Region) -> dict[int, list[tuple[float, ...]]]:
    """Return plane index -> x0, y0, x1, y1 of each extent there."""
    return {
        index: [tuple(round(value, 6) for value in (box.x0, box.y0, box.x1, box.y1)) for box in boxes]
        for index, boxes in region.extents.items()
    }


def one_frame(inside: Mask, at: Mapping[str, Any] | None = None, **changes: Any) -> Dataset:  # noqa: ANN401
    """Return a BINARY segmentation of one segment and one frame."""
    return seg(inside[None], [frame(at=dict(at or grid((0, 0, 2.5))), **changes)])


def test_a_mask_has_the_extent_of_its_pixels_on_the_plane_that_it_lies_on() -> None:
    inside = mask((3, 2, 7, 4))
    (region,) = read(one_frame(inside), inside[None], placed()).regions
    assert on_planes(region) == {1: [(2.5, 1.5, 7.5, 4.5)]}
    assert (region.item, region.name, region.notes) == ("1", "segment 1", ())
    assert region.codes.type == Code(value="10200004", scheme="SCT", meaning="Liver")


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (7, 5), (3, 3)])
def test_bits_run_on_across_the_ends_of_frames(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((4, *shape)) < 0.2
    heights = (0.0, 2.5, 5.0, 7.5)
    ds = seg(values, [frame(at=grid((0, 0, height))) for height in heights])
    found = through_a_file(ds, tmp_path, placed(heights))
    assert on_planes(found.regions[0]) == {
        index: [expected_box(inside)] for index, inside in enumerate(values) if inside.any()
    }


def through_a_file(ds: Dataset, folder: Path, stack: Stack) -> Regions:
    """Write `ds` and return its regions, read from the file."""
    path = folder / "seg.dcm"
    ds.save_as(path, enforce_file_format=True)
    with Decoders(1) as decoders:
        pixels = open_pixels(path, decoders)
        return regions_of_seg(pixels.header, pixels.stored, annotation(path=path), stack, JobOptions())


def expected_box(inside: Mask) -> tuple[float, ...]:
    rows, columns = np.nonzero(inside)
    return (columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5)


def test_a_fraction_of_half_or_more_is_inside() -> None:
    values = np.zeros((1, ROWS, COLUMNS), dtype=np.uint8)
    values[0, 2:5, 3:8] = 50
    values[0, 1, 1] = 49
    ds = seg(values, [frame(at=grid((0, 0, 0)))], kind="FRACTIONAL", MaximumFractionalValue=100)
    assert on_planes(read(ds, values, placed()).regions[0]) == {0: [(2.5, 1.5, 7.5, 4.5)]}


def test_each_value_of_a_label_map_but_the_background_is_a_segment() -> None:
    values = np.zeros((1, ROWS, COLUMNS), dtype=np.uint16)
    values[0, 2:5, 3:8], values[0, 6, 6], values[0, 8, 8] = 1, 300, 5
    described = [segment(0, "background"), segment(1), segment(300, "far")]
    ds = seg(values, [frame(None, at=grid((0, 0, 0)))], kind="LABELMAP", segments=described, PixelPaddingValue=5)
    found = read(ds, values, placed())
    assert {one.name: on_planes(one) for one in found.regions} == {
        "segment 1": {0: [(2.5, 1.5, 7.5, 4.5)]},
        "far": {0: [(5.5, 5.5, 6.5, 6.5)]},
    }
    assert found.exclusions == ()


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian]
)
def test_compressed_label_maps_give_the_same_extents(tmp_path: Path, syntax: UID) -> None:
    values = np.zeros((2, 32, 32), dtype=np.uint8)
    values[0, 2:5, 3:8], values[1, 6:20, 6:9] = 1, 2
    frames = [frame(None, at=grid((0, 0, height))) for height in (0, 2.5)]
    ds = seg(values, frames, kind="LABELMAP", segments=[segment(1), segment(2)])
    if syntax in {RLELossless, JPEG2000Lossless}:
        ds.compress(syntax, generate_instance_uid=False)
    else:
        ds.file_meta.TransferSyntaxUID = syntax
    found = through_a_file(ds, tmp_path, placed())
    assert [on_planes(one) for one in found.regions] == [{0: [(2.5, 1.5, 7.5, 4.5)]}, {1: [(5.5, 5.5, 8.5, 19.5)]}]


def test_a_label_map_with_a_palette_is_read_by_its_numbers(tmp_path: Path) -> None:
    values = np.zeros((1, ROWS, COLUMNS), dtype=np.uint8)
    values[0, 2:5, 3:8] = 1
    ds = seg(values, [frame(None, at=grid((0, 0, 0)))], kind="LABELMAP", PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [2, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", b"\x00\xff")
    assert on_planes(through_a_file(ds, tmp_path, placed()).regions[0]) == {0: [(2.5, 1.5, 7.5, 4.5)]}


def test_a_cropped_and_resampled_grid_is_mapped_through_the_patient() -> None:
    inside = mask((1, 1, 2, 3), shape=(5, 4))
    at = grid((4.0, 3.0, 2.5), spacing=(0.5, 2.0))  # half the rows' distance, twice the columns'
    (region,) = read(one_frame(inside, at), inside[None], placed()).regions
    # columns 1..2 of 2 mm from x = 4 reach from 5 to 9 mm; rows 1..3 of 0.5 mm from y = 3 from 3.25 to 4.75
    assert on_planes(region) == {1: [(5.0, 3.25, 9.0, 4.75)]}


def test_thin_frames_join_on_the_plane_that_is_nearest() -> None:
    thin = np.stack([mask((2, 2, 3, 3)), mask((5, 5, 6, 6))])
    frames = [frame(at=grid((0, 0, height))) for height in (2.0, 3.0)]
    (region,) = read(seg(thin, frames), thin, placed()).regions
    assert {index: len(boxes) for index, boxes in region.extents.items()} == {1: 2}


def test_a_thick_frame_covers_all_planes_within_its_depth_and_the_upper_one_of_two_has_a_border() -> None:
    values = np.stack([mask((2, 2, 3, 3)), mask((5, 5, 6, 6))])
    fine = placed(range(11), thickness=1.0)
    frames = [frame(at=grid((0, 0, height), depth=5.0)) for height in (2.0, 7.0)]
    (region,) = read(seg(values, frames), values, fine).regions
    first, second = [(1.5, 1.5, 3.5, 3.5)], [(4.5, 4.5, 6.5, 6.5)]
    assert on_planes(region) == dict.fromkeys(range(5), first) | dict.fromkeys(range(5, 10), second)
    frames = [frame(at=grid((0, 0, height), depth=4.0)) for height in (2.0, 6.0)]
    (region,) = read(seg(values, frames), values, fine).regions
    assert on_planes(region) == dict.fromkeys(range(4), first) | dict.fromkeys(range(4, 8), second)


def test_frames_as_thick_as_the_planes_that_overlap_leave_planes_between_out() -> None:
    values = np.stack([mask((2, 2, 3, 3))] * 2)
    frames = [frame(at=grid((0, 0, height), depth=5.0)) for height in (0.0, 10.0)]
    overlapping = placed([2.5 * number for number in range(5)], thickness=5.0)
    (region,) = read(seg(values, frames), values, overlapping).regions
    assert sorted(region.extents) == [0, 4]


def test_a_thick_frame_that_names_its_plane_is_on_that_alone() -> None:
    inside = mask((2, 2, 3, 3))
    ds = one_frame(inside, grid((0, 0, 5.0), depth=5.0), source="1.3.6")
    (region,) = read(ds, inside[None], placed(range(11), thickness=1.0)).regions
    assert (list(region.extents), region.notes) == ([5], ())


def test_frames_in_another_frame_of_reference_lie_on_the_images_that_they_name() -> None:
    inside = mask((3, 2, 7, 4))
    ds = one_frame(inside, grid((0, 0, 5.0)), source="1.3.1")
    ds.FrameOfReferenceUID = "1.9.99"
    (region,) = read(ds, inside[None], placed()).regions
    assert on_planes(region) == {0: [(2.5, 1.5, 7.5, 4.5)]}
    assert [note.split(":")[0] for note in region.notes] == ["FOR_OVERRIDDEN"]


def test_a_cropped_frame_in_another_frame_of_reference_is_used_only_where_its_place_is_that_of_its_image() -> None:
    inside = mask((1, 1, 2, 2), shape=(5, 4))
    for height, wanted in ((5.0, []), (0.0, [0])):
        ds = one_frame(inside, grid((4.0, 3.0, height)), source="1.3.1")
        ds.FrameOfReferenceUID = "1.9.99"
        found = read(ds, inside[None], placed())
        assert [index for region in found.regions for index in region.extents] == wanted
        assert [one.reason for one in found.exclusions] == [Reason.CONTOUR_OFF_STACK] * (not wanted)
    assert read(ds, inside[None], placed()).exclusions == ()


def test_a_frame_that_names_another_image_than_it_lies_on_is_noted() -> None:
    inside = mask((3, 2, 7, 4))
    (region,) = read(one_frame(inside, grid((0, 0, 5.0)), source="1.3.1"), inside[None], placed()).regions
    assert list(region.extents) == [2]
    assert region.notes == ("1 frames name other images than those that they lie on: their place counts",)


def test_a_segment_made_from_images_that_are_not_here_is_told_and_not_called_empty() -> None:
    values = np.stack([mask((2, 2, 3, 3))] * 2)
    frames = [frame(1, source="1.3.1", at=grid((0, 0, 0))), frame(2, source="1.8.1", at=grid((0, 0, 2.5)))]
    found = read(seg(values, frames, segments=[segment(1), segment(2)]), values, placed())
    assert [one.item for one in found.regions] == ["1"]
    assert [(one.reason, one.what) for one in found.exclusions] == [(Reason.NO_IMAGES, "seg.dcm segment 2 'segment 2'")]


def test_frames_off_the_stack_are_told_and_the_others_used() -> None:
    values = np.stack([mask((2, 2, 3, 3))] * 3)
    ds = seg(values, [frame(at=grid((0, 0, height))) for height in (0.0, 5.0 + 1.25, 5.0 + 1.3)])
    found = read(ds, values, placed())
    assert sorted(found.regions[0].extents) == [0, 2]
    assert [one.reason for one in found.exclusions] == [Reason.CONTOUR_OFF_STACK]
    assert "1 of 3 frames" in found.exclusions[0].detail
    assert "1.30 mm" in found.exclusions[0].detail


def test_empty_segments_are_set_aside_and_the_others_used() -> None:
    values = np.stack([mask((2, 2, 3, 3)), mask()])
    frames = [frame(at=grid((0, 0, 0.0))), frame(2, at=grid((0, 0, 0.0)))]
    found = read(seg(values, frames, segments=[segment(1), segment(2), segment(3)]), values, placed())
    assert [one.item for one in found.regions] == ["1"]
    assert [(one.reason, one.what) for one in found.exclusions] == [
        (Reason.NOT_A_PROMPT, "seg.dcm segment 2 'segment 2'"),
        (Reason.NOT_A_PROMPT, "seg.dcm segment 3 'segment 3'"),
    ]


def test_frames_of_a_segment_that_is_not_described_are_told() -> None:
    values = np.stack([mask((2, 2, 3, 3))] * 2)
    found = read(seg(values, [frame(at=grid((0, 0, 0.0))), frame(7, at=grid((0, 0, 0.0)))]), values, placed())
    assert [one.item for one in found.regions] == ["1"]
    assert [(one.reason, one.what) for one in found.exclusions] == [(Reason.INVALID_HEADER, "seg.dcm segment 7")]


def test_one_broken_frame_leaves_the_others_alone() -> None:
    values = np.stack([mask((2, 2, 3, 3))] * 3)
    skewed = grid((0, 0, 2.5), orientation=(1, 0, 0, 1, 0, 0))
    frames = [frame(at=grid((0, 0, 0.0))), frame(at=skewed), frame(None, at=grid((0, 0, 5.0)))]
    found = read(seg(values, frames), values, placed())
    assert sorted(found.regions[0].extents) == [0]
    assert [(one.what, one.reason) for one in found.exclusions] == [
        ("seg.dcm, frame 2", Reason.INVALID_HEADER),
        ("seg.dcm, frame 3", Reason.INVALID_HEADER),
    ]


def test_pixels_that_end_early_cost_their_frames_only(tmp_path: Path) -> None:
    values = np.stack([mask((2, 2, 3, 3))] * 3)
    ds = seg(values, [frame(at=grid((0, 0, height))) for height in (0.0, 2.5, 5.0)])
    ds.PixelData = ds.PixelData[: 2 * ROWS * COLUMNS // 8]
    found = through_a_file(ds, tmp_path, placed())
    assert sorted(found.regions[0].extents) == [0, 1]
    assert [(one.reason, one.detail.startswith("1 frames")) for one in found.exclusions] == [(Reason.TRUNCATED, True)]


def test_colours_are_no_numbers_of_segments() -> None:
    values = np.zeros((1, ROWS, COLUMNS, 3), dtype=np.uint8)
    ds = seg(values[..., 0], [frame(None, at=grid((0, 0, 0)))], kind="LABELMAP")
    found = read(ds, values, placed())
    assert [one.reason for one in found.exclusions] == [Reason.INVALID_HEADER, Reason.NOT_A_PROMPT]


def test_a_frame_without_a_place_lies_on_the_image_that_it_was_made_from() -> None:
    inside = mask((3, 2, 7, 4))
    ds = seg(inside[None], [frame(source="1.3.3")])
    assert on_planes(read(ds, inside[None], placed()).regions[0]) == {2: [(2.5, 1.5, 7.5, 4.5)]}
    ds = seg(inside[None], [frame(source="1.3.1")])
    assert on_planes(read(ds, inside[None], unplaced()).regions[0]) == {0: [(2.5, 1.5, 7.5, 4.5)]}


def test_frames_of_a_cine_are_found_by_image_and_number() -> None:
    inside = mask((3, 2, 7, 4))
    ds = seg(inside[None], [frame(source=("1.3.1", 3))])
    assert sorted(read(ds, inside[None], unplaced(5)).regions[0].extents) == [2]


@pytest.mark.parametrize(
    ("group", "shape", "words"),
    [
        (frame(), (ROWS, COLUMNS), "0 planes"),
        (frame(source="1.3.1"), (ROWS, COLUMNS), "5 planes"),
        (frame(source=("1.3.1", 3)), (ROWS, 8), "8 x 12 pixels"),
    ],
)
def test_a_frame_without_a_place_needs_one_source_of_its_own_size(
    group: Dataset, shape: tuple[int, int], words: str
) -> None:
    inside = np.ones((1, *shape), dtype=np.bool_)
    found = read(seg(inside, [group]), inside, unplaced(5))
    assert [one.reason for one in found.exclusions] == [Reason.CONTOUR_OFF_STACK]
    assert words in found.exclusions[0].detail


def test_frames_made_from_other_images_are_another_stacks() -> None:
    values = np.stack([mask((2, 2, 3, 3)), mask((8, 8, 9, 9))])
    frames = [frame(at=grid((0, 0, 0)), source="1.3.1"), frame(at=grid((0, 0, 0)), source="1.7.1")]
    (region,) = read(seg(values, frames), values, placed()).regions
    assert on_planes(region) == {0: [(1.5, 1.5, 3.5, 3.5)]}
    assert region.notes == ("1 of 2 frames are made from other images",)


def test_another_frame_of_reference_is_refused_where_no_frame_names_an_image() -> None:
    inside = mask((3, 2, 7, 4))
    with pytest.raises(Refused) as refused:
        read(seg(inside[None], [frame(at=grid((0, 0, 0)))], FrameOfReferenceUID="1.2.99"), inside[None], placed())
    assert refused.value.reason is Reason.FOR_MISMATCH
    ds = seg(inside[None], [frame(at=grid((0, 0, 0)), source="1.3.1")], FrameOfReferenceUID="1.2.99")
    (region,) = read(ds, inside[None], placed()).regions
    assert region.notes[0].startswith("FOR_OVERRIDDEN")


@pytest.mark.parametrize(
    "changes", [{"DimensionOrganizationType": "TILED_FULL"}, {"DimensionOrganizationType": "TILED_SPARSE"}]
)
def test_the_segmentation_of_a_slide_is_no_prompt(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        references_of_seg(seg(mask()[None], [frame(at=grid((0, 0, 0)))], **changes), "seg.dcm")
    assert refused.value.reason is Reason.NOT_A_PROMPT


def test_more_or_fewer_functional_groups_than_frames_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        references_of_seg(seg(np.stack([mask()] * 2), [frame()]), "seg.dcm")
    assert refused.value.reason is Reason.INVALID_HEADER
    with pytest.raises(Refused) as refused:
        references_of_seg(seg(mask()[None], [frame()], NumberOfFrames=100_001), "seg.dcm")
    assert refused.value.reason is Reason.LIMIT
    with pytest.raises(Refused) as refused:
        references_of_seg(seg(mask()[None], [frame()], Rows=60_000, Columns=60_000, NumberOfFrames=10), "seg.dcm")
    assert refused.value.reason is Reason.LIMIT


def test_references_are_what_frames_name_and_else_what_the_object_lists() -> None:
    values = np.stack([mask()] * 3)
    frames = [frame(at=grid((0, 0, 0)), source=source) for source in ("1.3.1", "1.3.1", ("1.3.2", 4))]
    found = references_of_seg(seg(values, frames), "seg.dcm")
    assert found.planes == {PlaneKey(Uid("1.3.1")): 2, PlaneKey(Uid("1.3.2"), 4): 1}
    assert found.samples == ((7.5, 5.5, 0.0),) * 3
    listed = Dataset()
    listed.SeriesInstanceUID = "1.2"
    listed.ReferencedInstanceSequence = list(frame(source="1.3.9").DerivationImageSequence[0].SourceImageSequence)
    ds = seg(values[:1], [frame(at=grid((0, 0, 0)))], ReferencedSeriesSequence=[listed])
    found = references_of_seg(ds, "seg.dcm")
    assert (dict(found.planes), found.series) == ({PlaneKey(Uid("1.3.9")): 1}, ("1.2",))
    assert len(found.frames_of_reference) == 1


def test_what_a_segment_says_of_itself_is_carried() -> None:
    inside = mask((3, 2, 7, 4))
    described = segment(
        1,
        "Leber",
        TrackingID="lesion 1",
        TrackingUID="1.2.3.4",
        RecommendedDisplayCIELabValue=[34885, 53485, 50171],  # (255, 0, 0) in CIELab of PS3.3 C.10.7.1.1, D50
        AnatomicRegionSequence=[
            code("76752008", "SCT", "Breast", AnatomicRegionModifierSequence=[code("7771000", "SCT", "Left")])
        ],
    )
    described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
        code("24028007", "SCT", "Right")
    ]
    ds = seg(inside[None], [frame(at=grid((0, 0, 0)))], segments=[described])
    (region,) = read(ds, inside[None], placed()).regions
    assert (region.name, region.tracking_id, region.tracking_uid) == ("Leber", "lesion 1", "1.2.3.4")
    assert region.colour is not None
    assert np.abs(np.array(region.colour) - (255, 0, 0)).max() <= 3
    assert region.codes.category == Code(value="85756007", scheme="SCT", meaning="Tissue")
    assert region.codes.type == Code(value="10200004", scheme="SCT", meaning="Liver")
    assert [one.value for one in region.codes.modifiers] == ["24028007"]
    assert [one.value for one in region.codes.sites] == ["76752008", "7771000"]


@pytest.mark.parametrize("changes", [{"TrackingUID": "no uid"}, {"RecommendedDisplayCIELabValue": [1, 2]}])
def test_a_colour_or_tracking_uid_that_is_none_is_left_out(changes: dict[str, Any]) -> None:
    inside = mask((3, 2, 7, 4))
    ds = seg(inside[None], [frame(at=grid((0, 0, 0)))], segments=[segment(1, **changes)])
    (region,) = read(ds, inside[None], placed()).regions
    assert (region.colour, region.tracking_uid) == (None, None)


def test_islands_have_extents_of_their_own_where_components_are_split() -> None:
    inside = mask((2, 2, 3, 3), (4, 4, 5, 5), (9, 1, 10, 6))  # the first two touch at a corner
    (region,) = read(one_frame(inside), inside[None], placed(), split_components=True).regions
    assert sorted(on_planes(region)[1]) == [(1.5, 1.5, 5.5, 5.5), (8.5, 0.5, 10.5, 6.5)]


def test_noise_is_not_split() -> None:
    inside = np.indices((ROWS, COLUMNS)).sum(axis=0) % 4 == 0
    inside[::2] = False
    inside[1::2, ::2] = np.arange(COLUMNS // 2) % 2 == 0
    found = islands(np.tile(inside, (4, 4)))
    assert len(found) == 1
    assert found[0].sum() == 16 * inside.sum()


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_islands_are_what_can_be_walked_from_pixel_to_pixel(inside: Mask) -> None:
    assert {part.tobytes() for part in islands(inside)} == {part.tobytes() for part in walked(inside)}


def walked(inside: Mask) -> list[Mask]:
    """Return the parts of `inside` by walking to all eight neighbours."""
    left, parts = {(int(row), int(column)) for row, column in np.argwhere(inside)}, []
    while left:
        part, ahead = np.zeros_like(inside), [left.pop()]
        while ahead:
            row, column = ahead.pop()
            part[row, column] = True
            near_by = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near_by
            ahead.extend(near_by)
        parts.append(part)
    return parts


def test_one_segment_can_be_asked_for_alone() -> None:
    values = np.stack([mask((2, 2, 3, 3)), mask((5, 5, 6, 6)), mask((5, 5, 6, 6))])
    frames = [frame(1, at=grid((0, 0, 0))), frame(2, at=grid((0, 0, 2.5))), frame(2, at=grid((0, 0, 90)))]
    ds = seg(values, frames, segments=[segment(1), segment(2)])
    asked: list[int] = []

    def stored(number: int) -> NDArray[Any]:
        asked.append(number)
        one: NDArray[Any] = values[number - 1]
        return one

    region = region_of_segment(ds, stored, 2, placed(), "seg.dcm")
    assert (asked, on_planes(region)) == ([2, 3], {1: [(4.5, 4.5, 6.5, 6.5)]})
    assert "1 of 2 frames lie on no plane" in region.notes[0]
    with pytest.raises(Refused) as refused:
        region_of_segment(ds, stored, 3, placed(), "seg.dcm")
    assert refused.value.reason is Reason.NO_BOX


def test_a_coronal_segmentation_has_its_extents_on_the_axial_planes_that_it_crosses() -> None:
    # its rows run along -z, 1 mm apart from z = 6, its columns along x; one plane at y = 4, 2 mm thick
    inside = mask((3, 0, 7, 4))  # z from 6.5 to 1.5
    at = grid((0, 4.0, 6.0), orientation=(1, 0, 0, 0, 0, -1), depth=2.0)
    (region,) = read(one_frame(inside, at), inside[None], placed()).regions
    assert on_planes(region) == {1: [(2.5, 3.0, 7.5, 5.0)], 2: [(2.5, 3.0, 7.5, 5.0)]}
    assert "run across the planes" in region.notes[0]


# property tests: what is expected is found pixel by pixel, by solving for the coordinates

rotations = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.floats(0.2, 5.0)


def turned(degrees: Sequence[float]) -> NDArray[np.float64]:
    """Return a rotation, (3, 3) float64 whose columns are orthonormal."""
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)


def directions(axes: NDArray[np.float64]) -> Orientation:
    """Return rows' and columns' directions of the grid whose axes are the first two columns of `axes`."""
    a, b, c, d, e, f = (float(value) for value in axes[:, :2].T.ravel())
    return (a, b, c, d, e, f)


def solved(
    points: NDArray[np.float64], position: Vector, axes: NDArray[np.float64], spacing: tuple[float, float]
) -> Box:
    """Return the extent in pixels of `points` in mm, by solving p = position + x * dx * row + y * dy * column."""
    sides = np.column_stack([axes[:, 0] * spacing[1], axes[:, 1] * spacing[0], axes[:, 2]])
    x, y, _ = np.linalg.solve(sides, (points - np.array(position)).T)
    return Box(x0=x.min(), y0=y.min(), x1=x.max(), y1=y.max())


def near(one: Box, other: Box) -> bool:
    return bool(
        np.allclose([one.x0, one.y0, one.x1, one.y1], [other.x0, other.y0, other.x1, other.y1], atol=1e-3, rtol=0)
    )


@given(rotations, spacings, spacings, spacings, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_mask_on_the_grid_of_any_stack_has_the_extent_of_its_pixels(
    degrees: tuple[float, ...], between_rows: float, between_columns: float, step: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    axes, spacing = turned(degrees), (between_rows, between_columns)
    heights = tuple(step * index for index in range(3))
    stack = placed(heights, orientation=directions(axes), spacing=spacing)
    values = rng.random((3, ROWS, COLUMNS)) < rng.random() / 4
    values[0, 0, 0] = True
    order = rng.permutation(3)
    frames = [
        frame(at=grid(stack.planes[index].position, orientation=directions(axes), spacing=spacing)) for index in order
    ]
    (region,) = read(seg(values[order], frames), values[order], stack).regions
    expected = {index: expected_box(inside) for index, inside in enumerate(values) if inside.any()}
    assert region.extents.keys() == expected.keys()
    for index, (x0, y0, x1, y1) in expected.items():
        assert near(region.extents[index][0], Box(x0=x0, y0=y0, x1=x1, y1=y1))


@given(rotations, st.floats(-180, 180), st.sampled_from([-1, 1]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_grid_that_is_turned_flipped_cropped_and_resampled_in_its_plane_has_the_same_extent_in_the_patient(
    degrees: tuple[float, ...], turn: float, side: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    axes = turned(degrees)
    stack = placed(orientation=directions(axes), spacing=(0.7, 1.3))
    other = axes @ turned((0, 0, turn)) * np.array([side, 1, side])
    spacing = (float(rng.uniform(0.3, 3)), float(rng.uniform(0.3, 3)))
    x, y, z = (float(value) for value in axes @ np.array([*rng.uniform(-20, 20, 2), 2.5 + rng.uniform(-1.2, 1.2)]))
    inside = rng.random((7, 9)) < 0.1
    inside[3, 4] = True
    ds = one_frame(inside, grid((x, y, z), orientation=directions(other), spacing=spacing))
    (region,) = read(ds, inside[None], stack).regions
    corners = np.array(
        [
            np.array([x, y, z]) + (column + across) * spacing[1] * other[:, 0] + (row + down) * spacing[0] * other[:, 1]
            for row, column in np.argwhere(inside)
            for across in (-0.5, 0.5)
            for down in (-0.5, 0.5)
        ]
    )
    assert list(region.extents) == [1]
    assert near(region.extents[1][0], solved(corners, stack.planes[1].position, axes, (0.7, 1.3)))


@given(rotations, st.permutations([0, 1, 2]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_grid_across_the_stack_has_on_each_plane_the_extent_of_the_voxels_that_it_crosses(
    degrees: tuple[float, ...], order: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    axes = turned(degrees)
    stack = placed((0.0, 1.0, 2.0, 3.0), orientation=directions(axes))
    other = axes[:, order]
    if order[2] == 2:  # that is in its plane
        return
    other = other * np.array([1, 1, np.sign(np.linalg.det(other))])
    spacing, depth = (float(rng.uniform(0.3, 3)), float(rng.uniform(0.3, 3))), float(rng.uniform(0.3, 3))
    middle = axes @ rng.uniform(0, 3, 3)
    inside = rng.random((7, 9)) < 0.2
    at = grid(tuple(middle), orientation=directions(other), spacing=spacing, depth=depth)
    found = read(one_frame(inside, at), inside[None], stack)
    expected = crossed(inside, stack, axes, (middle, other * np.array([spacing[1], spacing[0], depth])))
    extents = found.regions[0].extents if found.regions else {}
    assert extents.keys() == expected.keys()
    assert all(near(extents[index][0], box) for index, box in expected.items())


def crossed(
    inside: Mask, stack: Stack, axes: NDArray[np.float64], voxels: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> dict[int, Box]:
    """Return plane index -> the extent of the voxels that the plane cuts, each by its eight corners."""
    middle, sides = voxels
    found: dict[int, list[NDArray[np.float64]]] = {}
    offsets = np.array([[a, b, c] for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (-0.5, 0.5)])
    for row, column in np.argwhere(inside):
        corners = middle + (np.array([column, row, 0]) + offsets) @ sides.T
        along = corners @ axes[:, 2]
        for index, height in enumerate(stack.heights()):
            if along.min() <= height <= along.max():
                found.setdefault(index, []).append(corners)
    return {
        index: solved(np.concatenate(corners), stack.planes[index].position, axes, (1.0, 1.0))
        for index, corners in found.items()
    }


def test_what_dicomnode_writes_can_be_read_as_prompts(tmp_path: Path) -> None:
    images = ct_series()
    drawn = rtstruct(images, {"A": [square(4.5, 5.5, 9.5, 12.5, 5.0)], "B": [square(14.5, 5.5, 19.5, 12.5, 7.5)]})
    (written,) = outcome_of(images, drawn, tmp_path).objects
    ds = dcmread(BytesIO(written.content))
    path = tmp_path / "seg.dcm"
    path.write_bytes(written.content)
    with Decoders(1) as decoders:
        pixels = open_pixels(path, decoders)
        found = regions_of_seg(ds, pixels.frame, annotation(path=path), stack_in(tmp_path), JobOptions())
    assert {one.name: on_planes(one) for one in found.regions} == {
        "A": {2: [(4.5, 5.5, 9.5, 12.5)]},
        "B": {3: [(14.5, 5.5, 19.5, 12.5)]},
    }
    assert all(one.tracking_uid for one in found.regions)
