"""What arrives: images, annotations, and the stacks and pairs that their headers make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from dicomnode.domain.uid import Uid
from dicomnode.errors import Reason, Refused

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]
Tags = Mapping[str, float | str]


class PlaneKey(NamedTuple):
    """Names one plane: the SOP Instance UID, and the frame number (from 1) in a multi-frame object."""

    sop_instance_uid: Uid
    frame: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """Something that was refused or set aside (`reason.refuses` tells which), and why."""

    what: str
    reason: Reason
    detail: str

    @classmethod
    def of(cls, error: Refused) -> "Exclusion":
        """Return what `error` says as a value."""
        return cls(what=error.what, reason=error.reason, detail=error.detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """What was not used and why, as part of what was found or done."""

    exclusions: tuple[Exclusion, ...] = ()

    @property
    def refused(self) -> tuple[Exclusion, ...]:
        """Return what a user would expect to be used and was not."""
        return tuple(one for one in self.exclusions if one.reason.refuses)

    @property
    def set_aside(self) -> tuple[Exclusion, ...]:
        """Return what is no image or no prompt."""
        return tuple(one for one in self.exclusions if not one.reason.refuses)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the first pixel's centre lies, mm, and the directions of rows and columns, in the patient's axes (LPS)."""

    position: Vector
    orientation: Orientation


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFrame:
    """One plane of an image as its header describes it: the only one, or one frame of several.

    `number` counts from 1 and is None in a single-frame image; `place` is None where the header names none
    (PS3.3 C.7.6.2); `spacing` is (between rows, between columns), in mm where there is a place, else as far as known;
    `tags` are what may tell it from other planes at the same place.
    """

    number: int | None
    place: Place | None
    spacing: tuple[float, float]
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInstance:
    """One received image, as its header describes it: one frame or several; `tags` are what its frames share."""

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    digest: str
    path: Path
    modality: str
    rows: int
    columns: int
    frame_of_reference_uid: Uid | None
    frames: tuple[ImageFrame, ...]
    tags: Tags = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class AnnotationKind(StrEnum):
    """The kinds of object a prompt can be read from; BOXES are those written on the command line or in a file."""

    RTSTRUCT = "RTSTRUCT"
    SR = "SR"
    SEG = "SEG"
    PR = "PR"
    BOXES = "BOXES"


class Reference(NamedTuple):
    """How often an annotation names a plane: frame None is all of an image."""

    plane: PlaneKey
    times: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionFacts:
    """What one region of an annotation refers to: the evidence for which stack it means.

    `item` is what it is inside the annotation, '' for all of it, and `what` names it. `references` count how often each
    image is named by something drawn, `series` are the listed ones that it may lie in, `samples` are points of it in
    patient mm, some of many; `objects` are annotations that have its mask.
    """

    item: str = ""
    what: str = ""
    references: tuple[Reference, ...] = ()
    series: tuple[Uid, ...] = ()
    frame_of_reference: Uid | None = None
    samples: tuple[Vector, ...] = ()
    objects: tuple[Uid, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One received annotation object, with what it refers to: the evidence for pairing it with images.

    `references` count how often each image, or frame of one, is named by something drawn, or where nothing names one,
    those that are listed once each; `samples` are points of what is drawn in patient mm, some of many. `objects` are
    annotations that it needs, such as the SEG that an SR measures. `regions` have the same for each region; without
    them it is one. `listed` are the images that it lists, drawn on or not. `own` tells that dicomnode made it.
    """

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    digest: str
    path: Path
    kind: AnnotationKind
    references: tuple[Reference, ...]
    referenced_series: tuple[Uid, ...]
    frames_of_reference: tuple[Uid, ...]
    samples: tuple[Vector, ...] = ()
    objects: tuple[Uid, ...] = ()
    regions: tuple[RegionFacts, ...] = ()
    listed: tuple[Uid, ...] = ()
    own: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherInstance:
    """One received object that is neither a usable image nor an annotation; `exclusion` says why."""

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    digest: str
    path: Path
    exclusion: Exclusion


Instance = ImageInstance | Annotation | OtherInstance


@dataclass(frozen=True, kw_only=True, slots=True)
class Undescribed:
    """One received object of which only its identity was read yet; no annotation, and not made by dicomnode."""

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    digest: str
    modality: str


class PlaneSource(NamedTuple):
    """Where one plane of a stack comes from."""

    image: ImageInstance
    frame: ImageFrame

    @property
    def key(self) -> PlaneKey:
        """Return the name of the plane."""
        return PlaneKey(self.image.sop_instance_uid, self.frame.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class StackImages:
    """The planes that make one stack, in ascending order along the normal; what `read_stack` reads.

    Without a frame of reference the planes have no place: they are one image, or the frames of one in their order.
    `split` names the elements and values that tell this stack from the others of its series.
    """

    key: str
    series_uid: Uid
    study_uid: Uid
    modality: str
    frame_of_reference_uid: Uid | None
    planes: tuple[PlaneSource, ...]
    split: tuple[tuple[str, str], ...] = ()

    @property
    def images(self) -> tuple[ImageInstance, ...]:
        """Return the instances that the planes come from, each once."""
        return tuple({plane.image.sop_instance_uid: plane.image for plane in self.planes}.values())

    @property
    def is_cine(self) -> bool:
        """Return whether these are several frames without a place, to be segmented one by one."""
        return self.frame_of_reference_uid is None and len(self.planes) > 1


class PairingRule(StrEnum):
    """What proved that an annotation means a stack, strongest first."""

    IMAGES = "images"
    SERIES = "series"
    FRAME_OF_REFERENCE = "frame of reference"
    GEOMETRY = "geometry"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An annotation and a stack it means, with the rule that says so and its evidence in words.

    `companions` are annotations that it needs to be understood; `elsewhere` are its regions, by their items, that mean
    other stacks or none.
    """

    annotation: Annotation
    images: StackImages
    rule: PairingRule
    evidence: str
    companions: tuple[Annotation, ...] = ()
    elsewhere: tuple[str, ...] = ()
