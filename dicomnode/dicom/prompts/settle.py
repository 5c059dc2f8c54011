"""Make prompts of regions: parts, margins, least sizes, planes between, names and codes; the same for every kind."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.naming import Tables, codes_for
from dicomnode.dicom.prompts.boxes import EDGE, extent, fit, union
from dicomnode.dicom.prompts.parts import between, components, left_open, owner_among, widest_gap
from dicomnode.dicom.prompts.region import Drawn, Point, Region, Regions
from dicomnode.dicom.uids import uid_of
from dicomnode.domain import (
    Annotation,
    AnnotationKind,
    Box,
    Exclusion,
    JobOptions,
    PlaneKey,
    Prompt,
    Prompts,
    Stack,
    Uid,
)
from dicomnode.errors import Reason, Refused

LINE_MARGIN_MM, LINE_MARGIN_SHARE = 2.0, 0.2  # how much wider than measurement lines their box is: the greater of both
_LABEL_LENGTH = 64  # characters of a Segment Label (LO)
_UNPRINTABLE = re.compile(r"[\\\x00-\x1f\x7f]")
_NAMED = 3  # points that are named of those that are left out
_MOST_PARTS = 20_000  # outlines of a region on one plane


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What settling needs beside the regions: the annotation, the stack, the options, names and a box's least side."""

    annotation: Annotation
    stack: Stack
    options: JobOptions
    tables: Tables
    least_side: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A region or an island of it: `whole` is what it is of, `suffix` its label's end, `step` the widest gap filled."""

    region: Region
    whole: Region
    suffix: str
    step: int


def settle(found: Regions, around: Surroundings) -> Prompts:
    """Return the prompts that the regions `found` make, and what gave none and why."""
    prompts: list[Prompt] = []
    exclusions = list(found.exclusions)
    parts: list[_Part] = []
    for region in found.regions:
        try:
            parts.extend(_parts(region, around))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    names = Counter(_label(part, part.suffix) for part in parts)
    for part in parts:
        shared = names[_label(part, part.suffix)] > 1
        label = _label(part, f"{part.suffix} #{part.region.item}" if shared else part.suffix)
        try:
            _check_selected(part, label, around.options)
            prompt, left_out = _prompt(part, label, around)
            prompts.append(prompt)
            exclusions.extend(left_out)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return Prompts(prompts=tuple(_told_apart(prompts)), exclusions=tuple(exclusions))


def _told_apart(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """Yield `prompts`, with new tracking UIDs where they share one: it is by them that results are told apart."""
    known: Counter[Uid] = Counter()
    for prompt in prompts:
        uid = prompt.tracking_uid
        known[uid] += 1
        if known[uid] == 1:
            yield prompt
            continue
        note = f"another region has the tracking UID {uid} too: this one is given its own"
        fresh = uid_of(uid, prompt.source_item, known[uid])
        yield replace(prompt, tracking_uid=fresh, notes=(*prompt.notes, note))


def _parts(region: Region, around: Surroundings) -> list[_Part]:
    """Return the islands of `region`, or it whole where they are not to be split or there is one."""
    if (most := max(map(len, region.extents.values()), default=0)) > _MOST_PARTS:
        raise Refused(Reason.LIMIT, region.what, f"{most} outlines on one plane: at most {_MOST_PARTS} are read")
    step = widest_gap(region.extents, _heights(around.stack))
    found = components(region.extents, step) if around.options.split_components else []
    if len(found) < 2:  # noqa: PLR2004
        return [_Part(region=region, whole=region, suffix="", step=step)]
    islands = _islands(region, found)
    return [
        _Part(region=_numbered(island, number), whole=region, suffix=f" part {number}", step=step)
        for number, island in enumerate(islands, start=1)
    ]


def _islands(region: Region, found: Sequence[Mapping[int, tuple[Box, ...]]]) -> list[Region]:
    """Return the islands `found` with what of `region` lies in each, and the points that lie in none as one more."""
    owner = owner_among(found)
    points: list[dict[int, list[Point]]] = [defaultdict(list) for _ in range(len(found) + 1)]
    outlines: list[dict[int, list[NDArray[np.float64]]]] = [defaultdict(list) for _ in range(len(found) + 1)]
    for index, some in region.points.items():
        for x, y in some:
            points[owner(index, Box(x0=x, y0=y, x1=x, y1=y))][index].append((x, y))
    for index, lines in region.outlines.items():
        for line in lines:
            outlines[owner(index, extent(line))][index].append(line)
    islands = [
        replace(
            region,
            extents=extents,
            points={index: tuple(some) for index, some in inside.items()},
            outlines={index: tuple(lines) for index, lines in drawn.items()},
        )
        for extents, inside, drawn in zip([*found, {}], points, outlines, strict=True)
    ]
    return islands if points[-1] else islands[:-1]


def _numbered(island: Region, number: int) -> Region:
    return replace(
        island,
        item=f"{island.item}/{number}",
        tracking_id=island.tracking_id and f"{island.tracking_id} part {number}",
        tracking_uid=uid_of(island.tracking_uid, number) if island.tracking_uid else None,
    )


def _label(part: _Part, suffix: str) -> str:
    """Return the label of `part`: its name, cut so that `suffix` has room, or its number."""
    name = _UNPRINTABLE.sub("_", part.whole.name).strip()
    room = max(_LABEL_LENGTH - len(suffix), 0)
    label = f"{name[:room].rstrip()}{suffix}" if name else f"Segment {part.region.item}"
    return label[:_LABEL_LENGTH].strip()


def _check_selected(part: _Part, label: str, options: JobOptions) -> None:
    """Refuse with NOT_SELECTED what `options` do not name: by name, number or label, of the part or of all of it."""
    whole = part.whole
    known = (whole.name, whole.item, f"{whole.name}{part.suffix}", part.region.item, label)
    if options.roi and not any(re.fullmatch(options.roi, one.strip(), re.IGNORECASE) for one in known):
        raise Refused(Reason.NOT_SELECTED, whole.what, f"its name does not match {options.roi!r}")


def _prompt(part: _Part, label: str, around: Surroundings) -> tuple[Prompt, list[Exclusion]]:
    """Return the prompt of `part`, called `label`, and what of it lies outside the images."""
    region, name = part.region, part.whole.name
    notes = list(region.notes)
    margin = _margin(region, around)
    drawn = {index: union(parts) for index, parts in region.extents.items()}
    filled = between(region.extents, _heights(around.stack), part.step) if _leaves_planes_out(region, around) else {}
    if filled:
        notes.append(f"boxes interpolated between drawn planes: {len(filled)}")
    if _leaves_planes_out(region, around) and (gaps := left_open({*drawn, *filled})):
        notes.append(f"no boxes on planes {gaps} between drawn ones")
    boxes, exclusions = _fitted({**drawn, **filled}, margin, region.what, around, notes)
    points, outside = _points_inside(region, around.stack)
    exclusions.extend(outside)
    planes = around.stack.planes
    if not boxes and not points:
        raise Refused(*_why_none(exclusions, region))
    coded = codes_for(name or label, region.codes, is_target=region.is_target, tables=around.tables)
    prompt = Prompt(
        label=label,
        boxes=boxes,
        points=points,
        category=coded.category,
        type=coded.type,
        modifiers=coded.modifiers,
        sites=coded.sites,
        colour=region.colour or coded.colour,
        tracking_id=region.tracking_id or label,
        tracking_uid=region.tracking_uid or uid_of("tracking", around.annotation.sop_instance_uid, region.item),
        margin_mm=margin,
        source_kind=around.annotation.kind,
        source_uid=around.annotation.sop_instance_uid,
        source_item=region.item,
        outlines={planes[index].key: lines for index, lines in region.outlines.items()},
        notes=tuple(notes),
        solid=region.solid,
    )
    return prompt, exclusions


def _heights(stack: Stack) -> NDArray[np.float64]:
    """Return the planes' heights in mm, (plane,) float64, their numbers where they lie nowhere."""
    heights = stack.heights()
    return heights if (np.diff(heights) > 0).all() else np.arange(len(heights), dtype=np.float64)


def _points_inside(region: Region, stack: Stack) -> tuple[dict[PlaneKey, tuple[Point, ...]], list[Exclusion]]:
    """Return the points of `region` that lie on their planes, and those that do not."""
    found: dict[PlaneKey, tuple[Point, ...]] = {}
    exclusions: list[Exclusion] = []
    _, rows, columns = stack.shape
    for index, points in region.points.items():
        inside = tuple((x, y) for x, y in points if EDGE <= x <= columns + EDGE and EDGE <= y <= rows + EDGE)
        if inside:
            found[stack.planes[index].key] = inside
        if outside := [f"({x:.1f}, {y:.1f})" for x, y in points if (x, y) not in inside]:
            detail = f"points {', '.join(outside[:_NAMED])} of an image of {columns} x {rows} pixels"
            refused = Refused(Reason.BOX_OUTSIDE, f"{region.what}, plane {index}", detail)
            exclusions.append(Exclusion.of(refused))
    return found, exclusions


def _leaves_planes_out(region: Region, around: Surroundings) -> bool:
    """Return whether planes may have been left out that are meant: a mask says of each plane what is meant there."""
    said = region.settled or around.annotation.kind is AnnotationKind.SEG
    return around.options.interpolate and not said


def _margin(region: Region, around: Surroundings) -> float:
    """Return the margin in mm: what is asked for, and for measurement lines no less than they need.

    None is added to boxes that are settled.
    """
    if region.settled:
        return 0.0
    asked = around.options.margin_mm
    if region.drawn is not Drawn.LINE:
        return asked
    longest = 0.0
    for index, parts in region.extents.items():
        whole, spacing = union(parts), around.stack.planes[index].spacing
        longest = max(longest, (whole.x1 - whole.x0) * spacing[1], (whole.y1 - whole.y0) * spacing[0])
    return max(asked, LINE_MARGIN_MM, LINE_MARGIN_SHARE * longest)


def _fitted(
    drawn: Mapping[int, Box], margin: float, what: str, around: Surroundings, notes: list[str]
) -> tuple[dict[PlaneKey, Box], list[Exclusion]]:
    """Return the boxes with margin, clipped and of the least size; what was adjusted goes to `notes`."""
    boxes: dict[PlaneKey, Box] = {}
    exclusions: list[Exclusion] = []
    for index in sorted(drawn):
        plane = around.stack.planes[index]
        try:
            boxes[plane.key], adjusted = fit(
                drawn[index], plane, margin, least_side=around.least_side, what=f"{what}, plane {index}"
            )
            notes.extend(f"plane {index}: {note}" for note in adjusted)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return boxes, exclusions


def _why_none(exclusions: Sequence[Exclusion], region: Region) -> tuple[Reason, str, str]:
    if exclusions:
        return exclusions[0].reason, region.what, exclusions[0].detail
    return Reason.NO_BOX, region.what, "nothing of it is drawn on a plane of the stack"
