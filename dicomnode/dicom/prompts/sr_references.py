"""Say what each region of a structured report refers to: the evidence for which images it means."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pydicom import Dataset

from dicomnode.dicom.prompts.graphics import points_in
from dicomnode.dicom.prompts.region import References
from dicomnode.dicom.prompts.sr_evidence import evidence_of, what_it_is
from dicomnode.dicom.prompts.sr_groups import Group, groups_of
from dicomnode.dicom.reading import PARSER_ERRORS, noted, text
from dicomnode.domain import PlaneKey, Reference, RegionFacts, Uid, Vector
from dicomnode.errors import Reason, Refused

_MOST_SAMPLES = 200


def references_of_sr(ds: Dataset, what: str) -> References:
    """Return which images, places and segmentations the regions of the report `ds` name.

    Refuses with NOT_A_PROMPT, saying what it is, a report that describes no region; with LIMIT one that is too large.
    """
    with parsing(what):
        groups = shown_groups(ds, what)
        if not groups:
            raise Refused(Reason.NOT_A_PROMPT, what, f"{what_it_is(ds)}: it describes no region")
        planes = Counter(key for group in groups for key in _planes_of(group))
        solid = [item for group in groups for item, _ in group.graphics if item.value_type == "SCOORD3D"]
        objects = tuple(dict.fromkeys(one.sop_instance_uid for group in groups for one in group.segments))
        if not planes and not solid and not objects:
            raise Refused(Reason.NOT_A_PROMPT, what, f"{what_it_is(ds)}: its coordinates name no image")
        regions = tuple(_facts(ds, group) for group in groups)
        return References(
            planes=dict(planes),
            series=tuple(dict.fromkeys(uid for region in regions for uid in region.series)),
            frames_of_reference=tuple(
                dict.fromkeys(one.frame_of_reference for one in regions if one.frame_of_reference)
            ),
            samples=tuple(_samples(item.ds for item in solid)),
            objects=objects,
            regions=regions,
        )


@contextmanager
def parsing(what: str) -> Iterator[None]:
    """Refuse `what` with UNREADABLE where an element of it, which is parsed when it is asked for, cannot be."""
    try:
        with noted([]):
            yield
    except PARSER_ERRORS as error:
        raise Refused(Reason.UNREADABLE, what, f"{type(error).__name__}: {error}") from error


def shown_groups(ds: Dataset, what: str) -> list[Group]:
    """Return the groups that are meant to be seen."""
    return [group for group in groups_of(ds, what) if not group.hidden]


def title_of(group: Group, what: str) -> str:
    """Return what names `group` of the report `what` in errors."""
    return f"{what} item {group.item} {group.name!r}".lstrip()


def _facts(ds: Dataset, group: Group) -> RegionFacts:
    """Return what `group` refers to; where an image that it names is in a listed series, it lies in no other."""
    named = Counter(_planes_of(group))
    solid = [item.ds for item, _ in group.graphics if item.value_type == "SCOORD3D"]
    frame = next((uid for one in solid if (uid := text(one, "ReferencedFrameOfReferenceUID"))), "")
    evidence = evidence_of(ds, {key.sop_instance_uid for key in named})
    return RegionFacts(
        item=group.item,
        what=title_of(group, ""),
        references=tuple(Reference(*one) for one in named.items()),
        series=tuple(dict.fromkeys([*group.source_series, *evidence])),
        frame_of_reference=Uid(frame) or None,
        samples=tuple(_samples(solid)),
        objects=tuple(dict.fromkeys(one.sop_instance_uid for one in group.segments)),
    )


def _planes_of(group: Group) -> tuple[PlaneKey, ...]:
    """Return the planes it was drawn on, or where none is named, those that it is said to be measured in."""
    return tuple(key for _, keys in group.graphics for key in keys) or group.sources


def _samples(drawn: Iterable[Dataset]) -> Iterator[Vector]:
    """Yield some of the points, in patient mm."""
    points = [point for ds in drawn for point in _points(ds)]
    for x, y, z in points[:: max(1, -(-len(points) // _MOST_SAMPLES))]:
        yield float(x), float(y), float(z)


def _points(ds: Dataset) -> list[list[float]]:
    try:
        found: list[list[float]] = points_in(ds, 3).tolist()
    except ValueError:  # told where it is placed
        return []
    return found
