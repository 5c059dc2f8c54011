"""What comes out of a job: which objects a destination wants, in which form, and the objects that were made."""

from dataclasses import dataclass, field
from enum import StrEnum

from dicomnode.domain.received import Exclusion
from dicomnode.domain.uid import Uid


class ObjectKind(StrEnum):
    """The kinds of object dicomnode makes; each is the Modality of its series but that of SC, which is OT."""

    SEG = "SEG"  # the masks
    SR = "SR"  # measurements of the masks, and what was made of what
    RTSTRUCT = "RTSTRUCT"  # the masks as contours, for planning systems
    SC = "SC"  # pictures of the masks, for a PACS that shows no SEG
    PR = "PR"  # outlines of the masks over the source images, likewise


class SegType(StrEnum):
    """How a SEG says which pixels are inside (PS3.3 C.8.20.2, Segmentation Type)."""

    BINARY = "BINARY"  # a frame for each segment on each plane, one bit a pixel
    LABELMAP = "LABELMAP"  # a frame a plane, its pixels the numbers of segments, which do not overlap
    FRACTIONAL = "FRACTIONAL"  # as BINARY, with probabilities


class SegSyntax(StrEnum):
    """How a SEG is encoded."""

    NATIVE = "native"  # Explicit VR Little Endian
    DEFLATED = "deflated"  # Deflated Explicit VR Little Endian: all of the data set
    RLE = "rle"  # RLE Lossless: the pixels; not of BINARY


@dataclass(frozen=True, kw_only=True, slots=True)
class SegForm:
    """The form in which a destination may take a SEG."""

    type: SegType
    syntax: SegSyntax


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputProfile:
    """What a destination wants: the kinds of object, and the forms of SEG, the most wanted first.

    Each destination takes BINARY, native, at last: it need not stand in `seg`.
    """

    name: str
    objects: tuple[ObjectKind, ...]
    seg: tuple[SegForm, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenObject:
    """One finished DICOM object: its identity and its bytes, a whole Part 10 file, not compressed.

    `alternative` is the type of the SEG that it is, or that it refers to: a destination takes objects of one of them
    only; None is of an object that goes with any.
    """

    kind: ObjectKind
    sop_instance_uid: Uid
    sop_class_uid: Uid
    content: bytes = field(repr=False)
    alternative: SegType | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenVolume:
    """The voxels of one segment as a file for researchers, compressed NIfTI-1; `segment` is its number."""

    segment: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One segment of a result as the user's table shows it.

    `volume_ml` is None where planes have no spacing; `quality` is the mean over its planes of the overlap with the
    truth that the model predicts (IoU), None where it predicts none; `parameters` are those of its mask.
    """

    number: int
    label: str
    voxels: int
    volume_ml: float | None
    planes: int
    quality: float | None = None
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one job gave; `volumes` where they were asked for."""

    objects: tuple[WrittenObject, ...]
    segments: tuple[Segment, ...]
    exclusions: tuple[Exclusion, ...]
    notes: tuple[str, ...] = ()
    volumes: tuple[WrittenVolume, ...] = ()
