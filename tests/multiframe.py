"""Multi-frame objects made of single-frame ones, readable at the call."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import (
    UID,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from tests.builders import STUDY, ct_series

# dimension -> the macro it is stated in
_GROUPS = {
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "ImagePositionPatient": "PlanePositionSequence",
}


def enhanced(images: Sequence[Dataset], *, dimensions: Mapping[str, Sequence[Any]] | None = None) -> Dataset:
    """Return `images` as the frames of one Enhanced CT, in the order given.

    `dimensions` are values for each frame of elements that vary; they are dimensions beside the position.
    """
    dimensions = dimensions or {}
    ds = deepcopy(images[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del ds[keyword]
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        del ds[keyword]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.2.100")
    ds.NumberOfFrames = len(images)
    ds.PixelData = b"".join(image.PixelData for image in images)
    ds.SharedFunctionalGroupsSequence = [_shared(images[0])]
    ds.DimensionIndexSequence = [_dimension(name) for name in (*dimensions, "ImagePositionPatient")]
    ds.PerFrameFunctionalGroupsSequence = [
        _group(image, number, {name: values[number] for name, values in dimensions.items()}, dimensions)
        for number, image in enumerate(images)
    ]
    return ds


def item(**elements: Any) -> Dataset:  # noqa: ANN401 - any element
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def _shared(image: Dataset) -> Dataset:
    return item(
        PixelMeasuresSequence=[item(PixelSpacing=image.PixelSpacing, SliceThickness=image.SliceThickness)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=image.ImageOrientationPatient)],
    )


def _dimension(name: str) -> Dataset:
    return item(
        DimensionIndexPointer=tag_for_keyword(name),
        FunctionalGroupPointer=tag_for_keyword(_GROUPS[name]),
        DimensionOrganizationUID=f"{STUDY}.2.200",
    )


def _group(image: Dataset, number: int, values: Mapping[str, Any], dimensions: Mapping[str, Sequence[Any]]) -> Dataset:
    indices = [1 + sorted(set(dimensions[name])).index(value) for name, value in values.items()]
    group = item(
        FrameContentSequence=[item(DimensionIndexValues=[*indices, number + 1])],
        PlanePositionSequence=[item(ImagePositionPatient=image.ImagePositionPatient)],
        PixelValueTransformationSequence=[
            item(RescaleSlope=image.RescaleSlope, RescaleIntercept=image.RescaleIntercept, RescaleType="HU")
        ],
    )
    for name, value in values.items():
        if _GROUPS[name] not in group:
            setattr(group, _GROUPS[name], [Dataset()])
        setattr(group[_GROUPS[name]][0], name, value)
    return group


def film(frames: int = 1, *, colour: bool = False) -> Dataset:
    """Return an ultrasound image without a place, of `frames` frames, grey or RGB."""
    (ds,) = ct_series(planes=1)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
        del ds[keyword]
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelSpacing", "PositionReferenceIndicator"):
        del ds[keyword]
    ds.Modality = "US"
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage if frames > 1 else SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    if colour:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.PixelData = np.random.default_rng(3).integers(0, 256, (ds.Rows, ds.Columns, 3), np.uint8).tobytes()
    if frames > 1:
        ds.NumberOfFrames, ds.PixelData = frames, ds.PixelData * frames
    return ds
