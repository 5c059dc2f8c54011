"""What an annotation shows on a stack, the same for every kind of annotation, before margins and names are settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Box, Code, Exclusion, PlaneKey, RegionFacts, Uid, Vector

Point = tuple[float, float]


class Drawn(StrEnum):
    """How a region was drawn, which decides its margin where none is asked for."""

    OUTLINE = "outline"  # a contour, rectangle, ellipse or mask: as wide as what it shows
    LINE = "line"  # measurement lines across what is meant: it may be wider


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """What an annotation states of a region in codes: the property's category and type, modifiers and sites."""

    category: Code | None = None
    type: Code | None = None
    modifiers: tuple[Code, ...] = ()
    sites: tuple[Code, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """One thing that an annotation shows on planes of a stack, in continuous pixel-centre coordinates.

    `what` names it in errors and `item` inside its object: a ROI Number, a segment's number, a path of content items.
    `extents` are plane index -> the extents of its parts there, `points` plane index -> single points (x, y), and
    `outlines` plane index -> what was drawn, (point, 2) float64 x, y, for pictures. `name` is '' where it has none.
    `is_target` tells that it is a lesion or tumour by the rules of its kind of object: a GTV, a measurement;
    `settled` that its extents are boxes already: their margin is in them, and no plane between them is left out;
    `solid` that they are one box for a range of planes. `across` counts the contours that run across planes.
    """

    what: str
    item: str
    name: str
    extents: Mapping[int, tuple[Box, ...]] = field(default_factory=dict)
    points: Mapping[int, tuple[Point, ...]] = field(default_factory=dict)
    outlines: Mapping[int, tuple[NDArray[np.float64], ...]] = field(default_factory=dict, compare=False, repr=False)
    drawn: Drawn = Drawn.OUTLINE
    codes: Codes = field(default_factory=Codes)
    colour: tuple[int, int, int] | None = None
    tracking_id: str | None = None
    tracking_uid: Uid | None = None
    is_target: bool = False
    settled: bool = False
    solid: bool = False
    across: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Regions:
    """The regions of one annotation on one stack, and what of it gave none and why."""

    regions: tuple[Region, ...]
    exclusions: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class References:
    """What an annotation refers to, the evidence for pairing it with images.

    `planes` count how often each image, or frame of one (None: all of it), is named by something drawn.
    `samples` are points of what is drawn in patient mm, some of many. `objects` are other annotations it needs, such
    as the SEG that an SR measures. `regions` have the evidence of each by itself. `listed` are the images of its
    series as it lists them, drawn on or not.
    """

    planes: Mapping[PlaneKey, int] = field(default_factory=dict)
    series: tuple[Uid, ...] = ()
    frames_of_reference: tuple[Uid, ...] = ()
    samples: tuple[Vector, ...] = ()
    objects: tuple[Uid, ...] = ()
    regions: tuple[RegionFacts, ...] = ()
    listed: tuple[Uid, ...] = ()
