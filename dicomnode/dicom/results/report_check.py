"""Prove that a written report says of each mask what it is, where it lies and how large it is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from dicomnode.dicom.prompts.sr_tree import Concept, ContentItem, walk
from dicomnode.dicom.reading import PARSER_ERRORS, items, noted
from dicomnode.domain import Fact, Mask, PlaneKey, Stack, Uid, WrittenObject
from dicomnode.errors import Reason, Refused

_GROUP = ("125007", "DCM")
_TRACKING_ID, _TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
_FINDING, _COMMENT = ("121071", "DCM"), ("121106", "DCM")
_SEGMENT = ("121191", "DCM")
_SOURCE = ("121233", "DCM")
_VOLUME, _MILLILITER = ("118565006", "SCT"), "ml"
_SUMMARY, _WITHOUT_FINDINGS = ("111017", "DCM"), ("111241", "DCM")
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
_WIDE = 1.5  # times the least distance between slices: there one may be missing
_LEAST_DEPTH = 0.1  # times that distance
_SAME_VOLUME = 1e-4  # of it; figures have six digits


def check_report(written: WrittenObject, segs: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of `written` and compare them with `masks` and `segs`; refuse with FAILED_CHECK.

    It must tell of each mask once, where planes lie nowhere once for each plane that it has something on, and name
    the segment of it in one of `segs`, which are all that it may refer to, and the planes that it lies on. Volumes are
    computed anew here.
    """
    what = f"{written.kind} {written.sop_instance_uid}"
    try:
        with noted([]):
            report = dcmread(BytesIO(written.content))
            _check(_Read.of(report, what), _tracked(segs), masks, stack)
    except (InvalidDicomError, *PARSER_ERRORS) as error:
        raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Read:
    """A report: its items, those of each group, and the objects that it lists as its evidence."""

    what: str
    items: tuple[ContentItem, ...]
    groups: tuple[tuple[ContentItem, ...], ...]
    evidence: frozenset[str]

    @classmethod
    def of(cls, report: Dataset, what: str) -> "_Read":
        found = walk(report, what)
        openers = [item for item in found if item.concept == _GROUP]
        listed = [
            str(one.ReferencedSOPInstanceUID)
            for keyword in _EVIDENCE
            for study in items(report, keyword)
            for series in study.ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        ]
        return cls(
            what=what,
            items=found,
            groups=tuple(tuple(item for item in found if _is_below(item, opener)) for opener in openers),
            evidence=frozenset(listed),
        )


_Tracked = Mapping[tuple[str, int], str]  # a SEG and the number of a segment in it -> the tracking UID


def _tracked(segs: Sequence[WrittenObject]) -> dict[tuple[str, int], str]:
    headers = [dcmread(BytesIO(seg.content), stop_before_pixels=True) for seg in segs]
    return {
        (str(header.SOPInstanceUID), int(item.SegmentNumber)): str(item.get("TrackingUID"))
        for header in headers
        for item in header.SegmentSequence
    }


def _check(read: _Read, tracked: _Tracked, masks: Sequence[Mask], stack: Stack) -> None:
    by_uid = {str(mask.prompt.tracking_uid): mask for mask in masks}
    told = Counter(
        _check_group(group, tracked, by_uid, stack, f"{read.what}, group {number}")
        for number, group in enumerate(read.groups, start=1)
    )
    wanted = Counter((uid, plane) for uid, mask in by_uid.items() for plane in _told_apart(mask, stack))
    if told != wanted:
        odd = sorted(map(str, (told - wanted) + (wanted - told)))[:3]
        detail = f"it tells {told.total()} times of masks, {wanted.total()} are wanted; that differ: {odd}"
        raise Refused(Reason.FAILED_CHECK, read.what, detail)
    _check_references(read, {uid for uid, _ in tracked}, stack)


def _check_group(
    group: Sequence[ContentItem], tracked: _Tracked, masks: Mapping[str, Mask], stack: Stack, what: str
) -> tuple[str, int | None]:
    """Return of which mask the group tells, and of which plane where it tells of one."""
    uid = str(_only(group, _TRACKING_UID, what).UID)
    mask = masks.get(uid)
    if mask is None or _only(group, _TRACKING_ID, what).TextValue != mask.prompt.tracking_id:
        raise Refused(Reason.FAILED_CHECK, what, f"its tracking identifiers are of no mask: {uid}")
    named = [item.ds.TextValue for item in group if item.concept in {_TRACKING_ID, _COMMENT}]
    if mask.prompt.label not in named:
        raise Refused(Reason.FAILED_CHECK, what, f"it is called {named}, the mask {mask.prompt.label!r}")
    finding = _only(group, _FINDING, what).ConceptCodeSequence[0]
    if (finding.CodeValue, finding.CodingSchemeDesignator) != (mask.prompt.type.value, mask.prompt.type.scheme):
        raise Refused(Reason.FAILED_CHECK, what, f"it found {finding.CodeMeaning}, the mask is of {mask.prompt.type}")
    if any(item.concept == _SEGMENT for item in group):
        named = _only(group, _SEGMENT, what).ReferencedSOPSequence[0]
        segment = str(named.ReferencedSOPInstanceUID), int(named.ReferencedSegmentNumber)
        if tracked.get(segment) != uid:
            detail = f"segment {segment[1]} of {segment[0]} is tracked by {tracked.get(segment)}, the group by {uid}"
            raise Refused(Reason.FAILED_CHECK, what, detail)
    elif mask.voxels:
        raise Refused(Reason.FAILED_CHECK, what, f"it names no segment of a mask of {mask.voxels} voxels")
    plane = _check_sources(group, mask, stack, what)
    _check_volume(group, mask, stack, what)
    return uid, plane


def _check_sources(group: Sequence[ContentItem], mask: Mask, stack: Stack, what: str) -> int | None:
    """Return the plane that the group is of where planes lie nowhere; refuse other sources than those of the mask."""
    if not mask.voxels:
        summary = _only(group, _SUMMARY, what).ConceptCodeSequence[0]
        if (summary.CodeValue, summary.CodingSchemeDesignator) != _WITHOUT_FINDINGS:
            raise Refused(Reason.FAILED_CHECK, what, f"of a mask without a voxel it says {summary.CodeMeaning!r}")
        return None
    filled = [index for index, inside in mask.planes.items() if inside.any()]
    named = Counter(key for item in group if item.concept == _SOURCE for key in _keys(item))
    sources = [index for index, plane in enumerate(stack.planes) if plane.key in named]
    alone = stack.frame_of_reference_uid is None
    if len(sources) != named.total() or (sources[0] not in filled if alone else sources != sorted(filled)):
        detail = f"it names the planes {sources[:3]} and so on, {named.total()}; the mask lies on {len(filled)}"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    return sources[0] if alone else None


def _check_volume(group: Sequence[ContentItem], mask: Mask, stack: Stack, what: str) -> None:
    stated = [item.ds.MeasuredValueSequence[0] for item in group if item.concept == _VOLUME]
    if stack.frame_of_reference_uid is None or (len(stack.planes) == 1 and not stack.planes[0].thickness):
        if stated:
            raise Refused(Reason.FAILED_CHECK, what, "it states a volume, and its planes have no depth")
        return
    low, high = _volumes(mask, stack)
    for value in stated:
        unit, volume = value.MeasurementUnitsCodeSequence[0].CodeValue, float(value.NumericValue)
        if unit != _MILLILITER or not low * (1 - _SAME_VOLUME) <= volume <= high * (1 + _SAME_VOLUME):
            raise Refused(Reason.FAILED_CHECK, what, f"its volume is {volume} {unit}, the mask's {low} to {high} ml")
    if not stated and any(item.concept == _SEGMENT for item in group):
        raise Refused(Reason.FAILED_CHECK, what, f"it states no volume, the mask has {low} to {high} ml")


def _volumes(mask: Mask, stack: Stack) -> tuple[float, float]:
    """Return the least and the greatest volume that `mask` may have, in ml; the same unless slices are missing.

    Where they are, a plane stands for less than half the way to its neighbours: thicknesses tell how much.
    """
    if len(stack.planes) == 1:
        depths = least = np.array([stack.planes[0].thickness or 0.0])
    else:
        row, column = np.array(stack.planes[0].orientation, dtype=np.float64).reshape(2, 3)
        normal = np.cross(row, column) / np.linalg.norm(np.cross(row, column))
        gaps = np.abs(np.diff([np.dot(plane.position, normal) for plane in stack.planes]))
        depths = (np.append(gaps[0], gaps) + np.append(gaps, gaps[-1])) / 2
        missing = Fact.MISSING_SLICES in stack.facts or gaps.max() > _WIDE * gaps.min()
        least = np.full(len(depths), gaps.min() * _LEAST_DEPTH) if missing else depths
    return _summed(mask, stack, least), _summed(mask, stack, depths)


def _summed(mask: Mask, stack: Stack, depths: NDArray[np.float64]) -> float:
    area = stack.planes[0].spacing[0] * stack.planes[0].spacing[1]
    return sum(int(inside.sum()) * area * float(depths[index]) for index, inside in mask.planes.items()) / 1000


def _check_references(read: _Read, segs: set[str], stack: Stack) -> None:
    """Refuse a report that names what is neither a plane of the stack nor in `segs`, or not all of `segs`."""
    planes = {plane.key for plane in stack.planes}
    named: set[str] = set()
    for item in read.items:
        if item.value_type == "IMAGE" and item.concept == _SEGMENT:
            named.add(str(item.ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        elif item.value_type == "IMAGE" and (foreign := sorted(map(str, set(_keys(item)) - planes))):
            raise Refused(Reason.FAILED_CHECK, read.what, f"{item.path} names what is no plane of the stack: {foreign}")
    if named != segs:
        detail = f"it refers to the SEGs {sorted(named)}, written were {sorted(segs)}"
        raise Refused(Reason.FAILED_CHECK, read.what, detail)
    images = {str(plane.key.sop_instance_uid) for plane in stack.planes}
    if missing := sorted((images | segs) - read.evidence):
        raise Refused(Reason.FAILED_CHECK, read.what, f"its evidence lacks {len(missing)} objects: {missing[:3]}")


def _keys(image: ContentItem) -> list[PlaneKey]:
    """Return the planes that an IMAGE names."""
    named = image.ds.ReferencedSOPSequence[0]
    stated = named.get("ReferencedFrameNumber")
    frames = [None] if stated is None else map(int, stated if isinstance(stated, MultiValue) else [stated])
    return [PlaneKey(Uid(str(named.ReferencedSOPInstanceUID)), frame) for frame in frames]


def _told_apart(mask: Mask, stack: Stack) -> Sequence[int | None]:
    """Return the planes of which the report tells one by one: those with something on them that lie nowhere."""
    filled = [index for index, inside in mask.planes.items() if inside.any()]
    return filled if filled and stack.frame_of_reference_uid is None else [None]


def _only(group: Sequence[ContentItem], concept: Concept, what: str) -> Dataset:
    found = [item.ds for item in group if item.concept == concept]
    if len(found) != 1:
        raise Refused(Reason.FAILED_CHECK, what, f"it has {len(found)} items {concept}, 1 is wanted")
    return found[0]


def _is_below(item: ContentItem, opener: ContentItem) -> bool:
    above = item.parent
    while above and above is not opener:
        above = above.parent
    return above is opener
