"""Small segmentations and presentation states, readable at the call."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, GrayscaleSoftcopyPresentationStateStorage, SegmentationStorage

from dicomnode.dicom.obstacles import LabelMapSegmentationStorage
from tests.builders import STUDY
from tests.multiframe import item
from tests.values import FRAME_OF_REFERENCE

_CLASSES = {"LABELMAP": LabelMapSegmentationStorage}
_BITS = {"BINARY": 1, "FRACTIONAL": 8, "LABELMAP": 8}


def grid(
    position: Sequence[float] | None,
    *,
    orientation: Sequence[float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    spacing: tuple[float, float] = (1.0, 1.0),
    depth: float = 2.5,
) -> dict[str, Any]:
    """Return the functional groups that say where a frame lies; none without `position`."""
    if position is None:
        return {}
    return {
        "PlanePositionSequence": [item(ImagePositionPatient=[float(value) for value in position])],
        "PlaneOrientationSequence": [item(ImageOrientationPatient=[float(value) for value in orientation])],
        "PixelMeasuresSequence": [item(PixelSpacing=list(spacing), SliceThickness=depth)],
    }


def frame(segment: int | None = 1, *, at: dict[str, Any] | None = None, source: object = None) -> Dataset:
    """Return the functional groups of a frame of `segment` (None in a label map) `at` a place, made from `source`.

    `source` is the UID of an image, or a UID and a frame number.
    """
    group = item(**(at or {}))
    if segment is not None:
        group.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=segment)]
    if source is not None:
        uid, number = source if isinstance(source, tuple) else (source, None)
        image = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=str(uid))
        if number is not None:
            image.ReferencedFrameNumber = number
        group.DerivationImageSequence = [item(SourceImageSequence=[image])]
    return group


def segment(number: int, label: str = "", **changes: Any) -> Dataset:  # noqa: ANN401 - any element
    """Return the description of a segment."""
    return item(
        SegmentNumber=number,
        SegmentLabel=label or f"segment {number}",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=[code("85756007", "SCT", "Tissue")],
        SegmentedPropertyTypeCodeSequence=[code("10200004", "SCT", "Liver")],
        **changes,
    )


def code(value: str, scheme: str, meaning: str, **modifiers: Any) -> Dataset:  # noqa: ANN401 - any element
    """Return the item of a code sequence."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning, **modifiers)


def seg(
    values: NDArray[Any],
    frames: Sequence[Dataset],
    *,
    kind: str = "BINARY",
    segments: Sequence[Dataset] | None = None,
    **changes: Any,  # noqa: ANN401 - any element
) -> Dataset:
    """Return a segmentation of `values`, (frame, row, column) integers, without compression."""
    ds = _object(_CLASSES.get(kind, SegmentationStorage), f"{STUDY}.4.1", f"{STUDY}.4")
    ds.Modality = "SEG"
    ds.SegmentationType = kind
    ds.FrameOfReferenceUID = FRAME_OF_REFERENCE
    ds.NumberOfFrames, ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = _BITS[kind]
    ds.HighBit = ds.BitsStored - 1
    if kind == "FRACTIONAL":
        ds.MaximumFractionalValue, ds.SegmentationFractionalType = 255, "OCCUPANCY"
    ds.SegmentSequence = list(segments or [segment(1)])
    ds.PerFrameFunctionalGroupsSequence = list(frames)
    flat = np.packbits(values.astype(bool).ravel(), bitorder="little") if kind == "BINARY" else values.astype(np.uint8)
    content = flat.tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def graphic(kind: str, points: ArrayLike, **changes: Any) -> Dataset:  # noqa: ANN401 - any element
    """Return a simple graphic in PIXEL units; `points` are (point, 2) as the standard counts them, from the corner."""
    return item(
        GraphicAnnotationUnits=changes.pop("units", "PIXEL"),
        GraphicDimensions=2,
        NumberOfGraphicPoints=np.size(points) // 2,
        GraphicData=[float(value) for value in np.ravel(np.asarray(points))],
        GraphicType=kind,
        **changes,
    )


def compound(kind: str, points: ArrayLike, **changes: Any) -> Dataset:  # noqa: ANN401 - any element
    """Return a compound graphic in PIXEL units."""
    return item(
        CompoundGraphicUnits="PIXEL",
        GraphicDimensions=2,
        NumberOfGraphicPoints=np.size(points) // 2,
        GraphicData=[float(value) for value in np.ravel(np.asarray(points))],
        CompoundGraphicType=kind,
        **{"CompoundGraphicInstanceID": 1, **changes},
    )


def images_named(*sources: object) -> list[Dataset]:
    """Return references to images: UIDs, or pairs of a UID and frame numbers."""
    named = []
    for source in sources:
        uid, numbers = source if isinstance(source, tuple) else (source, None)
        image = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=str(uid))
        if numbers is not None:
            image.ReferencedFrameNumber = numbers
        named.append(image)
    return named


def gsps(annotations: Sequence[Mapping[str, Any]], images: Sequence[Dataset], **changes: Any) -> Dataset:  # noqa: ANN401
    """Return a presentation state with `annotations`, each the elements of an item, on `images`."""
    ds = _object(GrayscaleSoftcopyPresentationStateStorage, f"{STUDY}.5.1", f"{STUDY}.5")
    ds.Modality = "PR"
    ds.ReferencedSeriesSequence = [item(SeriesInstanceUID="1.2", ReferencedImageSequence=list(images))]
    ds.GraphicAnnotationSequence = [item(GraphicLayer="ONE", **one) for one in annotations]
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def _object(sop_class: UID, sop_instance: str, series: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop_instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, series
    ds.PatientName, ds.PatientID = "Phantom^Test", "TEST-1"
    return ds
