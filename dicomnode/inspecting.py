"""Say what is in files and folders: the stacks that images make, the prompts on them, and what makes none and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.kinds import kind_of
from dicomnode.dicom.naming import tables_of
from dicomnode.dicom.notes import notes_on
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.prompts.read import Asked, Means, read_prompts
from dicomnode.dicom.scan import scan
from dicomnode.dicom.sheet import sheet
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import (
    Annotation,
    Exclusion,
    Fact,
    JobOptions,
    LeftOut,
    Orientation,
    Pair,
    PlaneKey,
    Prompt,
    Stack,
    StackImages,
    Uid,
    Vector,
)
from dicomnode.errors import Refused
from dicomnode.geometry import affine_of, spacing_of
from dicomnode.planning import plan


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InspectedStack:
    """What a stack is, without its pixels.

    `shape` is (planes, rows, columns); `spacing` is the distances between them in mm, that between planes None where
    there is not one; `planes` ascend along the normal, each with its position. Where the stack has no place, positions
    and `orientation` are None. `affine` maps (column, row, plane, 1) to the patient's axes (LPS) in mm, (4, 4) float64,
    None unless the stack is regular.
    """

    key: str
    series_uid: Uid
    modality: str
    kind: str
    split: tuple[tuple[str, str], ...]
    facts: tuple[Fact, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float | None, float, float]
    planes: tuple[tuple[PlaneKey, Vector | None], ...]
    orientation: Orientation | None
    affine: NDArray[np.float64] | None
    notes: tuple[str, ...]

    @property
    def size(self) -> str:
        """Return the shape in words."""
        return " x ".join(str(count) for count in self.shape)

    @property
    def distances(self) -> str:
        """Return the spacing in words; where there is no place it need not be millimetres, but may be a ratio."""
        words = " x ".join("-" if distance is None else f"{distance:.3g}" for distance in self.spacing)
        return words if self.orientation is None else f"{words} mm"

    @property
    def told_by(self) -> tuple[str, ...]:
        """Return in words what tells this stack from the others of its series."""
        return tuple(f"{keyword} {value}" for keyword, value in self.split)


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedPair:
    """An annotation and a stack it means, and the prompts that it makes there."""

    pair: Pair
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection(LeftOut):
    """What there is, and what makes no stack or prompt and why; `failures` are pictures that could not be written."""

    stacks: tuple[InspectedStack, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    pairs: tuple[InspectedPair, ...] = ()
    pictures: tuple[Path, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How to look: how annotations are read, the folder to draw each stack into if there is one, and whom to tell.

    `own_results` tells that what dicomnode made is a prompt too. `progress` is told (which stack, planes done, planes
    in all).
    """

    options: JobOptions = field(default_factory=JobOptions)
    own_results: bool = False
    pictures: Path | None = None
    progress: Callable[[str, int, int], None] | None = None


def inspect_paths(paths: Iterable[Path], look: Look | None = None) -> Inspection:
    """Read everything in `paths` and return what there is; one stack at a time is held in memory.

    Refuses with BAD_SETTING, before anything is read, tables of names that cannot be read or have changed.
    """
    look = look or Look()
    tables = tables_of(look.options.labels, look.options.names_digest)
    instances, left_out = scan(paths)
    found = plan(instances, own_results=look.own_results)
    seen = _Seen(exclusions=[*left_out, *found.exclusions])
    with Decoders() as decoders:
        means = Means(decoders=decoders, tables=tables)
        for number, images in enumerate(found.stacks, start=1):
            progress = partial(look.progress, f"{number}/{len(found.stacks)}") if look.progress else None
            pairs = [pair for pair in found.pairs if pair.images.key == images.key]
            try:
                stack = read_stack(images, decoders, progress)
            except Refused as error:
                seen.exclusions.append(Exclusion.of(error))
                seen.pairs.extend(InspectedPair(pair=pair, prompts=()) for pair in pairs)
                continue
            seen.exclusions.extend(stack.exclusions)
            seen.stacks.append(_inspected(images, stack))
            seen.pairs.extend(_read(pair, stack, look.options, means, seen.exclusions) for pair in pairs)
            if look.pictures:
                _try_to_draw(stack, look.pictures, seen)
    return Inspection(
        stacks=tuple(seen.stacks),
        annotations=found.annotations,
        pairs=tuple(seen.pairs),
        exclusions=tuple(seen.exclusions),
        pictures=tuple(seen.pictures),
        failures=tuple(seen.failures),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What has been seen so far."""

    exclusions: list[Exclusion]
    stacks: list[InspectedStack] = field(default_factory=list)
    pairs: list[InspectedPair] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def _read(pair: Pair, stack: Stack, options: JobOptions, means: Means, exclusions: list[Exclusion]) -> InspectedPair:
    """Return `pair` with its prompts on `stack`; what of the annotation makes none goes to `exclusions`."""
    elsewhere = frozenset(pair.elsewhere)
    asked = Asked(annotation=pair.annotation, companions=pair.companions, options=options, elsewhere=elsewhere)
    try:
        found = read_prompts(asked, stack, means)
    except Refused as error:
        exclusions.append(Exclusion.of(error))
        return InspectedPair(pair=pair, prompts=())
    exclusions.extend(found.exclusions)
    return InspectedPair(pair=pair, prompts=found.prompts)


def _inspected(images: StackImages, stack: Stack) -> InspectedStack:
    placed = stack.frame_of_reference_uid is not None
    return InspectedStack(
        key=stack.key,
        series_uid=stack.series_uid,
        modality=stack.modality,
        kind=kind_of(images.planes[0].image.sop_class_uid),
        split=images.split,
        facts=tuple(sorted(stack.facts)),
        shape=stack.shape,
        spacing=spacing_of(stack),
        planes=tuple((plane.key, plane.position if placed else None) for plane in stack.planes),
        orientation=stack.planes[0].orientation if placed else None,
        affine=affine_of(stack),
        notes=notes_on(images, stack),
    )


def _try_to_draw(stack: Stack, folder: Path, seen: _Seen) -> None:
    try:
        seen.pictures.append(_draw(stack, seen.stacks[-1], folder))
    except OSError as error:
        seen.failures.append(f"{folder}: {error}")


def _draw(stack: Stack, found: InspectedStack, folder: Path) -> Path:
    """Write the views of `stack` as `<series uid>-<number>.png` into `folder` and return the path."""
    legend = [
        f"{found.modality}, {found.kind} image, stack {found.key}",
        f"{found.size} planes x rows x columns, {found.distances} apart",
        ", ".join((*found.facts, *found.told_by)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found.key.replace('/', '-')}.png"
    sheet(stack, legend).save(path)
    return path
