"""Read from a header where each frame of an image lies, and what tells it from others at the same place."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pydicom import Dataset

from dicomnode.dicom.obstacles import CROSS_SECTIONAL
from dicomnode.dicom.reading import first_item, items, numbers
from dicomnode.dicom.tags import dimensions_of, frame_tags, header_tags
from dicomnode.domain import ImageFrame, Place, Tags
from dicomnode.errors import Reason, Refused

MOST_FRAMES = 100_000
_UNIT_TOLERANCE = 1e-3
_MOST_MM = 1e6  # a kilometre: no scanner is larger
_LEAST_MM = 1e-6
# the elements that state a distance of pixels where there is no place, best first (PS3.3 C.7.6.2, 10.7, C.8.14)
_SPACINGS = ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing")


class Measures(NamedTuple):
    """A plane's slice thickness in mm, and what makes the modality's values of stored ones (PS3.3 C.11.1)."""

    thickness: float | None
    slope: float
    intercept: float


def frames_of(ds: Dataset, sop_class_uid: str, what: str) -> tuple[ImageFrame, ...]:
    """Return the frames of the image `ds`, either all with a place or none.

    Refuses with NO_GEOMETRY a plane through the body that has no place, with INVALID_HEADER what is no place, and
    with LIMIT more frames than any image has.
    """
    count = _count(ds, what)
    groups = _groups(ds, count, what)
    frames = _of_groups(ds, groups, what) if groups else _of_header(ds, count, what)
    if sop_class_uid in CROSS_SECTIONAL and not frames[0].place:
        raise Refused(Reason.NO_GEOMETRY, what, _absent(ds, groups))
    return frames


def constant_tags(frames: Sequence[ImageFrame]) -> Tags:
    """Return the tags that all of `frames` share."""
    first = frames[0].tags
    return {name: value for name, value in first.items() if all(one.tags.get(name) == value for one in frames)}


def without(frame: ImageFrame, tags: Tags) -> ImageFrame:
    """Return `frame` with only those of its tags that are not among `tags`."""
    own = {name: value for name, value in frame.tags.items() if name not in tags}
    return replace(frame, tags=own)


def measures_of(ds: Dataset, frame: int | None, what: str) -> Measures:
    """Return how thick frame number `frame` of `ds` is and how its values are scaled; None is the only frame."""
    groups = items(ds, "PerFrameFunctionalGroupsSequence") if frame else None
    own = _Groups(groups[frame - 1], first_item(ds, "SharedFunctionalGroupsSequence")) if groups and frame else None
    thick = own.item("PixelMeasuresSequence") if own else ds
    scaled = own.item("PixelValueTransformationSequence") if own else ds
    if "RescaleSlope" not in scaled:
        scaled = ds
    if items(ds, "ModalityLUTSequence"):  # it stands in place of both, PS3.3 C.11.1
        scaled = Dataset()
    thickness = (numbers(thick, "SliceThickness", 1, what) or (0.0,))[0]
    return Measures(
        thickness=thickness if _LEAST_MM <= thickness <= _MOST_MM else None,
        slope=(numbers(scaled, "RescaleSlope", 1, what) or (1.0,))[0],
        intercept=(numbers(scaled, "RescaleIntercept", 1, what) or (0.0,))[0],
    )


def _count(ds: Dataset, what: str) -> int:
    count = (numbers(ds, "NumberOfFrames", 1, what) or (1.0,))[0]
    if count > MOST_FRAMES:
        raise Refused(Reason.LIMIT, what, f"NumberOfFrames is {count:.0f}: at most {MOST_FRAMES} are read")
    if count < 1 or count != int(count):
        raise Refused(Reason.INVALID_HEADER, what, f"NumberOfFrames is {count:g}")
    return int(count)


def _groups(ds: Dataset, count: int, what: str) -> list[Dataset]:
    """Return the functional groups of each frame, empty where the image has none (PS3.3 C.7.6.16)."""
    groups = list(items(ds, "PerFrameFunctionalGroupsSequence"))
    if groups and len(groups) != count:
        raise Refused(Reason.INVALID_HEADER, what, f"{count} frames, {len(groups)} functional groups")
    return groups


def _absent(ds: Dataset, groups: Sequence[Dataset]) -> str:
    if groups:
        return "its functional groups state no position, orientation or spacing for a frame"
    if ds.get("NumberOfFrames") not in (None, "", 1):
        return "it has several frames, but no functional groups that state where they lie"
    absent = [name for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing") if not ds.get(name)]
    return f"{', '.join(absent)} missing or empty"


def _of_header(ds: Dataset, count: int, what: str) -> tuple[ImageFrame, ...]:
    """Return the frames of an image without functional groups: one with a place, or several without."""
    place = _place(ds, ds, what) if count == 1 else None
    if place and (spacing := _spacing(ds, what)):
        return (ImageFrame(number=None, place=place, spacing=spacing, tags=header_tags(ds)),)
    numbered = (None,) if count == 1 else range(1, count + 1)
    return _without_place(ds, numbered, what)


def _of_groups(ds: Dataset, groups: Sequence[Dataset], what: str) -> tuple[ImageFrame, ...]:
    """Return the frames of an image with functional groups (PS3.3 C.7.6.16)."""
    shared = first_item(ds, "SharedFunctionalGroupsSequence")
    dimensions = dimensions_of(ds)
    frames = []
    for number, group in enumerate(groups, start=1):
        own, title = _Groups(group, shared), f"{what} frame {number}"
        place = _place(own.item("PlanePositionSequence"), own.item("PlaneOrientationSequence"), title)
        spacing = _spacing(own.item("PixelMeasuresSequence"), title)
        if not place or not spacing:
            return _without_place(ds, range(1, len(groups) + 1), what)
        tags = frame_tags(group, shared, dimensions)
        frames.append(ImageFrame(number=number, place=place, spacing=spacing, tags=tags))
    return tuple(frames)


def _without_place(ds: Dataset, numbered: Iterable[int | None], what: str) -> tuple[ImageFrame, ...]:
    """Return frames of which only the proportions of their pixels are known."""
    spacing = _nominal_spacing(ds, what)
    return tuple(ImageFrame(number=number, place=None, spacing=spacing) for number in numbered)


class _Groups:
    """The functional groups of a frame: its own, else those that all frames share."""

    def __init__(self, group: Dataset, shared: Dataset) -> None:
        self._holders = (group, shared)

    def item(self, keyword: str) -> Dataset:
        """Return the item of the macro `keyword`, an empty one where there is none."""
        for holder in self._holders:
            if found := items(holder, keyword):
                return found[0]
        return Dataset()


def _place(positioned: Dataset, oriented: Dataset, what: str) -> Place | None:
    position = numbers(positioned, "ImagePositionPatient", 3, what)
    orientation = numbers(oriented, "ImageOrientationPatient", 6, what)
    if position is None or orientation is None:
        return None
    if max(map(abs, position)) > _MOST_MM:
        raise Refused(
            Reason.INVALID_HEADER, what, f"ImagePositionPatient is {position}: at most {_MOST_MM:g} mm are read"
        )
    _check_orientation(orientation, what)
    (x, y, z), (a, b, c, d, e, f) = position, orientation
    return Place(position=(x, y, z), orientation=(a, b, c, d, e, f))


def _check_orientation(orientation: tuple[float, ...], what: str) -> None:
    """Refuse direction cosines that are not two unit vectors at a right angle within 1e-3 (PS3.3 C.7.6.2.1.1)."""
    row, column = orientation[:3], orientation[3:]
    lengths = [sum(value * value for value in vector) ** 0.5 for vector in (row, column)]
    product = sum(a * b for a, b in zip(row, column, strict=True))
    if max(*(abs(length - 1) for length in lengths), abs(product)) > _UNIT_TOLERANCE:
        detail = f"ImageOrientationPatient {orientation}: two unit vectors at a right angle within 0.001 are wanted"
        raise Refused(Reason.INVALID_HEADER, what, detail)


def _spacing(ds: Dataset, what: str) -> tuple[float, float] | None:
    spacing = numbers(ds, "PixelSpacing", 2, what)
    if spacing is None:
        return None
    if not _is_distance(spacing):
        detail = f"PixelSpacing is {spacing}: two numbers from {_LEAST_MM:g} to {_MOST_MM:g} are wanted"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    return spacing[0], spacing[1]


def _nominal_spacing(ds: Dataset, what: str) -> tuple[float, float]:
    """Return how far pixels lie apart in an image without a place: at least their true proportions."""
    for keyword in (*_SPACINGS, "PixelAspectRatio"):
        spacing = numbers(ds, keyword, 2, what)
        if spacing and _is_distance(spacing):
            return spacing[0], spacing[1]
    return 1.0, 1.0


def _is_distance(spacing: tuple[float, ...]) -> bool:
    return min(spacing) >= _LEAST_MM and max(spacing) <= _MOST_MM
