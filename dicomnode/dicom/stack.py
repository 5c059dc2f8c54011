"""Read the images of a stack: their planes, pixels and geometry."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pydicom import Dataset

from dicomnode.dicom.pixels import decode
from dicomnode.dicom.reading import numbers, read_dataset, text
from dicomnode.domain import Exclusion, ImageInstance, Plane, PlaneKey, Stack, StackImages, Vector
from dicomnode.errors import Reason, Refused
from dicomnode.geometry import facts_of


def read_stack(images: StackImages, progress: Callable[[int, int], None] | None = None) -> Stack:
    """Return the stack that `images` make, with the stored pixels of every plane; tell `progress` (done, total).

    An image that cannot be read leaves its plane out and is named in the stack's `exclusions`; when none can be
    read the stack is refused.
    """
    planes: list[Plane] = []
    exclusions: list[Exclusion] = []
    lost: list[Vector] = []
    for done, image in enumerate(images.images):
        if progress:
            progress(done, len(images.images))
        try:
            planes.append(_read_plane(image))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
            lost.append(image.position)
    if not planes:
        first = exclusions[0]
        raise Refused(
            first.reason, f"stack {images.key}", f"none of its {len(exclusions)} images can be read: {first.detail}"
        )
    stack = Stack(
        key=images.key,
        series_uid=images.series_uid,
        study_uid=images.study_uid,
        modality=images.modality,
        frame_of_reference_uid=images.frame_of_reference_uid,
        planes=tuple(planes),
        facts=frozenset(),
        exclusions=tuple(exclusions),
        lost=tuple(lost),
    )
    positions = np.array([plane.position for plane in planes])
    return replace(stack, facts=facts_of(positions, stack.normal, stack.thicknesses()))


def _read_plane(image: ImageInstance) -> Plane:
    what = str(image.path)
    ds, _ = read_dataset(image.path, what, pixels=True)
    stored = decode(ds, what)
    if stored.shape != (image.rows, image.columns):
        detail = f"its pixels are {stored.shape}, its header says {(image.rows, image.columns)}"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    return Plane(
        key=PlaneKey(image.sop_instance_uid),
        source=image.path,
        position=image.position,
        orientation=image.orientation,
        spacing=image.spacing,
        thickness=(numbers(ds, "SliceThickness", 1, what) or (None,))[0],
        stored=stored,
        slope=(numbers(ds, "RescaleSlope", 1, what) or (1.0,))[0],
        intercept=(numbers(ds, "RescaleIntercept", 1, what) or (0.0,))[0],
        inverted=text(ds, "PhotometricInterpretation") == "MONOCHROME1",
        padding=_padding(ds, what),
    )


def _padding(ds: Dataset, what: str) -> tuple[int, int] | None:
    """Return the closed range of stored values that are padding (PS3.3 C.7.5.1.1.2)."""
    value = numbers(ds, "PixelPaddingValue", 1, what)
    if value is None:
        return None
    limit = numbers(ds, "PixelPaddingRangeLimit", 1, what) or value
    ends = sorted((int(value[0]), int(limit[0])))
    return ends[0], ends[1]
