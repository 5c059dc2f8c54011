"""What arrives: images, annotations, and the stacks and pairs that their headers make."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicomnode.domain.uid import Uid
from dicomnode.errors import Reason, Refused

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]


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
class ImageInstance:
    """One received single-frame image, as its header describes it.

    `position` and `orientation` are in mm and direction cosines of the patient (LPS, PS3.3 C.7.6.2);
    `spacing` is (between rows, between columns) in mm.
    """

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    sha256: str
    path: Path
    modality: str
    rows: int
    columns: int
    position: Vector
    orientation: Orientation
    spacing: tuple[float, float]
    frame_of_reference_uid: Uid
    notes: tuple[str, ...] = ()


class AnnotationKind(StrEnum):
    """The kinds of object a prompt can be read from."""

    RTSTRUCT = "RTSTRUCT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One received annotation object, with what it refers to: the evidence for pairing it with images.

    `referenced_images` counts how often each SOP Instance UID is named by a contour.
    """

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    sha256: str
    path: Path
    kind: AnnotationKind
    referenced_images: Mapping[Uid, int]
    referenced_series: tuple[Uid, ...]
    frames_of_reference: tuple[Uid, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherInstance:
    """One received object that is neither a usable image nor an annotation; `exclusion` says why."""

    sop_instance_uid: Uid
    sop_class_uid: Uid
    series_uid: Uid
    study_uid: Uid
    sha256: str
    path: Path
    exclusion: Exclusion


Instance = ImageInstance | Annotation | OtherInstance


@dataclass(frozen=True, kw_only=True, slots=True)
class StackImages:
    """The instances that make one stack, in ascending order along the normal; what `read_stack` reads."""

    key: str
    series_uid: Uid
    study_uid: Uid
    modality: str
    frame_of_reference_uid: Uid
    images: tuple[ImageInstance, ...]


class PairingRule(StrEnum):
    """What proved that an annotation means a stack, strongest first."""

    IMAGES = "images"
    SERIES = "series"
    FRAME_OF_REFERENCE = "frame of reference"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An annotation and the stack it means, with the rule that says so and its evidence in words."""

    annotation: Annotation
    images: StackImages
    rule: PairingRule
    evidence: str
