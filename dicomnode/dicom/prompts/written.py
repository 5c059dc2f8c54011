"""Boxes that a user writes: which stack and planes each one means."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dicomnode.dicom.prompts.region import Codes, Point, Region, Regions
from dicomnode.domain import Box, Exclusion, ImageInstance, PlaneKey, Stack, StackImages, Uid
from dicomnode.errors import Reason, Refused

#: a plane's index in its stack, from 0, or the image, or frame of one, that it is
PlaneName = int | PlaneKey

_FORM = "TARGET@PLANE:x0,y0,x1,y1 or TARGET@PLANE-PLANE:x0,y0,x1,y1"
_BOX = re.compile(r"(?P<target>.+)@(?P<planes>[^@:]+):(?P<box>[^@:]+)", re.DOTALL)
_PLANE = re.compile(r"(?P<index>\d{1,9})|(?P<uid>\d+(\.\d+)+)(#(?P<frame>\d{1,9}))?")
_SIDES = 4  # numbers that are a box


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenPart:
    """One box, on all planes from `first` to `last`, in either order."""

    first: PlaneName
    last: PlaneName
    box: Box


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenPoint:
    """One point x, y on a plane."""

    plane: PlaneName
    point: Point


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenBox:
    """What a user wrote of one thing to segment, in continuous pixel-centre coordinates.

    `what` is the text, or says where in a file it stands, and `item` its number there. `target` is a stack's key, a
    series UID, the unique ending of one or a file; '' is the stack that has the images named. `settled` tells
    that the boxes have their margin already, and that no plane between them is left out.
    """

    what: str
    item: str
    target: str
    parts: tuple[WrittenPart, ...]
    points: tuple[WrittenPoint, ...] = ()
    label: str = ""
    codes: Codes = field(default_factory=Codes)
    colour: tuple[int, int, int] | None = None
    tracking_id: str | None = None
    tracking_uid: Uid | None = None
    settled: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """The boxes by the key of the stack that they mean, and those that mean none and why."""

    boxes: Mapping[str, tuple[WrittenBox, ...]]
    exclusions: tuple[Exclusion, ...]


def parse_box(text: str, item: str = "1") -> WrittenBox:
    """Return the box written as `text`, TARGET@PLANE:x0,y0,x1,y1 or TARGET@P0-P1:x0,y0,x1,y1; `item` is its number.

    A PLANE is an index from 0 or a SOP Instance UID, with #frame in an image of several. Refuses with NO_BOX what is
    not of this form.
    """
    found = _BOX.fullmatch(text.strip())
    if not found:
        raise Refused(Reason.NO_BOX, text, f"a box is written {_FORM}")
    try:
        sides = [float(side) for side in found["box"].split(",")]
    except ValueError as error:
        raise Refused(Reason.NO_BOX, text, f"{found['box']!r} are not four numbers x0,y0,x1,y1") from error
    if len(sides) != _SIDES:
        raise Refused(Reason.NO_BOX, text, f"{found['box']!r} are {len(sides)} numbers: x0,y0,x1,y1 are wanted")
    ends = [plane_name(name, text) for name in found["planes"].split("-")]
    if len(ends) > 2:  # noqa: PLR2004 - a range has two ends
        raise Refused(Reason.NO_BOX, text, f"{found['planes']!r} are {len(ends)} planes: one or two are wanted")
    part = WrittenPart(first=ends[0], last=ends[-1], box=Box(x0=sides[0], y0=sides[1], x1=sides[2], y1=sides[3]))
    return checked(WrittenBox(what=text, item=item, target=found["target"], parts=(part,)))


def checked(written: WrittenBox) -> WrittenBox:
    """Return `written`; refuse with NO_BOX sides of wrong order, and numbers that are not finite."""
    for part in written.parts:
        sides = (part.box.x0, part.box.y0, part.box.x1, part.box.y1)
        if not all(map(math.isfinite, sides)):
            raise Refused(Reason.NO_BOX, written.what, f"{sides}: four finite numbers x0, y0, x1, y1 are wanted")
        if part.box.x0 >= part.box.x1 or part.box.y0 >= part.box.y1:
            raise Refused(Reason.NO_BOX, written.what, f"{sides}: x0 must be less than x1, and y0 less than y1")
    for one in written.points:
        if not all(map(math.isfinite, one.point)):
            raise Refused(Reason.NO_BOX, written.what, f"{one.point}: two finite numbers x, y are wanted")
    return written


def plane_name(name: str, what: str) -> PlaneName:
    """Return the plane written as `name`: an index from 0 or a SOP Instance UID, with #frame in an image of several.

    Refuses with NO_BOX, naming `what`, a name that is neither.
    """
    found = _PLANE.fullmatch(name.strip())
    if not found:
        detail = f"{name!r} is no plane: an index from 0 or a SOP Instance UID, with #frame where it has several"
        raise Refused(Reason.NO_BOX, what, detail)
    if found["index"]:
        return int(found["index"])
    return PlaneKey(Uid(found["uid"]), int(found["frame"]) if found["frame"] else None)


def resolve(boxes: Iterable[WrittenBox], stacks: Sequence[StackImages]) -> Resolved:
    """Return which of `stacks` each of `boxes` means, its target replaced by the stack's key, and which mean none.

    Left out with NO_IMAGES is a target that is not here, AMBIGUOUS_SERIES one that means several, BOX_OUTSIDE a plane
    that the stack does not have, or that is not of the image which the target names.
    """
    found: dict[str, list[WrittenBox]] = defaultdict(list)
    exclusions: list[Exclusion] = []
    for written in boxes:
        try:
            stack, images = _meant(written, stacks)
            keys = [plane.key for plane in stack.planes]
            extents, points = _planes_of(written, keys)
            _check_images({*extents, *points}, images, keys, written)
            found[stack.key].append(replace(written, target=stack.key))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return Resolved(boxes={key: tuple(meant) for key, meant in found.items()}, exclusions=tuple(exclusions))


def regions_of_written(boxes: Iterable[WrittenBox], stack: Stack) -> Regions:
    """Return `boxes`, which mean `stack`, as regions, and those with a plane that it does not have."""
    keys = [plane.key for plane in stack.planes]
    regions: list[Region] = []
    exclusions: list[Exclusion] = []
    for written in boxes:
        try:
            extents, points = _planes_of(written, keys)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
            continue
        regions.append(
            Region(
                what=written.what,
                item=written.item,
                name=written.label,
                extents={index: tuple(there) for index, there in sorted(extents.items())},
                points={index: tuple(there) for index, there in sorted(points.items())},
                codes=written.codes,
                colour=written.colour,
                tracking_id=written.tracking_id,
                tracking_uid=written.tracking_uid,
                settled=written.settled,
                solid=len(written.parts) == 1 and len(extents) > 1,
            )
        )
    return Regions(regions=tuple(regions), exclusions=tuple(exclusions))


def _check_images(
    indices: Iterable[int], images: frozenset[Uid], keys: Sequence[PlaneKey], written: WrittenBox
) -> None:
    """Refuse with BOX_OUTSIDE planes, by their indices, that are none of the `images` which the target names."""
    if other := sorted(index for index in indices if keys[index].sop_instance_uid not in images):
        own = ", ".join(str(index) for index, key in enumerate(keys) if key.sop_instance_uid in images)
        detail = f"plane {other[0]} is another image than {written.target}, which is plane {own}"
        raise Refused(Reason.BOX_OUTSIDE, written.what, detail)


def _meant(written: WrittenBox, stacks: Sequence[StackImages]) -> tuple[StackImages, frozenset[Uid]]:
    """Return the stack that `written` means, by its target, and of several the only one with the images named.

    Beside it are its images that the target names: all, or one.
    """
    meant = _targets(written.target, stacks) if written.target else [(stack, _images_of(stack)) for stack in stacks]
    there = [stack for stack, _ in meant]
    if not there:
        detail = f"{written.target!r} is none of the {len(stacks)} stacks here, nor a series, image or file of one"
        raise Refused(Reason.NO_IMAGES, written.what, detail)
    named = {name.sop_instance_uid for name in _names(written) if isinstance(name, PlaneKey)}
    holding = [stack for stack in there if named <= {image.sop_instance_uid for image in stack.images}]
    if not holding:
        detail = f"no stack that it may mean has the images {', '.join(sorted(named))}"
        raise Refused(Reason.NO_IMAGES, written.what, detail)
    if len(holding) > 1:
        keys = ", ".join(stack.key for stack in holding)
        raise Refused(Reason.AMBIGUOUS_SERIES, written.what, f"it may mean {len(holding)} stacks alike: {keys}")
    return next((stack, images) for stack, images in meant if stack is holding[0])


def _names(written: WrittenBox) -> list[PlaneName]:
    ends = [name for part in written.parts for name in (part.first, part.last)]
    return [*ends, *(one.plane for one in written.points)]


def _images_of(stack: StackImages, which: Callable[[ImageInstance], bool] | None = None) -> frozenset[Uid]:
    return frozenset(image.sop_instance_uid for image in stack.images if which is None or which(image))


def _targets(target: str, stacks: Sequence[StackImages]) -> list[tuple[StackImages, frozenset[Uid]]]:
    """Return the stacks that `target` may mean, and which of their images: the first way that finds any decides."""
    path, ending, none = Path(target).absolute(), target.lstrip("."), frozenset[Uid]()
    ways: tuple[Callable[[StackImages], frozenset[Uid]], ...] = (
        lambda stack: _images_of(stack) if stack.key == target else none,
        lambda stack: _images_of(stack) if stack.series_uid == target else none,
        lambda stack: _images_of(stack, lambda image: image.path.absolute() == path),
        lambda stack: _images_of(stack, lambda image: image.sop_instance_uid == target),
        lambda stack: _images_of(stack) if stack.key.endswith(ending) or stack.series_uid.endswith(ending) else none,
        lambda stack: _images_of(stack, lambda image: image.sop_instance_uid.endswith(ending)),
    )
    found = ([(stack, images) for stack in stacks if (images := way(stack))] for way in ways)
    return next((some for some in found if some), [])


def _planes_of(written: WrittenBox, keys: Sequence[PlaneKey]) -> tuple[dict[int, list[Box]], dict[int, list[Point]]]:
    """Return the boxes and the points by the index of their plane among `keys`, the planes of a stack."""
    extents: dict[int, list[Box]] = defaultdict(list)
    points: dict[int, list[Point]] = defaultdict(list)
    for part in written.parts:
        low, high = sorted(_index(name, keys, written.what) for name in (part.first, part.last))
        for index in range(low, high + 1):
            extents[index].append(part.box)
    for one in written.points:
        points[_index(one.plane, keys, written.what)].append(one.point)
    return extents, points


def _index(name: PlaneName, keys: Sequence[PlaneKey], what: str) -> int:
    if isinstance(name, int):
        if not 0 <= name < len(keys):
            raise Refused(Reason.BOX_OUTSIDE, what, f"plane {name} of a stack with planes 0 to {len(keys) - 1}")
        return name
    uid, frame = name
    found = [index for index, key in enumerate(keys) if key.sop_instance_uid == uid]
    if frame is not None:
        found = [index for index in found if (keys[index].frame or 1) == frame]
    if len(found) > 1:
        raise Refused(Reason.AMBIGUOUS_SERIES, what, f"image {uid} is {len(found)} planes: the frame must be named")
    if not found:
        title = f"image {uid}" if frame is None else f"frame {frame} of image {uid}"
        raise Refused(Reason.BOX_OUTSIDE, what, f"{title} is no plane of the stack")
    return found[0]
