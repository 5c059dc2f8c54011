"""Small synthetic DICOM objects, readable at the call."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
STUDY = "1.2.826.0.1.3680043.8.498.1"
FRAME_OF_REFERENCE = f"{STUDY}.9"

Contour = Sequence[tuple[float, float, float]]


def ct_series(
    *,
    planes: int = 5,
    shape: tuple[int, int] = (32, 40),
    spacing: tuple[float, float] = (1.0, 1.0),
    step: float = 2.5,
    orientation: Sequence[float] = AXIAL,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    **changes: Any,  # noqa: ANN401 - any element
) -> list[Dataset]:
    """Return an ascending CT series with a bright square in its middle; `changes` are elements set on every image."""
    normal = np.cross(orientation[:3], orientation[3:])
    images = []
    for index in range(planes):
        ds = _object(CTImageStorage, f"{STUDY}.2.{index + 1}", f"{STUDY}.2")
        ds.Modality = "CT"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.FrameOfReferenceUID = FRAME_OF_REFERENCE
        ds.PositionReferenceIndicator = ""
        ds.Manufacturer = "Builder"
        ds.KVP = "120"
        ds.AcquisitionNumber = 1
        ds.InstanceNumber = index + 1
        ds.SeriesNumber = 2
        ds.SliceThickness = step
        ds.PixelSpacing = list(spacing)
        ds.ImageOrientationPatient = list(orientation)
        ds.ImagePositionPatient = [round(float(value), 6) for value in np.array(origin) + normal * step * index]
        ds.ContentDate, ds.ContentTime = "20260102", "101500"
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        set_pixels(ds, bright_square(shape))
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
        images.append(ds)
    return images


def bright_square(shape: tuple[int, int]) -> NDArray[np.int16]:
    """Return (row, column) int16: 1100 in the middle quarter, 1000 round it, with a fixed fine texture."""
    rows, columns = shape
    pixels: NDArray[np.int16] = 1000 + (np.indices(shape).sum(axis=0) % 3).astype(np.int16)
    pixels[rows // 4 : rows // 2, columns // 4 : columns // 2] += 100
    return pixels


def set_pixels(ds: Dataset, pixels: NDArray[np.int16]) -> None:
    """Make `pixels`, (row, column) int16, the image of `ds`."""
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.PixelData = pixels.astype("<i2").tobytes()


def square(x0: float, y0: float, x1: float, y1: float, z: float) -> Contour:
    """Return an axial rectangle in patient mm."""
    return [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]


def rtstruct(
    images: Sequence[Dataset],
    rois: Mapping[str, Iterable[Contour]],
    *,
    interpreted_type: str = "ORGAN",
    references: bool = True,
    frame_of_reference: str = FRAME_OF_REFERENCE,
) -> Dataset:
    """Return an RTSTRUCT with a ROI a name; contours are points in patient mm.

    With `references` each contour names the image whose plane is nearest.
    """
    ds = _object(RTStructureSetStorage, f"{STUDY}.3.1", f"{STUDY}.3")
    ds.Modality = "RTSTRUCT"
    ds.Manufacturer = "Builder"
    ds.StructureSetLabel = "Test"
    ds.StructureSetDate, ds.StructureSetTime = "20260102", "120000"
    ds.ReferencedFrameOfReferenceSequence = [_referenced_frame(images, frame_of_reference)]
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        ds.StructureSetROISequence.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=frame_of_reference,
                ROIName=name,
                ROIGenerationAlgorithm="MANUAL",
            )
        )
        ds.ROIContourSequence.append(
            _item(
                ReferencedROINumber=number,
                ROIDisplayColor=[255, 0, 0],
                ContourSequence=[_contour(points, images if references else ()) for points in contours],
            )
        )
        ds.RTROIObservationsSequence.append(
            _item(
                ObservationNumber=number,
                ReferencedROINumber=number,
                RTROIInterpretedType=interpreted_type,
                ROIInterpreter="",
            )
        )
    return ds


def save(objects: Iterable[Dataset], folder: Path, *, syntax: UID = ExplicitVRLittleEndian) -> list[Path]:
    """Write `objects` into `folder` under their SOP Instance UIDs; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ds in objects:
        path = folder / f"{ds.SOPInstanceUID}.dcm"
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(
            path,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=True,
            enforce_file_format=True,
        )
        paths.append(path)
    return paths


def _object(sop_class: UID, sop_instance: str, series: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop_instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, series
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Test", "TEST-1", "", "O"
    ds.StudyID, ds.StudyDate, ds.StudyTime = "1", "20260102", "100000"
    ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
    return ds


def _item(**elements: Any) -> Dataset:  # noqa: ANN401 - any element
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _referenced_frame(images: Sequence[Dataset], frame_of_reference: str) -> Dataset:
    series = _item(
        SeriesInstanceUID=images[0].SeriesInstanceUID,
        ContourImageSequence=[_reference(image) for image in images],
    )
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=images[0].StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=frame_of_reference, RTReferencedStudySequence=[study])


def _contour(points: Contour, images: Sequence[Dataset]) -> Dataset:
    contour = _item(
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points),
        ContourData=[round(float(value), 6) for point in points for value in point],
    )
    if images:
        middle = np.mean(np.array(points, dtype=np.float64), axis=0)
        contour.ContourImageSequence = [_reference(min(images, key=lambda image: _distance(middle, image)))]
    return contour


def _distance(point: NDArray[np.float64], image: Dataset) -> float:
    """Return how far `point`, (3,) in patient mm, lies from the plane of `image`, in mm."""
    direction = np.array(image.ImageOrientationPatient, dtype=np.float64)
    offset = point - np.array(image.ImagePositionPatient, dtype=np.float64)
    return abs(float(offset @ np.cross(direction[:3], direction[3:])))


def _reference(image: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)
