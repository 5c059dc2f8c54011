"""Put what was found of each mask into a group of a structured report (PS3.16 TID 1411 and 1501)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr.value_types import ContentSequence
from pydicom.sr.codedict import codes

from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.results.measurements import intensity_of, missing_slices, sizes_of
from dicomnode.dicom.results.measuring import Intensity, intensities
from dicomnode.dicom.results.quantities import quantity_of
from dicomnode.dicom.results.segments import coded, parameters_of
from dicomnode.dicom.results.written_segs import WrittenSeg
from dicomnode.domain import Code, Mask, Prompt

Group = VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations

_Group = TypeVar("_Group", VolumetricROIMeasurementsAndQualitativeEvaluations, MeasurementsAndQualitativeEvaluations)
_Image = TypeVar("_Image", SourceImageForMeasurementGroup, SourceImageForSegmentation)

_LATERALITIES = frozenset(code.value for code in codes.cid244.concepts.values())
_NOTHING_FOUND = QualitativeEvaluation(
    name=codes.DCM.CADProcessingAndFindingsSummary, value=codes.cid6047.AllAlgorithmsSucceededWithoutFindings
)


def groups_of(findings: Findings, segs: Sequence[WrittenSeg]) -> Iterator[Group]:
    """Yield a group for each mask in turn; where planes lie nowhere, one for each plane that it has something on.

    A mask without a voxel has the group of its segment, which has no frame, where one of `segs` lists it.
    """
    parts = [*_parts(findings)]
    for part, intensity in zip(parts, intensities(parts, findings.stack), strict=True):
        seg = _seg_of(findings, part, segs)
        yield _nothing(findings, part) if seg is None else _segmented(findings, part, intensity, seg)


def _parts(findings: Findings) -> Iterator[Mask]:
    """Yield the masks, or where planes lie nowhere what each has on one of them."""
    for mask in findings.masks:
        if findings.stack.frame_of_reference_uid or not mask.voxels:
            yield mask
            continue
        for index in sorted(mask.planes):
            if mask.planes[index].any():
                yield replace(mask, planes={index: mask.planes[index]})


def _segmented(
    findings: Findings, mask: Mask, intensity: Intensity | None, seg: WrittenSeg
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    segment = ReferencedSegment(
        seg.sop_class_uid,
        seg.sop_instance_uid,
        seg.numbers[mask.prompt.tracking_uid],
        source_images=_images(findings, _filled(mask) or _searched(findings, mask), SourceImageForSegmentation),
    )
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        **_described(findings, mask),
        referenced_segment=segment,
        measurements=[*sizes_of(findings, mask), *_intensity(findings, intensity)],
        qualitative_evaluations=None if mask.voxels else [_NOTHING_FOUND],
    )
    if missing := missing_slices(findings, mask):
        words = f"slices missing in or beside it: {missing}; the volume is of those that are there"
        group[0].ContentSequence.append(_comment(words))
    return _labelled(group, mask.prompt)


def _nothing(findings: Findings, mask: Mask) -> MeasurementsAndQualitativeEvaluations:
    """Return the group of a mask without a voxel: that nothing was found, and on which images."""
    group = MeasurementsAndQualitativeEvaluations(
        **_described(findings, mask),
        qualitative_evaluations=[_NOTHING_FOUND],
        source_images=_images(findings, _searched(findings, mask), SourceImageForMeasurementGroup),
    )
    return _labelled(group, mask.prompt)


def _labelled(group: _Group, prompt: Prompt) -> _Group:
    """Return `group` with the label of the segment, where what tracks it is called otherwise."""
    if prompt.label != prompt.tracking_id:
        group[0].ContentSequence.append(_comment(prompt.label))
    return group


def _described(findings: Findings, mask: Mask) -> dict[str, Any]:
    """Return what all groups say: whose mask it is, what it shows and where, and what made it."""
    prompt, model = mask.prompt, findings.model
    parameters = {"source": model.source, **parameters_of(mask, model)}
    return {
        "tracking_identifier": TrackingIdentifier(uid=prompt.tracking_uid, identifier=prompt.tracking_id),
        "finding_category": coded(prompt.category),
        "finding_type": coded(prompt.type),
        "finding_sites": [*_sites(prompt)] or None,
        "algorithm_id": AlgorithmIdentification(
            name=model.name,
            version=model.version,
            parameters=[f"{name}={value}" for name, value in parameters.items()],
            family=coded(model.family),
        ),
    }


def _sites(prompt: Prompt) -> Iterator[FindingSite]:
    """Yield where it was found; the modifiers of what was found are those of the place, as findings have none."""
    for site in prompt.sites or ((prompt.type,) if prompt.modifiers else ()):
        item = FindingSite(coded(site))
        if prompt.modifiers:
            item.ContentSequence = ContentSequence([_modifier(code) for code in prompt.modifiers])
        yield item


def _modifier(code: Code) -> CodeContentItem:
    name = codes.SCT.Laterality if code.value in _LATERALITIES else codes.SCT.TopographicalModifier
    return CodeContentItem(name=name, value=coded(code), relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD)


def _intensity(findings: Findings, intensity: Intensity | None) -> Iterator[Measurement]:
    quantity = quantity_of(findings)
    if intensity and quantity:
        yield from intensity_of(intensity, quantity)


def _comment(words: str) -> TextContentItem:
    return TextContentItem(name=codes.DCM.Comment, value=words, relationship_type=RelationshipTypeValues.CONTAINS)


def _filled(mask: Mask) -> list[int]:
    return [index for index in sorted(mask.planes) if mask.planes[index].any()]


def _searched(findings: Findings, mask: Mask) -> list[int]:
    """Return the planes on which something was looked for."""
    planes, boxes = findings.stack.planes, mask.prompt.boxes
    return [index for index, plane in enumerate(planes) if index in mask.planes or plane.key in boxes]


def _seg_of(findings: Findings, mask: Mask, segs: Sequence[WrittenSeg]) -> WrittenSeg | None:
    """Return which of `segs` has the segment of `mask`: that with its planes, or any that lists an empty segment."""
    keys = [findings.stack.planes[index].key for index in _filled(mask)]
    tracking_uid = mask.prompt.tracking_uid
    return next((seg for seg in segs if tracking_uid in seg.numbers and all(map(seg.lies_on, keys))), None)


def _images(findings: Findings, planes: Collection[int], kind: type[_Image]) -> list[_Image]:
    """Return the images of `planes` as items of `kind`, each once, with its frames."""
    frames: dict[tuple[str, str], list[int]] = {}
    for index in planes:
        header = findings.headers[index]
        of_image = frames.setdefault((header.sop_class_uid, header.key.sop_instance_uid), [])
        if header.key.frame is not None:
            of_image.append(header.key.frame)
    return [kind(sop_class, uid, numbers or None) for (sop_class, uid), numbers in frames.items()]
