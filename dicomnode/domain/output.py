"""What comes out of a job: which objects a destination wants, in which form, and the objects that were made."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

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

    @property
    def uid(self) -> Uid:
        """Return the Transfer Syntax UID (PS3.6 table A-1)."""
        match self:
            case SegSyntax.NATIVE:
                return Uid("1.2.840.10008.1.2.1")
            case SegSyntax.DEFLATED:
                return Uid("1.2.840.10008.1.2.1.99")
            case SegSyntax.RLE:
                return Uid("1.2.840.10008.1.2.5")


@dataclass(frozen=True, kw_only=True, slots=True)
class SegForm:
    """The form in which a destination may take a SEG."""

    type: SegType
    syntax: SegSyntax


class Made(Protocol):
    """An object that a job made: its kind, and the type of SEG that it is or refers to, None where it goes with any."""

    @property
    def kind(self) -> ObjectKind:
        """Return the kind."""
        ...

    @property
    def alternative(self) -> SegType | None:
        """Return the type of SEG."""
        ...


M = TypeVar("M", bound=Made)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputProfile:
    """What a destination wants: the kinds of object, and the forms of SEG, the most wanted first.

    Each destination takes BINARY, native, at last: it need not stand in `seg`.
    """

    name: str
    objects: tuple[ObjectKind, ...]
    seg: tuple[SegForm, ...]

    @property
    def types(self) -> tuple[SegType, ...]:
        """Return the types of SEG in the order in which they are wanted."""
        return tuple(dict.fromkeys((*(form.type for form in self.seg), SegType.BINARY)))

    @property
    def first_types(self) -> tuple[SegType, ...]:
        """Return the types to make so that the first that the masks allow is among what is made.

        Only LABELMAP may not be allowed; BINARY is made where no other is.
        """
        sure = next(index for index, one in enumerate(self.types) if one is not SegType.LABELMAP)
        first = self.types[: sure + 1]
        return first if len(first) == 1 else tuple(one for one in first if one is not SegType.BINARY)

    def syntaxes(self, made: Made) -> tuple[SegSyntax, ...]:
        """Return the syntaxes that `made` may have, the most wanted first; none but a SEG has another than NATIVE."""
        named = (form.syntax for form in self.seg if form.type is made.alternative and made.kind is ObjectKind.SEG)
        return tuple(dict.fromkeys((*named, SegSyntax.NATIVE)))

    def chosen(self, made: Iterable[M], *, after: SegType | None = None) -> tuple[M, ...]:
        """Return those of `made` that the destination gets: all that it wants, of the first type that was made.

        `after` a type that it did not take they are those of the next one alone, none where there is no next.
        """
        wanted = [one for one in made if one.kind in self.objects]
        segs = {one.alternative for one in wanted if one.kind is ObjectKind.SEG}
        there = segs or {one.alternative for one in wanted}  # a report on masks that are all empty has no SEG
        order = self.types[self.types.index(after) + 1 :] if after in self.types else self.types
        first = next((one for one in order if one in there), None)
        if after:
            return tuple(one for one in wanted if first and one.alternative is first)
        return tuple(one for one in wanted if one.alternative in {None, first})


SEG_ONLY = OutputProfile(
    name="seg", objects=(ObjectKind.SEG,), seg=(SegForm(type=SegType.BINARY, syntax=SegSyntax.NATIVE),)
)


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
