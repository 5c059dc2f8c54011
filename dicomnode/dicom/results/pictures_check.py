"""Prove that written pictures show the planes they name, and lines in colours just round the masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicomnode.dicom.reading import PARSER_ERRORS, noted
from dicomnode.domain import Mask, Plane, PlaneKey, Stack, Uid, WrittenObject
from dicomnode.errors import Reason, Refused

_EVERY = 7  # of the pixels a row and a column has, one is compared with the plane's value
_RGB = 3

Pixels = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _View:
    """One picture: the index of the plane it names, (row, column, 3) uint8 of that, and how much it is enlarged."""

    plane: int
    shown: NDArray[np.uint8] = field(repr=False)
    factor: int

    @property
    def line(self) -> int:
        """Return how many pixels wide a line may be: the pixel beside a mask, more only in a very large picture."""
        return max(self.factor, round(max(len(self.shown), len(self.shown[0])) / 512))


def check_pictures(objects: Sequence[WrittenObject], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every picture; refuse with FAILED_CHECK what does not show `masks` on `stack` as they are.

    A picture must show the very plane that it names, the colour of a mask all round it, and no line that is farther
    from a mask than a pixel, inside it for its own sake, or off the edge of a box. All planes that a mask has
    pixels on must be there, once, in one series.
    """
    if not objects:
        return
    index_of = {plane.key: index for index, plane in enumerate(stack.planes)}
    series: set[str] = set()
    shown: list[int] = []
    for written in objects:
        what = f"{written.kind} {written.sop_instance_uid}"
        try:
            with noted([]):
                ds = dcmread(BytesIO(written.content))
                view = _view(ds, stack, index_of, what)
        except (InvalidDicomError, *PARSER_ERRORS) as error:
            raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error
        _check(view, masks, stack.planes[view.plane], what)
        series.add(str(ds.SeriesInstanceUID))
        shown.append(view.plane)
    wanted = {index for mask in masks for index, inside in mask.planes.items() if inside.any()}
    if len(series) != 1 or sorted(shown) != sorted(set(shown)) or not wanted <= set(shown):
        odd = sorted(wanted ^ set(shown))[:3]
        detail = f"{len(shown)} in {len(series)} series, the masks have {len(wanted)} planes; planes that differ: {odd}"
        raise Refused(Reason.FAILED_CHECK, f"the pictures of stack {stack.key}", detail)


def _view(ds: Dataset, stack: Stack, index_of: dict[PlaneKey, int], what: str) -> _View:
    (source,) = ds.SourceImageSequence
    number = source.get("ReferencedFrameNumber")
    key = PlaneKey(Uid(str(source.ReferencedSOPInstanceUID)), None if number is None else int(number))
    if key not in index_of:
        raise Refused(Reason.FAILED_CHECK, what, f"its source is {key}, which is no plane of the stack")
    _, rows, columns = stack.shape
    factor, rest = divmod(int(ds.Columns), columns)
    if not factor or rest or ds.Rows < rows * factor or (ds.SamplesPerPixel, ds.BitsAllocated) != (_RGB, 8):
        detail = f"{ds.Rows}x{ds.Columns} pixels do not show {rows}x{columns} enlarged, in colours of 8 bits"
        raise Refused(Reason.FAILED_CHECK, what, detail)
    size = (int(ds.Rows), int(ds.Columns), _RGB)
    pixels = np.frombuffer(ds.PixelData, dtype=np.uint8, count=int(np.prod(size))).reshape(size)
    return _View(plane=index_of[key], shown=pixels[: rows * factor], factor=factor)


def _check(view: _View, masks: Sequence[Mask], plane: Plane, what: str) -> None:
    here = [
        (mask, _Patch.of(mask.planes[view.plane], view))
        for mask in masks
        if view.plane in mask.planes and mask.planes[view.plane].any()
    ]
    lines = _near_boxes(view, masks, plane.key)
    beside = np.zeros(lines.shape, dtype=np.uint16)  # how many masks may have a line there
    for _, patch in here:
        lines[patch.place] |= patch.near
        beside[patch.place] += patch.near
    _check_image(view, plane, ~lines, what)
    for mask, patch in here:
        own = patch.edge & (beside[patch.place] == 1)
        _check_colour(view.shown[patch.place][own], mask, what)


def _check_image(view: _View, plane: Plane, free: Pixels, what: str) -> None:
    """Check that what is `free` of lines is the plane: its colours, or greys that ascend with its values."""
    values = plane.shown()
    middle = view.factor // 2
    if plane.is_colour:
        differing = (view.shown[middle :: view.factor, middle :: view.factor] != values).any(axis=-1)
        differing &= free[middle :: view.factor, middle :: view.factor]
        wrong = int(np.count_nonzero(differing))
    else:
        coloured = (view.shown[..., 0] != view.shown[..., 1]) | (view.shown[..., 1] != view.shown[..., 2])
        wrong = int(np.count_nonzero(coloured & free))
        every = slice(view.factor * (_EVERY // 2) + middle, None, view.factor * _EVERY)
        greys, known = view.shown[every, every, 0], free[every, every]
        sampled = values[_EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY]
        ascending = greys[known][np.argsort(sampled[known], kind="stable")]
        wrong += int(np.count_nonzero(ascending[1:] < ascending[:-1]))
    if wrong:
        raise Refused(Reason.FAILED_CHECK, what, f"{wrong} pixels show something else than plane {view.plane}")


def _check_colour(edge: NDArray[np.uint8], mask: Mask, what: str) -> None:
    """Check that all of `edge`, (pixel, 3), which is only beside `mask`, has one colour: its own where it has one."""
    colour = mask.prompt.colour or (tuple(edge[0].tolist()) if len(edge) else None)
    wrong = int(np.count_nonzero((edge != colour).any(axis=-1))) if len(edge) else 0
    if wrong:
        detail = f"{wrong} of {len(edge)} pixels beside the mask of {mask.prompt.label!r} have not its colour, {colour}"
        raise Refused(Reason.FAILED_CHECK, what, detail)


def _near_boxes(view: _View, masks: Sequence[Mask], key: PlaneKey) -> Pixels:
    """Return the pixels no farther from the edge of a box than a line is wide, and a half for rounding."""
    near = np.zeros(view.shown.shape[:2], dtype=bool)
    reach = view.line + 0.5
    for mask in masks:
        box = mask.prompt.boxes.get(key)
        if box is None:
            continue
        left, top, right, bottom = ((side + 0.5) * view.factor for side in (box.x0, box.y0, box.x1, box.y1))
        zone = np.zeros_like(near)
        zone[_span(top - reach, bottom + reach), _span(left - reach, right + reach)] = True
        if bottom - top > 2 * reach and right - left > 2 * reach:
            zone[_span(top + reach, bottom - reach), _span(left + reach, right - reach)] = False
        if view.plane in mask.planes:
            zone &= ~mask.planes[view.plane].repeat(view.factor, axis=0).repeat(view.factor, axis=1)
        near |= zone
    return near


def _span(first: float, last: float) -> slice:
    return slice(max(int(np.floor(first)), 0), max(int(np.ceil(last)), 0))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Patch:
    """The part of a picture that a mask and the lines round it are in, and what of it is what, (row, column) bool.

    `edge` shares sides with the mask, and `near` is as near outside it as a line may be.
    """

    place: tuple[slice, slice]
    edge: Pixels
    near: Pixels

    @classmethod
    def of(cls, inside: Pixels, view: _View) -> "_Patch":
        """Return the part of `view` round `inside`, (row, column) bool of the plane, with a pixel inside."""
        factor, around = view.factor, -(-view.line // view.factor) + 1
        found = [np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)]
        (top, bottom), (left, right) = ((max(int(one[0]) - around, 0), int(one[-1]) + around + 1) for one in found)
        part = inside[top:bottom, left:right].repeat(factor, axis=0).repeat(factor, axis=1)
        place = (slice(top * factor, bottom * factor), slice(left * factor, right * factor))
        near = _grown(_grown(part, view.line, 0), view.line, 1) & ~part
        edge = (_grown(part, 1, 0) | _grown(part, 1, 1)) & ~part
        return cls(place=place, edge=edge, near=near)


def _grown(inside: Pixels, by: int, axis: int) -> Pixels:
    """Return `inside` and all that is within `by` pixels of it along `axis`."""
    grown = inside.copy()
    target, source = np.moveaxis(grown, axis, 0), np.moveaxis(inside, axis, 0)
    for step in range(1, by + 1):
        target[step:] |= source[:-step]
        target[:-step] |= source[step:]
    return grown
