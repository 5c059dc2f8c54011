"""Group images into stacks by their headers alone."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from dicomnode.domain import Exclusion, ImageInstance, Instance, StackImages, Uid, normal_of
from dicomnode.errors import Reason, Refused
from dicomnode.geometry import SAME_POSITION_MM

_ORIENTATION_TOLERANCE = 1e-3


def group(images: Iterable[ImageInstance]) -> tuple[tuple[StackImages, ...], tuple[Exclusion, ...]]:
    """Return the stacks that `images` make, each SOP Instance UID being there once, and what makes none and why."""
    series: dict[Uid, list[ImageInstance]] = defaultdict(list)
    for image in images:
        series[image.series_uid].append(image)
    stacks: list[StackImages] = []
    exclusions: list[Exclusion] = []
    for uid in sorted(series):
        for number, members in enumerate(_split(series[uid]), start=1):
            try:
                stacks.append(_stack(f"{uid}/{number}", members))
            except Refused as error:
                exclusions.append(Exclusion.of(error))
    return tuple(stacks), tuple(exclusions)


def without_repeats(instances: Iterable[Instance]) -> tuple[tuple[Instance, ...], tuple[Exclusion, ...]]:
    """Keep the first of each SOP Instance UID; the same bytes again are a repeat, other bytes a conflict."""
    first: dict[Uid, Instance] = {}
    exclusions = []
    for instance in instances:
        known = first.setdefault(instance.sop_instance_uid, instance)
        if known is instance:
            continue
        same = known.sha256 == instance.sha256
        reason = Reason.DUPLICATE_INSTANCE if same else Reason.UID_CONFLICT
        detail = f"{'the same instance' if same else 'another instance with the same UID'} as {known.path}"
        exclusions.append(Exclusion(what=str(instance.path), reason=reason, detail=detail))
    return tuple(first.values()), tuple(exclusions)


def _split(images: list[ImageInstance]) -> list[list[ImageInstance]]:
    """Split a series where planes cannot be one stack: matrix, spacing, frame of reference, class or orientation."""
    groups: dict[tuple[object, ...], list[ImageInstance]] = defaultdict(list)
    for image in sorted(images, key=lambda one: one.sop_instance_uid):
        like = (image.rows, image.columns, image.spacing, image.frame_of_reference_uid or "", image.sop_class_uid)
        key = next((key for key in groups if key[:-1] == like and _parallel(groups[key][0], image)), None)
        groups[key or (*like, image.orientation)].append(image)
    return [groups[key] for key in sorted(groups, key=repr)]


def _parallel(one: ImageInstance, other: ImageInstance) -> bool:
    return bool(np.max(np.abs(np.subtract(one.orientation, other.orientation))) <= _ORIENTATION_TOLERANCE)


def _stack(key: str, images: list[ImageInstance]) -> StackImages:
    normal = normal_of(images[0].orientation)
    height = {image.sop_instance_uid: float(np.dot(image.position, normal)) for image in images}
    ordered = sorted(images, key=lambda image: (height[image.sop_instance_uid], image.sop_instance_uid))
    for below, above in pairwise(ordered):
        if height[above.sop_instance_uid] - height[below.sop_instance_uid] < SAME_POSITION_MM:
            detail = f"{below.path.name} and {above.path.name} lie at the same position, {below.position} mm"
            raise Refused(Reason.DUPLICATE_POSITIONS, f"stack {key}", detail)
    first = ordered[0]
    return StackImages(
        key=key,
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        modality=first.modality,
        frame_of_reference_uid=first.frame_of_reference_uid,
        images=tuple(ordered),
    )
