"""Say in which types of SEG masks can be written."""

from collections.abc import Iterable, Sequence

import numpy as np

from dicomnode.domain import Mask, SegType


def possible_types(wanted: Iterable[SegType], masks: Sequence[Mask]) -> tuple[tuple[SegType, ...], tuple[str, ...]]:
    """Return the types of `wanted` that can hold `masks`, BINARY for one that cannot; and in words why not."""
    hindrances = [(seg_type, _hindrance(seg_type, masks)) for seg_type in wanted]
    types = dict.fromkeys(SegType.BINARY if hindrance else seg_type for seg_type, hindrance in hindrances)
    notes = tuple(f"BINARY instead of {seg_type}: {hindrance}" for seg_type, hindrance in hindrances if hindrance)
    return tuple(types), notes


def overlap(masks: Sequence[Mask]) -> tuple[str, str] | None:
    """Return the labels of two segments that share a voxel, if any do."""
    for index in sorted({index for mask in masks for index in mask.planes}):
        here = [mask for mask in masks if index in mask.planes]
        covered = here[0].planes[index]
        for number, mask in enumerate(here[1:], start=1):
            inside = mask.planes[index]
            if np.any(covered & inside):
                other = next(one for one in here[:number] if np.any(one.planes[index] & inside))
                return other.prompt.label, mask.prompt.label
            covered = covered | inside
    return None


def _hindrance(seg_type: SegType, masks: Sequence[Mask]) -> str:
    """Return why `masks` cannot be a SEG of `seg_type`, '' where they can."""
    match seg_type:
        case SegType.BINARY:
            return ""
        case SegType.LABELMAP:
            labels = overlap(masks)
            return f"segments overlap, {labels[0]!r} and {labels[1]!r}" if labels else ""
        case SegType.FRACTIONAL:
            without = (mask.prompt.label for mask in masks if not _has_probabilities(mask))
            label = next(without, None)
            return "" if label is None else f"{label!r} has no probabilities"


def _has_probabilities(mask: Mask) -> bool:
    return all(index in mask.probabilities for index, inside in mask.planes.items() if inside.any())
