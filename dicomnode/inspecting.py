"""Say what is in files and folders: the stacks that images make, where they lie, and what makes none and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.dicom.kinds import kind_of
from dicomnode.dicom.notes import notes_on
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.scan import scan
from dicomnode.dicom.sheet import sheet
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import (
    Annotation,
    Exclusion,
    Fact,
    LeftOut,
    Orientation,
    Pair,
    PlaneKey,
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
class Inspection(LeftOut):
    """What there is, and what makes no stack and why; `failures` are pictures that could not be written."""

    stacks: tuple[InspectedStack, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    pairs: tuple[Pair, ...] = ()
    pictures: tuple[Path, ...] = ()
    failures: tuple[str, ...] = ()


def inspect_paths(
    paths: Iterable[Path], *, pictures: Path | None = None, progress: Callable[[str, int, int], None] | None = None
) -> Inspection:
    """Read everything in `paths` and return what there is; draw each stack into the folder `pictures` if there is one.

    One stack at a time is held in memory. `progress` is told (which stack, planes done, planes in all).
    """
    instances, left_out = scan(paths)
    found = plan(instances)
    exclusions = [*left_out, *found.exclusions]
    stacks: list[InspectedStack] = []
    drawn: list[Path] = []
    failures: list[str] = []
    with Decoders() as decoders:
        for number, images in enumerate(found.stacks, start=1):
            try:
                tell = partial(progress, f"{number}/{len(found.stacks)}") if progress else None
                stack = read_stack(images, decoders, tell)
            except Refused as error:
                exclusions.append(Exclusion.of(error))
                continue
            exclusions.extend(stack.exclusions)
            stacks.append(_inspected(images, stack))
            if pictures:
                try:
                    drawn.append(_draw(stack, stacks[-1], pictures))
                except OSError as error:
                    failures.append(f"{pictures}: {error}")
    return Inspection(
        stacks=tuple(stacks),
        annotations=found.annotations,
        pairs=found.pairs,
        exclusions=tuple(exclusions),
        pictures=tuple(drawn),
        failures=tuple(failures),
    )


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
