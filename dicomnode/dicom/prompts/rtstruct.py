"""Read the regions of interest of an RTSTRUCT as prompts (PS3.3 A.19.3)."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.codes import codes_for
from dicomnode.dicom.prompts.boxes import extent, fit, to_pixels, union
from dicomnode.dicom.prompts.matching import match_planes
from dicomnode.dicom.reading import PARSER_ERRORS, items, text
from dicomnode.dicom.uids import derived_frame_of_reference, uid_of
from dicomnode.domain import Annotation, Box, Exclusion, JobOptions, PlaneKey, Prompt, Prompts, Stack
from dicomnode.errors import Reason, Refused

# what a planning system draws that is no organ or target to segment (PS3.3 C.8.8.8.1)
NOT_PROMPTS = frozenset(
    {"EXTERNAL", "SUPPORT", "FIXATION", "BOLUS", "ISOCENTER", "MARKER", "REGISTRATION", "CONTROL", "DOSE_REGION"}
)
_LEAST_POINTS = 3
_NOTED_DISTANCE_MM = 0.1
_LABEL_LENGTH = 64
_EXAMPLES = 3  # of what was left out, in one sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class _Roi:
    """One region of interest as the structure set names it."""

    what: str
    number: str
    name: str
    label: str
    interpreted_type: str
    frame_of_reference: str
    colour: tuple[int, int, int] | None
    contours: tuple[Dataset, ...]


def boxes_of_contours(ds: Dataset, annotation: Annotation, stack: Stack, options: JobOptions) -> Prompts:
    """Return a prompt for each region of interest in `ds` that has contours on `stack`, and what gave none and why.

    Refuses with NO_GEOMETRY an annotation of a stack without frame of reference: contours are places in the patient.
    """
    if not stack.frame_of_reference_uid:
        detail = f"its contours are places in the patient in mm, and the images of stack {stack.key} have no place"
        raise Refused(Reason.NO_GEOMETRY, str(annotation.path), detail)
    prompts: list[Prompt] = []
    regions, exclusions = _regions(ds, annotation)
    for roi in regions:
        try:
            prompt, left_out = _prompt_of(roi, annotation, stack, options)
            prompts.append(prompt)
            exclusions.extend(left_out)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return Prompts(prompts=tuple(prompts), exclusions=tuple(exclusions))


def _regions(ds: Dataset, annotation: Annotation) -> tuple[tuple[_Roi, ...], list[Exclusion]]:
    """Join the three sequences of a structure set by ROI Number, never by their order (PS3.3 C.8.8.5, 6 and 8).

    Contours under a number that names no region are told as left out.
    """
    try:
        drawn: dict[str, list[Dataset]] = defaultdict(list)
        for item in items(ds, "ROIContourSequence"):
            drawn[text(item, "ReferencedROINumber")].append(item)
        observed = {text(item, "ReferencedROINumber"): item for item in items(ds, "RTROIObservationsSequence")}
        named = {text(item, "ROINumber"): item for item in items(ds, "StructureSetROISequence")}
        names = Counter(text(item, "ROIName") for item in named.values())
        regions = tuple(
            _region(item, drawn[number], observed.get(number), names, annotation) for number, item in named.items()
        )
    except PARSER_ERRORS as error:
        raise Refused(Reason.UNREADABLE, str(annotation.path), f"{type(error).__name__}: {error}") from error
    detail = "it has contours, and StructureSetROISequence does not name it"
    nameless = [
        Exclusion(what=f"{annotation.path} ROI {number}", reason=Reason.BAD_CONTOUR, detail=detail)
        for number in drawn
        if number not in named
    ]
    return regions, nameless


def _region(
    named: Dataset, drawn: Sequence[Dataset], observed: Dataset | None, names: Counter[str], annotation: Annotation
) -> _Roi:
    number, name = text(named, "ROINumber"), text(named, "ROIName")
    label = f"{name} #{number}" if names[name] > 1 else name or f"ROI {number}"
    return _Roi(
        what=f"{annotation.path} ROI {number} {name!r}",
        number=number,
        name=name,
        label=re.sub(r"[\\\x00-\x1f\x7f]", "_", label)[:_LABEL_LENGTH].strip(),
        interpreted_type=text(observed or Dataset(), "RTROIInterpretedType").upper(),
        frame_of_reference=text(named, "ReferencedFrameOfReferenceUID"),
        colour=_colour(drawn),
        contours=tuple(contour for item in drawn for contour in items(item, "ContourSequence")),
    )


def _colour(drawn: Sequence[Dataset]) -> tuple[int, int, int] | None:
    """Return the display colour as three values in 0..255, None where it is absent or no colour."""
    try:
        values = [min(255, max(0, int(value))) for value in drawn[0].ROIDisplayColor] if drawn else []
    except PARSER_ERRORS:
        return None
    return (values[0], values[1], values[2]) if len(values) == len("RGB") else None


def _prompt_of(roi: _Roi, annotation: Annotation, stack: Stack, options: JobOptions) -> tuple[Prompt, list[Exclusion]]:
    _check_wanted(roi, options)
    notes = _check_frame_of_reference(roi, stack)
    outlines, exclusions = _outlines(roi, stack, notes)
    boxes: dict[PlaneKey, Box] = {}
    for index in sorted(outlines):
        plane = stack.planes[index]
        try:
            boxes[plane.key], adjusted = fit(
                union(map(extent, outlines[index])), plane, options.margin_mm, f"{roi.what}, plane {index}"
            )
            notes.extend(f"plane {index}: {note}" for note in adjusted)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    if not boxes:
        raise Refused(exclusions[0].reason, roi.what, exclusions[0].detail)
    category, kind = codes_for(roi.label, roi.interpreted_type)
    prompt = Prompt(
        label=roi.label,
        boxes=boxes,
        category=category,
        type=kind,
        colour=roi.colour,
        tracking_id=roi.label,
        tracking_uid=uid_of("tracking", annotation.sop_instance_uid, roi.number),
        margin_mm=options.margin_mm,
        source_uid=annotation.sop_instance_uid,
        source_item=roi.number,
        outlines={stack.planes[index].key: tuple(drawn) for index, drawn in outlines.items()},
        notes=tuple(notes),
    )
    return prompt, exclusions


def _check_wanted(roi: _Roi, options: JobOptions) -> None:
    if roi.interpreted_type in NOT_PROMPTS or roi.interpreted_type.startswith("BRACHY_"):
        raise Refused(Reason.NOT_A_PROMPT, roi.what, f"its type is {roi.interpreted_type}")
    if options.roi and not any(re.fullmatch(options.roi, known, re.IGNORECASE) for known in (roi.name, roi.label)):
        raise Refused(Reason.NOT_SELECTED, roi.what, f"its name does not match {options.roi!r}")
    if not roi.contours:
        raise Refused(Reason.NOT_A_PROMPT, roi.what, "it has no contours")


def _check_frame_of_reference(roi: _Roi, stack: Stack) -> list[str]:
    """Refuse another frame of reference than the stack's, unless a contour names an image of the stack."""
    if roi.frame_of_reference == stack.frame_of_reference_uid:
        return []
    derived = stack.frame_of_reference_uid == derived_frame_of_reference(stack.series_uid)
    images = "the images state none" if derived else f"the images' is {stack.frame_of_reference_uid}"
    detail = f"frame of reference {roi.frame_of_reference or 'absent'}, {images}"
    if not _names_a_plane(roi, stack):
        raise Refused(Reason.FOR_MISMATCH, roi.what, f"{detail}, and no contour names an image of the stack")
    return [f"FOR_OVERRIDDEN: {detail}; its contours name the images"]


def _names_a_plane(roi: _Roi, stack: Stack) -> bool:
    """Return whether a contour of `roi` names a plane of `stack`; without frame numbers it names all of an image."""
    members = {(str(plane.key.sop_instance_uid), str(plane.key.frame or 1)) for plane in stack.planes}
    members |= {(str(plane.key.sop_instance_uid), "") for plane in stack.planes}
    return any(
        (text(image, "ReferencedSOPInstanceUID"), frame) in members
        for contour in roi.contours
        for image in items(contour, "ContourImageSequence")
        for frame in text(image, "ReferencedFrameNumber").split("\\")
    )


def _outlines(
    roi: _Roi, stack: Stack, notes: list[str]
) -> tuple[dict[int, list[NDArray[np.float64]]], list[Exclusion]]:
    """Return the contours in pixels by plane index, and what was left out; what was adjusted goes to `notes`."""
    outlines: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    broken: list[str] = []
    off: list[str] = []
    thin = 0
    for number, contour in enumerate(roi.contours, start=1):
        try:
            points = _points(contour)
        except ValueError as error:
            broken.append(f"contour {number}: {error}")
            continue
        if len(points) < _LEAST_POINTS:
            thin += 1
            continue
        match = match_planes(points, stack)
        if not match.planes:
            off.append(f"contour {number} is {match.distance:.2f} mm from the nearest")
        if match.oblique:
            notes.append(
                f"contour {number} runs across planes: its whole extent is the box on each of {len(match.planes)}"
            )
        elif match.distance > _NOTED_DISTANCE_MM and match.planes:
            notes.append(f"contour {number} lies {match.distance:.2f} mm off its plane")
        for index in match.planes:
            outlines[index].append(to_pixels(points, stack.planes[index]))
    return outlines, _left_out(roi, broken, off, thin)


def _left_out(roi: _Roi, broken: list[str], off: list[str], thin: int) -> list[Exclusion]:
    total = len(roi.contours)
    details = {
        Reason.BAD_CONTOUR: f"{len(broken)} of {total} contours are broken: {'; '.join(broken[:_EXAMPLES])}"
        if broken
        else "",
        Reason.CONTOUR_OFF_STACK: f"{len(off)} of {total} contours lie on no plane: {'; '.join(off[:_EXAMPLES])}"
        if off
        else "",
        Reason.NO_BOX: f"{thin} of {total} contours have fewer than {_LEAST_POINTS} points: they enclose nothing"
        if thin
        else "",
    }
    return [Exclusion(what=roi.what, reason=reason, detail=detail) for reason, detail in details.items() if detail]


def _points(contour: Dataset) -> NDArray[np.float64]:
    """Return the points of `contour`, (point, 3) float64 in patient mm; raise ValueError where they are none.

    The element is taken raw: a structure set has up to millions of numbers.
    """
    raw = contour.get_item("ContourData") if "ContourData" in contour else None
    value = raw.value if raw is not None else None
    if not value:
        raise ValueError("no ContourData")
    numbers = value.decode("ascii", "replace").strip("\0 ").split("\\") if isinstance(value, bytes) else value
    values = np.array(numbers, dtype=np.float64).reshape(-1)
    if len(values) % 3 or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} numbers: finite triplets are wanted")
    return values.reshape(-1, 3)
