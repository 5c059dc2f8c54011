"""Say in a presentation state how stored values become greys."""

from collections.abc import Iterator, Mapping
from typing import Any

from highdicom import ModalityLUTTransformation, PresentationLUTTransformation
from highdicom.content import ReferencedImageSequence
from highdicom.pr import SoftcopyVOILUTTransformation
from pydicom import Dataset

from dicomnode.dicom.reading import text
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.windows import Window, windows_of


def greys(findings: Findings, images: Mapping[int, Dataset]) -> dict[str, Any]:
    """Return how stored values become greys: a state replaces all that its images say of that (PS3.4 N.2).

    Where planes are rescaled each in its own way, as PET, no slope holds for all: windows count in stored values then.
    """
    planes = {index: findings.stack.planes[index] for index in images}
    windows = windows_of(findings, images)
    inverted = any(plane.inverted for plane in planes.values())
    rescales = {(plane.slope, plane.intercept) for plane in planes.values()}
    rescale = None
    if len(rescales) == 1:
        ((slope, intercept),) = rescales
        if (slope, intercept) != (1.0, 0.0):
            rescale = ModalityLUTTransformation(intercept, slope, _unit(findings))
    else:
        windows = {index: _stored(windows[index], plane.slope, plane.intercept) for index, plane in planes.items()}
        inverted ^= min(plane.slope for plane in planes.values()) < 0
    return {
        "modality_lut_transformation": rescale,
        "voi_lut_transformations": [*_vois(windows, images)],
        "presentation_lut_transformation": PresentationLUTTransformation("INVERSE" if inverted else "IDENTITY"),
    }


def _unit(findings: Findings) -> str:
    return text(findings.source, "RescaleType") or ("HU" if findings.stack.modality == "CT" else "US")


def _stored(window: Window, slope: float, intercept: float) -> Window:
    """Return `window` in stored values."""
    return Window.between(*sorted((bound - intercept) / slope for bound in window.bounds))


def _vois(windows: Mapping[int, Window], images: Mapping[int, Dataset]) -> Iterator[SoftcopyVOILUTTransformation]:
    """Yield each window with the images that it is for, which are all where there is one."""
    for window in dict.fromkeys(windows.values()):
        here = [images[index] for index, one in windows.items() if one == window]
        yield SoftcopyVOILUTTransformation(
            window_center=window.centre,
            window_width=window.width,
            voi_lut_function=window.function,
            referenced_images=None if len(here) == len(images) else ReferencedImageSequence(here),
        )
