"""What the header of a multi-frame or unplaced image says of its frames."""

from typing import Any

import pytest
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID, SecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage

from dicomnode.dicom.grouping import group
from dicomnode.domain import ImageInstance
from dicomnode.errors import Reason
from tests.builders import ct_series
from tests.integration.test_describe import described, encoded, reason_of
from tests.multiframe import enhanced, item


def image_in(ds: Dataset) -> ImageInstance:
    found = described(encoded(ds))
    assert isinstance(found, ImageInstance), found
    return found


def test_a_frame_has_the_place_and_spacing_of_its_functional_groups() -> None:
    found = image_in(enhanced(ct_series(planes=3, spacing=(0.5, 0.75))))
    assert [frame.number for frame in found.frames] == [1, 2, 3]
    assert [frame.place.position[2] for frame in found.frames if frame.place] == [0, 2.5, 5]
    assert {frame.spacing for frame in found.frames} == {(0.5, 0.75)}


def test_dimensions_other_than_the_position_split_the_frames() -> None:
    images = ct_series(planes=3)
    found = image_in(enhanced([*images, *images], dimensions={"EffectiveEchoTime": [4.6] * 3 + [12.0] * 3}))
    stacks, exclusions = group([found])
    assert exclusions == ()
    assert {stack.split: [plane.key.frame for plane in stack.planes] for stack in stacks} == {
        (("EchoTime", "4.6"),): [1, 2, 3],
        (("EchoTime", "12"),): [4, 5, 6],
    }


@pytest.mark.parametrize("pointer", ["DiffusionBValue", "FrameLabel"])
def test_a_dimension_counts_by_its_index_where_no_value_is_stated(pointer: str) -> None:
    images = ct_series(planes=2)
    ds = enhanced([*images, *images], dimensions={"DiffusionBValue": [0.0, 0.0, 500.0, 500.0]})
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.MRDiffusionSequence
    if pointer != "DiffusionBValue":
        ds.DimensionIndexSequence[0].DimensionIndexPointer = tag_for_keyword(pointer)
    stacks, _ = group([image_in(ds)])
    assert [stack.split for stack in stacks] == [((pointer, "1"),), ((pointer, "2"),)]


def test_what_all_frames_share_is_said_once() -> None:
    images = ct_series(planes=3)
    found = image_in(enhanced(images, dimensions={"EffectiveEchoTime": [4.6] * 3, "TemporalPositionIndex": [1, 2, 3]}))
    assert found.tags["EchoTime"] == 4.6
    assert [dict(frame.tags) for frame in found.frames] == [
        {"TemporalPositionIdentifier": number} for number in (1.0, 2.0, 3.0)
    ]


def test_one_frame_of_an_enhanced_image_is_frame_number_one() -> None:
    (frame,) = image_in(enhanced(ct_series(planes=1))).frames
    assert frame.number == 1


def test_an_enhanced_image_without_positions_is_refused() -> None:
    ds = enhanced(ct_series(planes=2))
    del ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    assert reason_of(encoded(ds)) is Reason.NO_GEOMETRY


def test_functional_groups_that_are_not_one_a_frame_are_refused() -> None:
    ds = enhanced(ct_series(planes=2))
    ds.NumberOfFrames = 3
    assert reason_of(encoded(ds)) is Reason.INVALID_HEADER


def unplaced(sop_class: UID, **changes: Any) -> Dataset:  # noqa: ANN401 - any element
    (ds,) = ct_series(planes=1, **changes)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID"):
        if keyword not in changes:
            del ds[keyword]
    return ds


def test_an_image_of_a_kind_that_needs_no_place_has_none() -> None:
    found = image_in(unplaced(SecondaryCaptureImageStorage))
    assert found.frame_of_reference_uid is None
    assert [(frame.number, frame.place, frame.spacing) for frame in found.frames] == [(None, None, (1.0, 1.0))]


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_the_spacing_of_an_image_without_a_place_is_what_its_header_states(keyword: str) -> None:
    (frame,) = image_in(unplaced(SecondaryCaptureImageStorage, **{keyword: [0.2, 0.1]})).frames
    assert (frame.place, frame.spacing) == (None, (0.2, 0.1))


def test_the_frames_of_a_cine_have_numbers_and_no_place() -> None:
    found = image_in(unplaced(UltrasoundMultiFrameImageStorage, NumberOfFrames=3))
    assert [(frame.number, frame.place) for frame in found.frames] == [(1, None), (2, None), (3, None)]


def test_positions_without_a_frame_of_reference_get_one_for_their_series_and_a_note() -> None:
    one, other = (image_in(ds) for ds in ct_series(planes=2, FrameOfReferenceUID=""))
    assert one.frame_of_reference_uid == other.frame_of_reference_uid
    assert one.frame_of_reference_uid is not None
    assert "FrameOfReferenceUID" in one.notes[-1]


def test_the_b_value_of_a_siemens_header_counts() -> None:
    (ds,) = ct_series(planes=1)
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "800")
    assert image_in(ds).tags["DiffusionBValue"] == 800


def test_a_mosaic_is_told_by_its_private_header_too() -> None:
    (ds,) = ct_series(planes=1)
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 36)
    assert reason_of(encoded(ds)) is Reason.UNSUPPORTED_MOSAIC


def test_what_was_unassigned_when_images_were_converted_still_splits_them() -> None:
    images = ct_series(planes=2)
    ds = enhanced([*images, *images])
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.UnassignedPerFrameConvertedAttributesSequence = [item(AcquisitionNumber=1 + number // 2)]
    stacks, _ = group([image_in(ds)])
    assert [stack.split for stack in stacks] == [(("AcquisitionNumber", "1"),), (("AcquisitionNumber", "2"),)]
