"""Describe the segments of a SEG, and give the SEG the identity that belongs to its content."""

import hashlib
from dataclasses import astuple

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from pydicom.sr.coding import Code as CodedConcept

from dicomnode import __version__
from dicomnode.dicom.results.colours import colour_of
from dicomnode.dicom.results.findings import Findings
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import AnnotationKind, Code, Mask, ModelIdentity, Prompt, Uid


def describe_segment(number: int, mask: Mask, model: ModelIdentity) -> SegmentDescription:
    """Return the description of segment `number` (PS3.3 C.8.20.4): a person drew the box, an algorithm the mask."""
    prompt = mask.prompt
    description = SegmentDescription(
        segment_number=number,
        segment_label=prompt.label,
        segmented_property_category=coded(prompt.category),
        segmented_property_type=coded(prompt.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=model.name,
            family=coded(model.family),
            version=model.version,
            source=model.source,
            parameters=parameters_of(mask, model),
        ),
        anatomic_regions=[coded(site) for site in prompt.sites] or None,
        tracking_uid=prompt.tracking_uid,
        tracking_id=prompt.tracking_id,
        display_color=CIELabColor.from_rgb(*(colour_of(number, prompt))),
    )
    if prompt.modifiers:  # highdicom has no parameter for them
        described = description.SegmentedPropertyTypeCodeSequence[0]
        modifiers = [hd.sr.CodedConcept.from_code(coded(code)) for code in prompt.modifiers]
        described.SegmentedPropertyTypeModifierCodeSequence = modifiers
    return description


def parameters_of(mask: Mask, model: ModelIdentity) -> dict[str, str]:
    """Return with what `mask` was made, by name: the parameters of `model`, its own, and the prompt."""
    prompt = mask.prompt
    return {
        **dict(model.parameters),
        **dict(mask.parameters),
        "margin_mm": f"{prompt.margin_mm:g}",
        "prompt": f"{prompt.source_kind} {prompt.source_uid} {item_word(prompt)} {prompt.source_item}",
    }


def coded(code: Code) -> CodedConcept:
    """Return `code` as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def item_word(prompt: Prompt) -> str:
    """Return what an item of the prompt's kind of annotation is called."""
    return "ROI" if prompt.source_kind is AnnotationKind.RTSTRUCT else "item"


def identify(findings: Findings) -> Uid:
    """Return a UID for what was found and with what, copied headers aside; when and where plays no part."""
    return uid_of(
        "findings",
        sorted((plane.key.sop_instance_uid, plane.key.frame or 0) for plane in findings.stack.planes),
        (findings.annotation.sop_instance_uid, [_named(mask.prompt) for mask in findings.masks]),
        (findings.model.name, findings.model.version, findings.model.source, findings.model.parameters),
        __version__,
        [(mask.parameters, _digest(mask)) for mask in findings.masks],
    )


def _named(prompt: Prompt) -> tuple[object, ...]:
    boxes = [(key, (box.x0, box.y0, box.x1, box.y1)) for key, box in prompt.boxes.items()]
    codes = [astuple(code) for code in (prompt.category, prompt.type, *prompt.modifiers, *prompt.sites)]
    return prompt.source_item, prompt.label, prompt.tracking_uid, prompt.margin_mm, boxes, codes


def _digest(mask: Mask) -> str:
    digest = hashlib.sha256()
    for index in sorted(mask.planes):
        digest.update(f"{index}:{mask.planes[index].shape}".encode())
        digest.update(np.packbits(mask.planes[index]).tobytes())
    return digest.hexdigest()
