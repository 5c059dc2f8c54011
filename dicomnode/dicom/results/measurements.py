"""Put measurements of a mask into the items of a structured report (PS3.16 TID 1419), each with its definition."""

from collections.abc import Iterator

import numpy as np
from highdicom.sr import AlgorithmIdentification, Measurement, SourceImageForMeasurement
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicomnode import __version__
from dicomnode.dicom.instances import MANUFACTURER
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.measuring import Axes, Intensity, area_of, axes_of
from dicomnode.dicom.results.quantities import Quantity
from dicomnode.domain import Mask
from dicomnode.geometry import multiples, volume_of

_MM, _MM2 = codes.UCUM.Millimeter, codes.UCUM.SquareMillimeter
_ML = Code("ml", "UCUM", "milliliter")
_DIGITS = 6  # significant ones, the same wherever they are computed
_VOLUME = "voxels x pixel area x slab depth, which is half the way to each neighbouring plane"
_AREA = "pixels x pixel area"
_LONG = "greatest distance in a plane between two points of the edge of one piece, along the sides of pixels"
_SHORT = "greatest distance at a right angle to the long axis, in its plane and piece"
_MEAN = "mean of the modality's values, padding left out"
_DEVIATION = "standard deviation of the population of the modality's values, padding left out"


def sizes_of(findings: Findings, mask: Mask) -> Iterator[Measurement]:
    """Yield how large `mask` is: its volume, of a lone plane its area, and its axes, as far as distances are known.

    Without a place planes have no depth, and a lone one of no known thickness neither. Where they have no place,
    `mask` has one plane.
    """
    stack = findings.stack
    volume, missing = volume_of(mask, stack), missing_slices(findings, mask)
    if volume is not None and (len(stack.planes) > 1 or any(plane.thickness for plane in stack.planes)):
        notes = (f"slices missing in or beside it, not counted: {missing}",) if missing else ()
        yield _measurement(codes.SCT.Volume, volume, _ML, _VOLUME, *notes)
    filled = [index for index, inside in mask.planes.items() if inside.any()]
    if not filled or "PixelSpacing" not in findings.headers[filled[0]].ds:
        return
    spacing = stack.planes[filled[0]].spacing
    if volume is None or len(stack.planes) == 1:
        yield _measurement(codes.SCT.Area, area_of(mask.planes[filled[0]], spacing), _MM2, _AREA)
    if axes := axes_of(mask.planes, spacing):
        yield from _axes(findings, axes)


def intensity_of(intensity: Intensity, quantity: Quantity) -> Iterator[Measurement]:
    """Yield mean and standard deviation; they are called so where the quantity has no name of its own."""
    for value, derivation, definition in (
        (intensity.mean, codes.SCT.Mean, _MEAN),
        (intensity.deviation, codes.SCT.StandardDeviation, _DEVIATION),
    ):
        name = quantity.concept or derivation
        yield _measurement(name, value, quantity.unit, definition, derivation=derivation if quantity.concept else None)


def missing_slices(findings: Findings, mask: Mask) -> int:
    """Return how many slices are missing between and beside the planes on which `mask` has something."""
    stack = findings.stack
    filled = [index for index, inside in mask.planes.items() if inside.any()]
    if stack.frame_of_reference_uid is None or len(stack.planes) == 1 or not filled:
        return 0
    steps = multiples(stack.gaps(), stack.thicknesses())
    beside = steps[max(min(filled) - 1, 0) : max(filled) + 1]
    return int(np.sum(beside - 1))


def _axes(findings: Findings, axes: Axes) -> Iterator[Measurement]:
    header = findings.headers[axes.plane]
    frames = None if header.key.frame is None else [header.key.frame]
    image = SourceImageForMeasurement(header.sop_class_uid, header.key.sop_instance_uid, frames)
    for name, value, definition in ((codes.SCT.LongAxis, axes.long, _LONG), (codes.SCT.ShortAxis, axes.short, _SHORT)):
        yield _measurement(name, value, _MM, definition, image=image)


def _measurement(
    name: Code,
    value: float,
    unit: Code,
    *definition: str,
    derivation: Code | None = None,
    image: SourceImageForMeasurement | None = None,
) -> Measurement:
    return Measurement(
        name=name,
        value=float(f"{value:.{_DIGITS}g}"),
        unit=unit,
        derivation=derivation,
        algorithm_id=AlgorithmIdentification(name=MANUFACTURER, version=__version__, parameters=definition),
        referenced_images=[image] if image else None,
    )
