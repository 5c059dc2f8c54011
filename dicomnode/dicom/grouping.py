"""Group images into stacks by their headers alone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dicomnode.dicom.splitting import split
from dicomnode.domain import (
    Exclusion,
    ImageInstance,
    Instance,
    Orientation,
    Place,
    PlaneSource,
    StackImages,
    Uid,
    normal_of,
)
from dicomnode.errors import Reason, Refused

_ORIENTATION_TOLERANCE = 1e-3
_SPACING_TOLERANCE_MM = 1e-4
_TOLERANCES = np.array([_ORIENTATION_TOLERANCE] * 6 + [_SPACING_TOLERANCE_MM] * 2)
_MOST_BUNDLES = 1_000  # of a series

Split = tuple[tuple[str, str], ...]
Group = tuple[Split, list[PlaneSource]]


def group(images: Iterable[ImageInstance]) -> tuple[tuple[StackImages, ...], tuple[Exclusion, ...]]:
    """Return the stacks that `images` make, each SOP Instance UID being there once, and what makes none and why.

    Planes of a stack share SOP class, matrix, spacing, frame of reference and orientation, and lie at different
    positions. An image without a place is a stack of its own.
    """
    series: dict[Uid, list[ImageInstance]] = defaultdict(list)
    for image in images:
        series[image.series_uid].append(image)
    stacks: list[StackImages] = []
    exclusions: list[Exclusion] = []
    for uid in sorted(series):
        try:
            found, collisions = _groups(series[uid])
        except Refused as error:
            exclusions.append(Exclusion.of(error))
            continue
        stacks.extend(_stack(f"{uid}/{number}", one) for number, one in enumerate(found, start=1))
        exclusions.extend(
            Exclusion(what=f"series {uid}", reason=Reason.DUPLICATE_POSITIONS, detail=one) for one in collisions
        )
    return tuple(stacks), tuple(exclusions)


def without_repeats(instances: Iterable[Instance]) -> tuple[tuple[Instance, ...], tuple[Exclusion, ...]]:
    """Keep the first of each SOP Instance UID; the same bytes again are a repeat, other bytes a conflict."""
    first: dict[Uid, Instance] = {}
    exclusions = []
    for instance in instances:
        known = first.setdefault(instance.sop_instance_uid, instance)
        if known is instance:
            continue
        same = known.digest == instance.digest
        reason = Reason.DUPLICATE_INSTANCE if same else Reason.UID_CONFLICT
        detail = f"{'the same instance' if same else 'another instance with the same UID'} as {known.path}"
        exclusions.append(Exclusion(what=str(instance.path), reason=reason, detail=detail))
    return tuple(first.values()), tuple(exclusions)


def _groups(images: list[ImageInstance]) -> tuple[list[Group], list[str]]:
    """Return the planes of each stack, ordered, with what splits them from others; and what collides, in words."""
    found: list[Group] = []
    collisions: list[str] = []
    ordered = sorted(images, key=lambda one: one.sop_instance_uid)
    bundles = _bundles([PlaneSource(one, frame) for one in ordered for frame in one.frames if frame.place])
    by_bundle = _distinctions(bundles)
    for planes, distinction in zip(bundles, by_bundle, strict=True):
        normal = normal_of(_place(planes[0]).orientation)
        heights = np.array([_place(plane).position for plane in planes]) @ normal
        parts = split(planes, heights)
        if parts is None:
            collisions.append(_collision(planes, heights))
            continue
        height = {plane.key: value for plane, value in zip(planes, heights, strict=True)}
        found.extend(
            (distinction + tags, sorted(members, key=lambda plane: height[plane.key])) for tags, members in parts
        )
    found.extend(((), [PlaneSource(one, frame) for frame in one.frames]) for one in ordered if not one.frames[0].place)
    return found, collisions


def _bundles(planes: list[PlaneSource]) -> list[list[PlaneSource]]:
    """Bundle the planes that could be one stack: of one class, matrix, spacing, frame of reference and orientation."""
    bundles: dict[tuple[object, ...], list[list[PlaneSource]]] = defaultdict(list)
    firsts: dict[tuple[object, ...], np.ndarray] = defaultdict(lambda: np.empty((0, len(_TOLERANCES))))
    for plane in planes:
        image = plane.image
        like = (image.rows, image.columns, image.frame_of_reference_uid or "", image.sop_class_uid)
        directions = np.array([*_place(plane).orientation, *plane.frame.spacing])
        near = np.flatnonzero(np.all(np.abs(firsts[like] - directions) <= _TOLERANCES, axis=1))
        if near.size:
            bundles[like][near[0]].append(plane)
            continue
        bundles[like].append([plane])
        firsts[like] = np.vstack([firsts[like], directions])
        if len(firsts[like]) > _MOST_BUNDLES:
            detail = f"its planes have more than {_MOST_BUNDLES} orientations and spacings"
            raise Refused(Reason.LIMIT, f"series {image.series_uid}", detail)
    return sorted((one for alike in bundles.values() for one in alike), key=_rank)


def _rank(planes: Sequence[PlaneSource]) -> tuple[object, ...]:
    image, frame = planes[0]
    uids = image.sop_class_uid, image.frame_of_reference_uid or ""
    return *uids, image.rows, image.columns, frame.spacing, _place(planes[0]).orientation


def _distinctions(bundles: Sequence[Sequence[PlaneSource]]) -> Iterator[Split]:
    """Say in which of the things that keep planes apart each bundle differs from the others of its series."""
    stated = [_stated(planes[0]) for planes in bundles]
    differing = [name for name in (stated[0] if stated else ()) if len({one[name] for one in stated}) > 1]
    for one in stated:
        yield tuple((name, one[name]) for name in differing)


def _stated(plane: PlaneSource) -> dict[str, str]:
    image, orientation = plane.image, _place(plane).orientation
    return {
        "SOPClassUID": image.sop_class_uid,
        "FrameOfReferenceUID": image.frame_of_reference_uid or "",
        "Rows": str(image.rows),
        "Columns": str(image.columns),
        "PixelSpacing": "\\".join(f"{value:g}" for value in plane.frame.spacing),
        "ImageOrientationPatient": _directions(orientation),
    }


def _directions(orientation: Orientation) -> str:
    return "\\".join(f"{value:.4g}" for value in orientation)


def _collision(planes: Sequence[PlaneSource], heights: Sequence[float] | np.ndarray) -> str:
    order = np.argsort(heights, kind="stable")
    least = int(np.argmin(np.diff(np.asarray(heights)[order])))
    one, other = (planes[int(order[index])] for index in (least, least + 1))
    return (
        f"{_name(one)} at {_place(one).position} and {_name(other)} at {_place(other).position} mm lie at the same "
        f"height, and none of the elements that split a series tells stacks apart: {len(planes)} planes are left out"
    )


def _name(plane: PlaneSource) -> str:
    return plane.image.path.name + (f" frame {plane.frame.number}" if plane.frame.number else "")


def _place(plane: PlaneSource) -> Place:
    if plane.frame.place is None:
        raise ValueError(f"{plane.key} has no place")
    return plane.frame.place


def _stack(key: str, found: Group) -> StackImages:
    tags, planes = found
    first = planes[0].image
    return StackImages(
        key=key,
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        modality=first.modality,
        frame_of_reference_uid=first.frame_of_reference_uid,
        planes=tuple(planes),
        split=tags,
    )
