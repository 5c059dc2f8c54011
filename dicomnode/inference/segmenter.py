"""Drive a model over the prompted planes of a stack: each plane is encoded once, its boxes decoded as one batch."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Exclusion, Mask, Plane, Prompt, Segment, Stack
from dicomnode.errors import Reason
from dicomnode.geometry import slab_depths
from dicomnode.inference.runtime import Runtime


def segment(
    stack: Stack, prompts: Sequence[Prompt], runtime: Runtime, progress: Callable[[int, int], None]
) -> tuple[Mask, ...]:
    """Return a mask for each of `prompts`, on the planes its boxes name; tell `progress` (done, total) planes."""
    prompted = _boxes_by_plane(stack, prompts)
    planes: list[dict[int, NDArray[np.bool_]]] = [{} for _ in prompts]
    for done, index in enumerate(sorted(prompted), start=1):
        plane = stack.planes[index]
        numbers, boxes = zip(*prompted[index], strict=True)
        features = runtime.encode(model_view(plane), plane.spacing)
        logits = runtime.decode(features, _as_array(boxes))
        for number, logit in zip(numbers, logits, strict=True):
            planes[number][index] = logit > 0
        progress(done, len(prompted))
    return tuple(Mask(prompt=prompt, planes=found) for prompt, found in zip(prompts, planes, strict=True))


def with_boxes(prompts: Sequence[Prompt]) -> tuple[tuple[Prompt, ...], tuple[Exclusion, ...]]:
    """Return those of `prompts` that have boxes, and the others, which the models here cannot answer."""
    points = [prompt for prompt in prompts if not prompt.boxes]
    left_out = tuple(
        Exclusion(what=_name(prompt), reason=Reason.NO_BOX, detail="it has points only, and models here take boxes")
        for prompt in points
    )
    return tuple(prompt for prompt in prompts if prompt.boxes), left_out


def summarise(masks: Sequence[Mask], stack: Stack) -> tuple[Segment, ...]:
    """Return the figures of each mask; the volume is voxels x pixel area x slab depth where planes have a place."""
    depths = slab_depths(stack) if stack.frame_of_reference_uid else None
    segments = []
    for number, mask in enumerate(masks, start=1):
        filled = sum(bool(inside.any()) for inside in mask.planes.values())
        segments.append(
            Segment(
                number=number,
                label=mask.prompt.label,
                voxels=mask.voxels,
                volume_ml=None if depths is None else _volume_ml(mask, stack, depths),
                planes=filled,
            )
        )
    return tuple(segments)


def _volume_ml(mask: Mask, stack: Stack, depths: NDArray[np.float64]) -> float:
    volume = sum(
        np.count_nonzero(inside) * stack.planes[index].spacing[0] * stack.planes[index].spacing[1] * depths[index]
        for index, inside in mask.planes.items()
    )
    return float(volume) / 1000


def nothing_found(masks: Sequence[Mask]) -> tuple[Exclusion, ...]:
    """Return which of `masks` have no voxel."""
    return tuple(
        Exclusion(
            what=_name(mask.prompt),
            reason=Reason.EMPTY_RESULT,
            detail=f"the model found nothing in its boxes on {len(mask.prompt.boxes)} planes",
        )
        for mask in masks
        if not mask.voxels
    )


def _name(prompt: Prompt) -> str:
    return f"{prompt.source_uid} item {prompt.source_item} {prompt.label!r}"


def model_view(plane: Plane) -> NDArray[np.float32]:
    """Return the plane as a model looks at it: as it is shown, (row, column) or (row, column, 3) float32."""
    return plane.shown().astype(np.float32, copy=False)


def _boxes_by_plane(stack: Stack, prompts: Sequence[Prompt]) -> dict[int, list[tuple[int, Box]]]:
    index_of = {plane.key: index for index, plane in enumerate(stack.planes)}
    prompted: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        for key, box in prompt.boxes.items():
            prompted[index_of[key]].append((number, box))
    return prompted


def _as_array(boxes: Sequence[Box]) -> NDArray[np.float64]:
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64)
