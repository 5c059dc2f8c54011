"""Read the regions of interest of an RTSTRUCT (PS3.3 A.19.3)."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.dicom.prompts.boxes import extent
from dicomnode.dicom.prompts.codes import code_in
from dicomnode.dicom.prompts.contours import Contours, place_contours, planes_drawn_on, points_of
from dicomnode.dicom.prompts.filling import filled
from dicomnode.dicom.prompts.region import Codes, References, Region, Regions
from dicomnode.dicom.prompts.seg_planes import SourceIndex
from dicomnode.dicom.reading import PARSER_ERRORS, items, text
from dicomnode.dicom.uids import derived_frame_of_reference
from dicomnode.domain import Annotation, Exclusion, JobOptions, PlaneKey, Reference, RegionFacts, Stack, Uid, Vector
from dicomnode.errors import Reason, Refused

# what a planning system draws that is no organ or target to segment (PS3.3 C.8.8.8.1)
NOT_PROMPTS = frozenset(
    {"EXTERNAL", "SUPPORT", "FIXATION", "BOLUS", "ISOCENTER", "MARKER", "REGISTRATION", "CONTROL", "DOSE_REGION"}
)
_MOST_SAMPLES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class _Roi:
    """One region of interest as the structure set names it."""

    what: str
    number: str
    name: str
    interpreted_type: str
    frame_of_reference: str
    colour: tuple[int, int, int] | None
    codes: Codes
    contours: tuple[Dataset, ...]


def references_of_rtstruct(ds: Dataset, what: str) -> References:
    """Return which images, series and frames of reference the structure set `ds` means, and points of its contours.

    Where no contour names an image, the images that its series list count once each. Refuses with INVALID_HEADER what
    has no ROIContourSequence: it is type 1 (PS3.3 C.8.8.6), and a file may be cut off between two elements.
    """
    if "ROIContourSequence" not in ds:
        raise Refused(Reason.INVALID_HEADER, what, "a structure set without ROIContourSequence")
    listed: dict[Uid, list[PlaneKey]] = defaultdict(list)
    for series in _series(ds):
        listed[Uid(text(series, "SeriesInstanceUID"))].extend(planes_drawn_on([series]))
    regions = tuple(_facts(ds, listed))
    drawn: Counter[PlaneKey] = Counter()
    for region in regions:
        drawn.update(dict(region.references))
    points = [point for region in regions for point in region.samples]
    every = Counter(plane for planes in listed.values() for plane in planes)
    return References(
        planes=dict(drawn or every),
        series=tuple(listed),
        frames_of_reference=tuple(dict.fromkeys(one.frame_of_reference for one in regions if one.frame_of_reference)),
        samples=tuple(points[:: max(1, -(-len(points) // _MOST_SAMPLES))]),
        regions=regions,
        listed=tuple(dict.fromkeys(plane.sop_instance_uid for plane in every)),
    )


def regions_of_rtstruct(
    ds: Dataset, annotation: Annotation, stack: Stack, options: JobOptions, elsewhere: Collection[str] = ()
) -> Regions:
    """Return the regions of interest in `ds` that have contours on `stack`, and what gave none and why.

    Those whose ROI Number is among `elsewhere` are another stack's. Refuses with NO_GEOMETRY an annotation of a stack
    without frame of reference: contours are places in the patient.
    """
    if not stack.frame_of_reference_uid:
        detail = f"its contours are places in the patient in mm, and the images of stack {stack.key} have no place"
        raise Refused(Reason.NO_GEOMETRY, str(annotation.path), detail)
    regions: list[Region] = []
    rois, exclusions = _rois(ds, annotation)
    for roi in (roi for roi in rois if roi.number not in elsewhere):
        try:
            region, left_out = _region(roi, stack, options)
            regions.append(region)
            exclusions.extend(left_out)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return Regions(regions=tuple(regions), exclusions=tuple(exclusions))


def masks_of_rtstruct(
    ds: Dataset, annotation: Annotation, stack: Stack, options: JobOptions, elsewhere: Collection[str] = ()
) -> tuple[list[tuple[str, dict[int, NDArray[np.bool_]]]], tuple[Exclusion, ...]]:
    """Return each region's name and the pixels within its contours on the planes of `stack`, and what gave none.

    A pixel is inside where its centre is within an odd number of contours, which leaves holes out, drawn apart or
    joined by a keyhole (PS3.3 C.8.8.6.3). A region with contours across the planes gives none (NOT_REGULAR). Refuses
    with what `regions_of_rtstruct` refuses.
    """
    found = regions_of_rtstruct(ds, annotation, stack, options, elsewhere)
    masks: list[tuple[str, dict[int, NDArray[np.bool_]]]] = []
    exclusions = list(found.exclusions)
    for region in found.regions:
        inside = {index: filled(drawn, stack.shape[1:]) for index, drawn in region.outlines.items()}
        inside = {index: mask for index, mask in inside.items() if mask.any()}
        if region.across:
            detail = f"{region.across} contours run across the planes"
            exclusions.append(Exclusion(what=region.what, reason=Reason.NOT_REGULAR, detail=detail))
        elif inside:
            masks.append((region.name, inside))
        else:
            detail = "its contours enclose no pixel's centre"
            exclusions.append(Exclusion(what=region.what, reason=Reason.NOT_A_PROMPT, detail=detail))
    return masks, tuple(exclusions)


def _rois(ds: Dataset, annotation: Annotation) -> tuple[tuple[_Roi, ...], list[Exclusion]]:
    """Join the three sequences of a structure set by ROI Number, never by their order (PS3.3 C.8.8.5, 6 and 8).

    Contours under a number that names no region are told as left out.
    """
    try:
        drawn: dict[str, list[Dataset]] = defaultdict(list)
        for item in items(ds, "ROIContourSequence"):
            drawn[text(item, "ReferencedROINumber")].append(item)
        observed = {text(item, "ReferencedROINumber"): item for item in items(ds, "RTROIObservationsSequence")}
        listed = [(text(item, "ROINumber"), item) for item in items(ds, "StructureSetROISequence")]
        repeated = {number for number, count in Counter(number for number, _ in listed).items() if count > 1}
        named = {number: item for number, item in listed if number not in repeated}
        rois = tuple(
            _roi(item, drawn[number], observed.get(number, Dataset()), annotation) for number, item in named.items()
        )
    except PARSER_ERRORS as error:
        raise Refused(Reason.UNREADABLE, str(annotation.path), f"{type(error).__name__}: {error}") from error
    shared = "several regions have this ROI Number: whose contours these are cannot be told"
    told = dict.fromkeys(sorted(repeated), shared)
    nameless = "it has contours, and StructureSetROISequence does not name it"
    told |= {number: nameless for number in drawn if number not in named and number not in repeated}
    return rois, [
        Exclusion(what=f"{annotation.path} ROI {number}", reason=Reason.BAD_CONTOUR, detail=detail)
        for number, detail in told.items()
    ]


def _roi(named: Dataset, drawn: Sequence[Dataset], observed: Dataset, annotation: Annotation) -> _Roi:
    number, name = text(named, "ROINumber"), text(named, "ROIName")
    return _Roi(
        what=f"{annotation.path} ROI {number} {name!r}",
        number=number,
        name=name or f"ROI {number}",
        interpreted_type=text(observed, "RTROIInterpretedType").upper(),
        frame_of_reference=text(named, "ReferencedFrameOfReferenceUID"),
        colour=_colour(drawn),
        codes=Codes(type=next((code for item in _identified(named, observed) if (code := code_in(item))), None)),
        contours=tuple(contour for item in drawn for contour in items(item, "ContourSequence")),
    )


def _identified(named: Dataset, observed: Dataset) -> Iterator[Dataset]:
    """Yield what says in codes what a region is (PS3.3 C.8.8.8)."""
    for holder in (observed, named):
        yield from items(holder, "RTROIIdentificationCodeSequence")


def _colour(drawn: Sequence[Dataset]) -> tuple[int, int, int] | None:
    """Return the display colour as three values in 0..255, None where it is absent or no colour."""
    try:
        values = [min(255, max(0, int(value))) for value in drawn[0].ROIDisplayColor] if drawn else []
    except PARSER_ERRORS:
        return None
    return (values[0], values[1], values[2]) if len(values) == len("RGB") else None


def _region(roi: _Roi, stack: Stack, options: JobOptions) -> tuple[Region, list[Exclusion]]:
    _check_wanted(roi, options)
    found: Contours = place_contours(roi.contours, stack, roi.what)
    notes = _check_frame_of_reference(roi, stack, found)
    if not found.outlines and not found.points:
        first = found.exclusions[0]
        raise Refused(first.reason, first.what, first.detail)
    region = Region(
        what=roi.what,
        item=roi.number,
        name=roi.name,
        extents={index: tuple(map(extent, drawn)) for index, drawn in found.outlines.items()},
        points=found.points,
        outlines={index: tuple(drawn) for index, drawn in found.outlines.items()},
        codes=roi.codes,
        colour=roi.colour,
        is_target=roi.interpreted_type == "GTV",
        across=found.across,
        notes=(*notes, *found.notes),
    )
    return region, list(found.exclusions)


def _check_wanted(roi: _Roi, options: JobOptions) -> None:
    kind = roi.interpreted_type
    if (kind in NOT_PROMPTS or kind.startswith("BRACHY_")) and kind not in options.roi_types:
        raise Refused(Reason.NOT_A_PROMPT, roi.what, f"its type is {kind}")
    if not roi.contours:
        raise Refused(Reason.NOT_A_PROMPT, roi.what, "it has no contours")


def _check_frame_of_reference(roi: _Roi, stack: Stack, found: Contours) -> list[str]:
    """Refuse another frame of reference than the stack's, unless contours name images of the stack that they lie on."""
    if roi.frame_of_reference == stack.frame_of_reference_uid:
        return []
    derived = stack.frame_of_reference_uid == derived_frame_of_reference(stack.series_uid)
    images = "the images state none" if derived else f"the images' is {stack.frame_of_reference_uid}"
    detail = f"frame of reference {roi.frame_of_reference or 'absent'}, {images}"
    index = SourceIndex(stack)
    naming = sum(bool(index.planes(planes_drawn_on([contour]))) for contour in roi.contours)
    if not naming:
        raise Refused(Reason.FOR_MISMATCH, roi.what, f"{detail}, and no contour names an image of the stack")
    if found.contrary:
        contrary = f"{found.contrary} of the {naming} contours that name an image of the stack lie elsewhere"
        raise Refused(Reason.FOR_MISMATCH, roi.what, f"{detail}, and {contrary}")
    every = "its contours name" if naming == len(roi.contours) else f"{naming} of its {len(roi.contours)} contours name"
    return [f"FOR_OVERRIDDEN: {detail}; {every} the images"]


def _facts(ds: Dataset, listed: Mapping[Uid, Collection[PlaneKey]]) -> Iterator[RegionFacts]:
    """Yield what each region of interest refers to; `listed` are the images of each series that the object lists.

    Where a listed series holds an image that a contour names, the region lies in none of those that hold none.
    """
    drawn: dict[str, list[Dataset]] = defaultdict(list)
    for item in items(ds, "ROIContourSequence"):
        drawn[text(item, "ReferencedROINumber")].extend(items(item, "ContourSequence"))
    holders = {uid: {plane.sop_instance_uid for plane in planes} for uid, planes in listed.items()}
    for item in items(ds, "StructureSetROISequence"):
        number = text(item, "ROINumber")
        named = Counter(planes_drawn_on(drawn[number]))
        images = {plane.sop_instance_uid for plane in named}
        holding = tuple(uid for uid, members in holders.items() if images & members)
        yield RegionFacts(
            item=number,
            what=f"ROI {number} {text(item, 'ROIName')!r}",
            references=tuple(Reference(plane, count) for plane, count in named.items()),
            series=holding or tuple(listed),
            frame_of_reference=Uid(text(item, "ReferencedFrameOfReferenceUID")) or None,
            samples=_samples(drawn[number]),
        )


def _series(ds: Dataset) -> Iterator[Dataset]:
    for frame in items(ds, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame, "RTReferencedStudySequence"):
            yield from items(study, "RTReferencedSeriesSequence")


def _samples(contours: Sequence[Dataset]) -> tuple[Vector, ...]:
    """Return a point of contours evenly chosen from all, in mm; broken ones give none."""
    chosen = islice(contours, 0, None, max(1, len(contours) // _MOST_SAMPLES))
    samples = []
    for contour in chosen:
        try:
            x, y, z = (float(value) for value in points_of(contour).mean(axis=0))
        except ValueError:
            continue
        samples.append((x, y, z))
    return tuple(samples)
