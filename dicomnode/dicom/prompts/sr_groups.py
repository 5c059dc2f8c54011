"""Find the regions that a structured report describes, as content items (PS3.16 TID 1410, 1411, 1501, 4006)."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sr.codedict import codes

from dicomnode.dicom.codes import MORPHOLOGICALLY_ABNORMAL
from dicomnode.dicom.prompts.region import Codes
from dicomnode.dicom.prompts.sr_tree import Concept, ContentItem, concept_of, walk
from dicomnode.dicom.reading import first_item, text
from dicomnode.domain import Code, PlaneKey, Uid, parse_uid
from dicomnode.errors import Refused

CENTER = ("111010", "DCM")
VOLUME_SURFACE = ("121231", "DCM")
_MEASUREMENT_GROUP = ("125007", "DCM")
_SINGLE_IMAGE_FINDING = ("111059", "DCM")
_RENDERING_INTENT = ("111056", "DCM")
_NOT_FOR_PRESENTATION = ("111152", "DCM")
_SEGMENT, _SEGMENT_ON_ONE_PLANE = ("121191", "DCM"), ("121214", "DCM")  # TID 1411 and 1410
_SEGMENTS = frozenset({_SEGMENT, _SEGMENT_ON_ONE_PLANE})
_SOURCE_SERIES = ("121232", "DCM")
_TRACKING_ID, _TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
_COMMENT, _FINDING = ("121106", "DCM"), ("121071", "DCM")
_FINDING_CATEGORY = ("276214006", "SCT")
_FINDING_SITE, _LATERALITY = ("363698007", "SCT"), ("272741003", "SCT")
_GRAPHICS = frozenset({"SCOORD", "SCOORD3D"})
_HANDLES = "99CS3D"  # what cornerstone calls the control points of a curve, and where a text stands
_FREE_TEXT = "CORNERSTONEFREETEXT"
_PRIVATE = re.compile(r"CORNERSTONE|CST4|99CS|99DCMJS", re.IGNORECASE)
_TOOL = re.compile(r"(cornerstone[^@:]*)@[^:]*:", re.IGNORECASE)
_ANGLE, _ANGLE_TOOLS = ("1483009", "SCT"), frozenset({"Angle", "CobbAngle"})
_LESIONS = frozenset(  # CID 7159, and the primary neoplasm as SNOMED's old code for it is mapped
    {("86049000", "SCT")}
    | {(code.value, code.scheme_designator) for code in codes.cid7159.concepts.values()}
    - {(code.value, code.scheme_designator) for code in (codes.DCM.Background, codes.SCT.Normal)}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmented:
    """A segment of another object, a SEG, by its number; `on_sources` tells that only its frames there are meant."""

    sop_instance_uid: Uid
    number: int
    on_sources: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Group:
    """One region as a report describes it: a measurement group, a finding of a CAD, or coordinates by themselves.

    `graphics` are the items with coordinates, and the images each was drawn on; `sources` the images that the others
    of the group name. `tool` is what drew it in a cornerstone viewer, such as 'ArrowAnnotate', else ''. `hidden` tells
    that it is not meant to be shown, `measures_angle` that its lines are the legs of an angle.
    """

    item: str
    name: str
    graphics: tuple[tuple[ContentItem, tuple[PlaneKey, ...]], ...]
    segments: tuple[Segmented, ...]
    sources: tuple[PlaneKey, ...]
    source_series: tuple[Uid, ...]
    codes: Codes
    tracking_id: str | None
    tracking_uid: Uid | None
    tool: str
    measures_angle: bool
    is_target: bool
    hidden: bool
    notes: tuple[str, ...]


def groups_of(ds: Dataset, what: str) -> tuple[Group, ...]:
    """Return the regions that the report `ds` describes: all that have coordinates or a segment.

    Refuses with LIMIT a report that is too large.
    """
    found = walk(ds, what)
    drawn_on = _DrawnOn(found)
    hidden = _hidden(found)
    return tuple(
        group for opener, members in _members(found) if (group := _group(opener, members, drawn_on, opener in hidden))
    )


def _members(found: Sequence[ContentItem]) -> Iterator[tuple[ContentItem, list[ContentItem]]]:
    """Yield each item that opens a group with all below it, whatever the depth, that no inner one opens."""
    owners: dict[ContentItem, ContentItem | None] = {}
    members: dict[ContentItem, list[ContentItem]] = defaultdict(list)
    for item in found:
        above = owners[item.parent] if item.parent else None
        loose = above is None and (item.value_type in _GRAPHICS or item.concept in _SEGMENTS)
        owner = item if loose or _opens(item) else above
        owners[item] = owner
        if owner:
            members[owner].append(item)
    yield from members.items()


def _opens(item: ContentItem) -> bool:
    if item.value_type == "CONTAINER":
        return item.concept == _MEASUREMENT_GROUP
    return item.value_type == "CODE" and item.concept == _SINGLE_IMAGE_FINDING


def _hidden(found: Sequence[ContentItem]) -> set[ContentItem]:
    """Return the items that are not for presentation, themselves or by what they hang on."""
    said = {
        item.parent
        for item in found
        if item.concept == _RENDERING_INTENT and concept_of(item.value) == _NOT_FOR_PRESENTATION
    }
    hidden: set[ContentItem] = set()
    for item in found:
        if item in said or item.parent in hidden:
            hidden.add(item)
    return hidden


def _group(
    opener: ContentItem,
    members: Sequence[ContentItem],
    drawn_on: "_DrawnOn",
    hidden: bool,  # noqa: FBT001
) -> Group | None:
    graphics = tuple(
        (item, tuple(drawn_on.planes(item)))
        for item in members
        if item.value_type in _GRAPHICS and item.concept[1] != _HANDLES
    )
    segments = tuple(_segments(members))
    if not graphics and not segments:
        return None
    facts = _Facts(opener, members)
    tracking_uid, notes = _tracking_uid(facts)
    tracking_id = facts.text(_TRACKING_ID)
    tool = _TOOL.sub("", tracking_id) if _TOOL.match(tracking_id) else ""
    return Group(
        item=opener.path,
        name=_name(facts, tracking_id),
        graphics=graphics,
        segments=segments,
        sources=tuple(key for item in members if _is_source(item) for key in _planes(item)),
        source_series=tuple(Uid(text(item.ds, "UID")) for item in facts.all(_SOURCE_SERIES) if text(item.ds, "UID")),
        codes=_codes(facts),
        tracking_id=tracking_id or None,
        tracking_uid=tracking_uid,
        tool=tool,
        measures_angle=tool in _ANGLE_TOOLS
        or bool({item.parent for item, _ in graphics}.intersection(facts.all(_ANGLE))),
        is_target=_opens(opener),
        hidden=hidden,
        notes=notes,
    )


class _Facts:
    """What the members of a group state, the nearest to what opened it first."""

    def __init__(self, opener: ContentItem, members: Sequence[ContentItem]) -> None:
        self.opener = opener
        self._by_concept: dict[Concept, list[ContentItem]] = defaultdict(list)
        for item in sorted(members, key=lambda one: one.depth):
            self._by_concept[item.concept].append(item)

    def all(self, concept: Concept) -> list[ContentItem]:
        """Return the items called `concept`."""
        return self._by_concept.get(concept, [])

    def nearest(self, concept: Concept) -> list[ContentItem]:
        """Return those of them that hang nearest, which are what the group says of itself."""
        found = self.all(concept)
        return [item for item in found if item.depth == found[0].depth]

    def text(self, concept: Concept) -> str:
        """Return the first text of that name that is not empty, or ''."""
        return next((value for item in self.all(concept) if (value := text(item.ds, "TextValue"))), "")

    def findings(self) -> list[Code]:
        """Return what was found: of a CAD's finding its own value."""
        found = [self.opener] if self.opener.concept == _SINGLE_IMAGE_FINDING else self.all(_FINDING)
        return [item.value for item in found if item.value]


def _name(facts: _Facts, tracking_id: str) -> str:
    """Return a person's words for it, else its finding's, else its tracking identifier without the program's name."""
    stated = [*facts.findings(), *(item.value for item in facts.all(_FINDING_SITE) if item.value)]
    free = next((code.meaning for code in stated if code.value == _FREE_TEXT), "")
    finding = next((code.meaning for code in facts.findings()), "")
    return facts.text(_COMMENT) or free or finding or _TOOL.sub("", tracking_id)


def _codes(facts: _Facts) -> Codes:
    finding = next((code for code in facts.findings() if _is_public(code)), None)
    category = next((item.value for item in facts.all(_FINDING_CATEGORY) if item.value), None)
    if category is None and concept_of(finding) in _LESIONS:
        category = MORPHOLOGICALLY_ABNORMAL
    return Codes(
        category=category,
        type=finding,
        modifiers=_values(facts, _LATERALITY),
        sites=_values(facts, _FINDING_SITE),
    )


def _values(facts: _Facts, concept: Concept) -> tuple[Code, ...]:
    found = (item.value for item in facts.nearest(concept))
    return tuple(dict.fromkeys(code for code in found if code and _is_public(code)))


def _is_public(code: Code) -> bool:
    """Return whether `code` is one that others know: not a free text that a viewer wrapped as one."""
    return code.value != _FREE_TEXT and not _PRIVATE.match(code.scheme)


def _tracking_uid(facts: _Facts) -> tuple[Uid | None, tuple[str, ...]]:
    stated = next((value for item in facts.all(_TRACKING_UID) if (value := text(item.ds, "UID"))), "")
    try:
        return (parse_uid(stated, "Tracking Unique Identifier") if stated else None), ()
    except Refused as error:
        return None, (f"{error.what}: {error.detail}",)


def _is_source(item: ContentItem) -> bool:
    return item.value_type == "IMAGE" and item.concept not in _SEGMENTS


class _DrawnOn:
    """Finds the planes that coordinates were drawn on: an image that hangs on them, or to which they point."""

    def __init__(self, found: Sequence[ContentItem]) -> None:
        self._images = {item.path: item for item in found if item.value_type == "IMAGE"}
        self._below: dict[ContentItem, list[ContentItem]] = defaultdict(list)
        for item in found:
            if item.parent and item.parent.value_type in _GRAPHICS:
                self._below[item.parent].append(item)

    def planes(self, graphic: ContentItem) -> Iterator[PlaneKey]:
        """Yield the planes that the item `graphic` was drawn on (PS3.3 C.18.6, by reference C.17.3.2.5)."""
        for child in self._below[graphic]:
            pointed = ".".join(map(str, _numbers(child.ds, "ReferencedContentItemIdentifier")))
            image = self._images.get(pointed, child)
            if _is_source(image):
                yield from _planes(image)


def _planes(image: ContentItem) -> list[PlaneKey]:
    """Return the planes that an IMAGE names: the frames stated, else all of it (PS3.3 C.18.4)."""
    named = first_item(image.ds, "ReferencedSOPSequence")
    uid = Uid(text(named, "ReferencedSOPInstanceUID"))
    frames: list[int | None] = [*_numbers(named, "ReferencedFrameNumber")]
    return [PlaneKey(uid, frame) for frame in frames or [None]] if uid else []


def _segments(members: Sequence[ContentItem]) -> Iterator[Segmented]:
    for item in members:
        named = first_item(item.ds, "ReferencedSOPSequence")
        uid = Uid(text(named, "ReferencedSOPInstanceUID"))
        if item.value_type == "IMAGE" and item.concept in _SEGMENTS and uid:
            for number in _numbers(named, "ReferencedSegmentNumber"):
                yield Segmented(sop_instance_uid=uid, number=number, on_sources=item.concept == _SEGMENT_ON_ONE_PLANE)


def _numbers(ds: Dataset, keyword: str) -> list[int]:
    """Return the whole numbers of element `keyword`; those that are none are left out."""
    return [int(part) for part in re.findall(r"[-+.\w]+", text(ds, keyword)) if part.isdecimal()]
