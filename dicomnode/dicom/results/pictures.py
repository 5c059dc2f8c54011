"""Write pictures of what was found as Secondary Capture images (PS3.3 A.8), for a PACS that shows no SEG."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from pydicom import DataElement, Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, DS, TM

from dicomnode.dicom.reading import numbers, text
from dicomnode.dicom.results.canvas import Canvas, Picture, canvas_for
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.finishing import (
    complete,
    draft,
    finish,
    made_of,
    own_equipment,
)
from dicomnode.dicom.results.laterality import set_laterality
from dicomnode.dicom.results.marks import NOTICE, marks_of
from dicomnode.dicom.results.sources import SourceHeader, reference_to
from dicomnode.dicom.results.windows import shown_bounds, windows_of
from dicomnode.dicom.shades import rgb
from dicomnode.dicom.views import letters_of
from dicomnode.domain import ObjectKind, Uid, WrittenObject
from dicomnode.errors import Refused

_SIDES = 2  # of a plane: the way along its rows, and along its columns
_COPIED = (  # what stays true of a picture of an image
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "RecognizableVisualFeatures",
)


def write_pictures(findings: Findings) -> tuple[WrittenObject, ...]:
    """Return a picture of each plane that has a box or a mask, ascending, in one series; none without any mask."""
    if findings.is_empty:
        return ()
    with made_of(findings, ObjectKind.SC):
        return tuple(_written(findings))


def _written(findings: Findings) -> Iterator[WrittenObject]:
    """Yield the pictures: one data set becomes each of them, as they differ in little but their pixels."""
    ds: Dataset | None = None
    first: Uid | None = None
    for number, (index, picture, factor) in enumerate(_pictures(findings), start=1):
        ds = ds or _image(findings, picture, factor)
        pixels = picture.tobytes()
        ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
        ds.InstanceNumber = number
        ds.SourceImageSequence = [_source(findings.headers[index])]
        written = finish(ds, ObjectKind.SC, findings, beside=first)
        first = first or written.sop_instance_uid
        yield written


def _pictures(findings: Findings) -> Iterator[tuple[int, Picture, int]]:
    """Yield the index of each plane to show, its picture, and how many times it is enlarged."""
    stack, marks = findings.stack, marks_of(findings)
    coloured = stack.planes[0].is_colour
    windows = {} if coloured else windows_of(findings, marks)
    canvas: Canvas = canvas_for(stack.shape[1:], marks)
    for index, here in marks.items():
        plane = stack.planes[index]
        shown = plane.shown() if coloured else rgb(plane.shown(), shown_bounds(windows[index], plane))
        yield index, canvas.paint(shown, here, _words(findings, index)), canvas.factor


def _words(findings: Findings, index: int) -> str:
    """Return which plane it is, by its place in the stack and as a viewer of the source counts it, and who drew."""
    header = findings.headers[index]
    source = f"frame {header.key.frame}" if header.key.frame else _image_number(header)
    place = f"plane {index + 1} / {len(findings.stack.planes)}"
    return "   ".join(part for part in (place, source, f"{findings.model.name} {findings.model.version}") if part)


def _image_number(header: SourceHeader) -> str:
    try:
        stated = numbers(header.ds, "InstanceNumber", 1, "an image")
    except Refused:
        return ""
    return f"source image {stated[0]:.0f}" if stated else ""


def _image(findings: Findings, picture: Picture, factor: int) -> Dataset:
    """Return the picture as an image that lacks what tells it from others of its series.

    It says nowhere that it lies somewhere: as part of a volume its colours and words would be taken for the patient.
    """
    source = findings.source
    image = SCImage.from_ref_dataset(
        **draft(findings, ObjectKind.SC),
        ref_dataset=source,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # highdicom wants some, and knows no oblique ones
        contributing_equipment=[own_equipment()],
    )
    image.copy_patient_and_study_information(source)
    for keyword in _COPIED:
        if keyword in source:
            image[keyword] = deepcopy(source[keyword])  # to be changed
    complete(image, findings)
    date, time = findings.newest
    image.DateOfSecondaryCapture, image.TimeOfSecondaryCapture = DA(date), TM(time)
    set_laterality(image, source)
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.BurnedInAnnotation = "YES"
    image.DerivationDescription = f"outlines of what {findings.model.name} found, drawn over the image. {NOTICE}"
    image["PatientOrientation"] = DataElement("PatientOrientation", "CS", _orientation(findings))
    _set_spacing(image, findings, factor)
    return image


def _orientation(findings: Findings) -> list[str] | str:
    """Return which way the rows and columns of a picture go, '' where that is not known."""
    if findings.stack.frame_of_reference_uid:
        way = np.array(findings.stack.planes[0].orientation)
        return [letters_of(way[:3]), letters_of(way[3:])]
    stated = text(findings.source, "PatientOrientation").split("\\")
    return stated if len([one for one in stated if one]) == _SIDES else ""


def _set_spacing(image: Dataset, findings: Findings, factor: int) -> None:
    """Let a distance measured on the picture be that on the source: the same in mm, or like there in none.

    A pixel of the source is `factor` pixels of the picture wide and high.
    """
    source = findings.source
    if "PixelSpacing" in source:
        image.PixelSpacing = [DS(float(mm) / factor, auto_format=True) for mm in source.PixelSpacing]
        for keyword in ("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription"):
            if keyword in source:
                image[keyword] = source[keyword]
    elif source.get("PixelAspectRatio"):
        image["PixelAspectRatio"] = source["PixelAspectRatio"]


def _source(header: SourceHeader) -> Dataset:
    """Return the item of Source Image Sequence that names the plane of `header` (PS3.3 C.7.6.1.1.4)."""
    item = reference_to(header, [header])
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item
