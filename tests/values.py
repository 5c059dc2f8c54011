"""Small values of the domain, readable at the call, without files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.codes import TISSUE
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import (
    Annotation,
    AnnotationKind,
    Box,
    ImageFrame,
    ImageInstance,
    JobOptions,
    Mask,
    ObjectKind,
    Orientation,
    Place,
    Plane,
    PlaneKey,
    PlaneSource,
    Prompt,
    Reference,
    SegType,
    Stack,
    StackImages,
    Uid,
    Vector,
    WrittenObject,
    normal_of,
)
from dicomnode.geometry import facts_of
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.runtime import Runtime
from dicomnode.inference.segmenter import segment

AXIAL: Orientation = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FRAME_OF_REFERENCE = Uid("1.9")
STUDY, SERIES = Uid("1.1"), Uid("1.2")


def frame(position: Vector | None = (0.0, 0.0, 0.0), **changes: object) -> ImageFrame:
    """Return a frame at `position`, or at none; `changes` are the frame's other fields, and its orientation."""
    orientation: Orientation = changes.pop("orientation", AXIAL)  # type: ignore[assignment]
    place = Place(position=position, orientation=orientation) if position else None
    return replace(ImageFrame(number=None, place=place, spacing=(1.0, 1.0)), **changes)  # type: ignore[arg-type]


def image(uid: str, position: Vector | None = (0.0, 0.0, 0.0), **changes: object) -> ImageInstance:
    """Return one CT image with the SOP Instance UID `uid` at `position`; `changes` are fields of it or its frame."""
    of_frame = {name: changes.pop(name) for name in ("orientation", "spacing") if name in changes}
    made = ImageInstance(
        sop_instance_uid=Uid(uid),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.2"),
        series_uid=SERIES,
        study_uid=STUDY,
        digest=uid,
        path=Path(f"{uid}.dcm"),
        modality="CT",
        rows=8,
        columns=10,
        frame_of_reference_uid=FRAME_OF_REFERENCE if position else None,
        frames=(frame(position, **of_frame),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def images_at(*heights: float, prefix: str = "1.3", **changes: object) -> list[ImageInstance]:
    """Return axial images at `heights` in mm."""
    return [
        image(f"{prefix}.{number}", (0.0, 0.0, height), **changes) for number, height in enumerate(heights, start=1)
    ]


def stack_images(key: str, *images: ImageInstance) -> StackImages:
    """Return `images`, ascending, as the stack `key`."""
    first = images[0]
    return StackImages(
        key=key,
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        modality=first.modality,
        frame_of_reference_uid=first.frame_of_reference_uid,
        planes=tuple(PlaneSource(one, frame) for one in images for frame in one.frames),
    )


def annotation(
    *,
    images: Mapping[str, int] | None = None,
    planes: Mapping[PlaneKey, int] | None = None,
    series: Sequence[str] = (),
    frames: Sequence[str] = (),
    **changes: object,
) -> Annotation:
    """Return a structure set that names `images` (UID -> by how many contours), `series` and frames of reference.

    `planes` are named like images, but with frames; `changes` are its other fields.
    """
    named = {PlaneKey(Uid(uid)): count for uid, count in (images or {}).items()} | dict(planes or {})
    made = Annotation(
        sop_instance_uid=Uid("1.5"),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.481.3"),
        series_uid=Uid("1.5.1"),
        study_uid=STUDY,
        digest="1.5",
        path=Path("rtstruct.dcm"),
        kind=AnnotationKind.RTSTRUCT,
        references=tuple(Reference(key, count) for key, count in named.items()),
        referenced_series=tuple(Uid(uid) for uid in series),
        frames_of_reference=tuple(Uid(uid) for uid in frames),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def plane(number: int = 1, position: Vector = (0.0, 0.0, 0.0), **changes: object) -> Plane:
    """Return a plane of 8 rows and 10 columns of 1 mm, stored values 0; `changes` are its other fields."""
    made = Plane(
        key=PlaneKey(Uid(f"1.3.{number}")),
        source=Path(f"{number}.dcm"),
        position=position,
        orientation=AXIAL,
        spacing=(1.0, 1.0),
        thickness=2.5,
        stored=np.zeros((8, 10), dtype=np.int16),
        slope=1.0,
        intercept=0.0,
        inverted=False,
        padding=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def stack_at(
    *heights: float,
    orientation: Orientation = AXIAL,
    lost: Sequence[float] = (),
    thicknesses: Sequence[float] | None = None,
    **changes: object,
) -> Stack:
    """Return a stack of planes at `heights` in mm along its normal; `changes` are fields of every plane."""
    normal = normal_of(orientation)
    places = [_vector(normal * height) for height in heights]
    planes = [plane(number, place, orientation=orientation, **changes) for number, place in enumerate(places, start=1)]
    if thicknesses:
        planes = [replace(one, thickness=thickness) for one, thickness in zip(planes, thicknesses, strict=True)]
    stack = Stack(
        key=f"{SERIES}/1",
        series_uid=SERIES,
        study_uid=STUDY,
        modality="CT",
        frame_of_reference_uid=FRAME_OF_REFERENCE,
        planes=tuple(planes),
        facts=frozenset(),
        lost=tuple(_vector(normal * height) for height in lost),
    )
    return replace(stack, facts=facts_of(np.array(places), normal, stack.thicknesses()))


def stack_of(*stored: NDArray[Any], modality: str = "CT", body_part: str = "", **changes: object) -> Stack:
    """Return a stack of planes of these pixels as stored, 1 mm apart; `changes` are other fields of every plane."""
    stack = stack_at(*range(len(stored)))
    planes = tuple(
        replace(one, stored=pixels, **changes)  # type: ignore[arg-type]
        for one, pixels in zip(stack.planes, stored, strict=True)
    )
    return replace(stack, modality=modality, body_part=body_part, planes=planes)


def stack_showing(volume: NDArray[np.integer[Any]], *, step: float = 1.0, lost: Sequence[int] = ()) -> Stack:
    """Return a stack whose planes show `volume`, (plane, row, column); those numbered in `lost` are left out."""
    kept = [number for number in range(len(volume)) if number not in lost]
    made = stack_at(*(number * step for number in kept))
    planes = [replace(one, stored=volume[number]) for number, one in zip(kept, made.planes, strict=True)]
    return replace(made, planes=tuple(planes))


def solid(stack: Stack, first: int, last: int, box: Box, label: str = "organ") -> Prompt:
    """Return a prompt of one box on the planes `first` to `last` of `stack`."""
    boxes = {plane.key: box for plane in stack.planes[first : last + 1]}
    return replace(prompt(boxes, label), solid=True)


def prompt(boxes: Mapping[PlaneKey, Box], label: str = "organ") -> Prompt:
    """Return a prompt of `boxes`."""
    return Prompt(
        label=label,
        boxes=boxes,
        category=TISSUE,
        type=TISSUE,
        colour=None,
        tracking_id=label,
        tracking_uid=uid_of("tracking", label),
        source_kind=AnnotationKind.RTSTRUCT,
        source_uid=Uid("1.5"),
        source_item="1",
        margin_mm=0.0,
    )


def mask(planes: Mapping[int, NDArray[np.bool_]], label: str = "organ") -> Mask:
    """Return the mask with these planes."""
    return Mask(prompt=prompt({}, label), planes=planes)


def masks_of(
    stack: Stack,
    prompts: Sequence[Prompt],
    runtime: Runtime,
    options: JobOptions | None = None,
    *,
    cache: FeatureCache | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Mask, ...]:
    """Return what `runtime` makes of `prompts`, by the default options and with nothing kept from before."""
    return segment(
        stack,
        prompts,
        runtime,
        options or JobOptions(),
        cache=FeatureCache() if cache is None else cache,
        progress=progress,
    )


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def made(kind: ObjectKind, number: int, alternative: SegType | None = None) -> WrittenObject:
    """Return an object of `kind` that is nothing but its identity, 2.25.`number`."""
    return WrittenObject(
        kind=kind,
        sop_instance_uid=Uid(f"2.25.{number}"),
        sop_class_uid=Uid("1.2.3"),
        content=f"object {number}".encode(),
        alternative=alternative,
    )
