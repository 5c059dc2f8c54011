"""What to segment, and with what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain.output import ObjectKind, SegType
from dicomnode.domain.received import Annotation, AnnotationKind, Exclusion, PlaneKey, StackImages
from dicomnode.domain.uid import Uid

FOLLOW = -1  #: instead of a number of planes beyond the drawn ones: as many as the object is found on


class Strategy(StrEnum):
    """How the boxes of a prompt become masks."""

    AUTO = "auto"  # what is best for the model where one box stands for a range of planes, else per-plane
    PER_PLANE = "per-plane"  # each prompted plane has its own box
    PROPAGATE = "propagate"  # from the middle plane outwards: what is found on a plane gives the box of the next
    STATIC = "static"  # the box round all boxes, on every plane from the first to the last
    TRIPLANAR_VOTE = "triplanar-vote"  # as static, and on sections through rows and columns: two of three decide
    THREE_VIEW = "three-view"  # the ellipsoid in the 3-D box gives each section its box; what they find is summed


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What is asked of some prompts only, by what they are drawn on and called; an empty tuple or None means any.

    `modality` and `body_part` are of the stack, in capitals; `roi` is a regular expression on the prompt's whole label
    or number. Of `window`, `strategy` and `propagate`, None asks for nothing; a window is of a whole stack, so that a
    rule with `roi` has none.
    """

    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    roi: str | None = None
    window: str | None = None
    strategy: Strategy | None = None
    propagate: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """What a site or user asks of a job, all of which changes the result.

    `roi` is a regular expression on the names and numbers of regions; `margin_mm` widens each box on every side;
    `split_components` makes a segment of each island of a region; `interpolate` fills planes between drawn ones;
    `roi_types` are RT ROI Interpreted Types that are prompts although they are no organ or target; `length_as_box`
    takes a length for the side of a square; `swap_spacing` reads image coordinates as some viewers write them where
    pixels are not square; `labels` are a site's files of names, and `names_digest` the sha256 of all tables, ''
    for any; `device_serial_number` is the one that results bear; `objects` are the kinds of object to make, and
    `seg_types` the types of segmentation, each as far as the masks allow, and BINARY where they allow none.

    `strategy` says how boxes become masks; `propagate` on how many planes beyond those with a box of their own an
    object is followed, FOLLOW as far as it is found; `window` is which values a model sees: auto, a preset or
    LEVEL/WIDTH; for each of these, the first of `rules` that fits and asks for it comes first. `reference` repeats the
    model's reference implementation where it differs.
    """

    roi: str | None = None
    margin_mm: float = 0.0
    split_components: bool = False
    interpolate: bool = True
    roi_types: tuple[str, ...] = ()
    length_as_box: bool = False
    swap_spacing: bool = False
    labels: tuple[str, ...] = ()
    names_digest: str = ""
    device_serial_number: str = "not assigned"
    objects: tuple[ObjectKind, ...] = (ObjectKind.SEG,)
    seg_types: tuple[SegType, ...] = (SegType.BINARY,)
    strategy: Strategy = Strategy.AUTO
    propagate: int = 0
    window: str = "auto"
    reference: bool = False
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle in continuous pixel-centre coordinates: (0, 0) is the first pixel's centre.

    Pixel k spans [k - 1/2, k + 1/2]; the box of pixels k0..k1 is [k0 - 1/2, k1 + 1/2]. x counts columns, y rows.
    """

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """A coded concept (PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What to segment: one object's boxes or points on named planes of a stack, and what the result is called.

    `points` are (x, y) in pixel-centre coordinates; `margin_mm` is how much was added to the boxes on every side;
    `modifiers` and `sites` are codes that say which one of a kind it is (left, right), and where it lies.
    `source_item` names the item inside the annotation (an RTSTRUCT's ROI Number); `notes` say what was adjusted;
    `outlines` are what a person drew, for pictures: (point, 2) float64 x, y in pixel-centre coordinates; `solid` tells
    that the boxes are one, drawn once for a range of planes.
    """

    label: str
    boxes: Mapping[PlaneKey, Box]
    category: Code
    type: Code
    colour: tuple[int, int, int] | None
    tracking_id: str
    tracking_uid: Uid
    margin_mm: float
    source_kind: AnnotationKind
    source_uid: Uid
    source_item: str
    points: Mapping[PlaneKey, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    modifiers: tuple[Code, ...] = ()
    sites: tuple[Code, ...] = ()
    outlines: Mapping[PlaneKey, tuple[NDArray[np.float64], ...]] = field(
        default_factory=dict, compare=False, repr=False
    )
    notes: tuple[str, ...] = ()
    solid: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """The prompts of one annotation on one stack, and what of it did not become one."""

    prompts: tuple[Prompt, ...]
    exclusions: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelIdentity:
    """Which algorithm made a mask, for the SEG's algorithm identification (PS3.3 10.16).

    `source` is the weights' sha256 in hex digits, or a method without weights in words: 64 characters at most.
    `parameters` are pairs of name and value.
    """

    name: str
    version: str
    family: Code
    source: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mask:
    """The voxels of one prompt: plane index in the stack -> (row, column) bool.

    `probabilities` are how probable it is that a pixel is inside, (row, column) uint8, 0..255, 128 or more exactly
    where it is; on the planes of the mask, where a job asks for them.
    `quality` is plane index -> the overlap with the truth that the model predicts (IoU), where it does; `parameters`
    are pairs of name and value that say how this mask was made, beside the model's own; `notes` what was odd in that.
    """

    prompt: Prompt
    planes: Mapping[int, NDArray[np.bool_]]
    quality: Mapping[int, float] = field(default_factory=dict)
    parameters: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    probabilities: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def voxels(self) -> int:
        """Return how many voxels are inside."""
        return sum(int(np.count_nonzero(plane)) for plane in self.planes.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One stack and one annotation to segment on it, and how; `key` is the identity of all of it.

    `companions` are annotations that the one needs to be understood, such as the SEG that an SR measures; `elsewhere`
    are the items of its regions that are not to be segmented here: they mean other stacks or none.
    """

    key: str
    images: StackImages
    annotation: Annotation
    options: JobOptions
    companions: tuple[Annotation, ...] = ()
    elsewhere: tuple[str, ...] = ()
