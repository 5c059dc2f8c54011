"""Read the images of a stack: their planes, pixels and geometry."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import NamedTuple

import numpy as np
from pydicom import Dataset

from dicomnode.cpus import usable_cpus
from dicomnode.dicom.frames import measures_of
from dicomnode.dicom.modality_table import through_table
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import PixelFile, open_pixels
from dicomnode.dicom.reading import numbers, text
from dicomnode.domain import Exclusion, Fact, ImageInstance, Place, Plane, PlaneSource, Stack, StackImages, Uid, Vector
from dicomnode.errors import Reason, Refused
from dicomnode.geometry import facts_of

MOST_BYTES = 8 << 30
_AHEAD = 64  # planes
_NOWHERE = Place(position=(0.0, 0.0, 0.0), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


def read_stack(images: StackImages, decoders: Decoders, progress: Callable[[int, int], None] | None = None) -> Stack:
    """Return the stack that `images` make, with the stored pixels of every plane; tell `progress` (done, total).

    A plane that cannot be read is left out and named in the stack's `exclusions`; when none can be read the stack is
    refused, as is one of more than 8 GiB (LIMIT).
    """
    first = images.planes[0].image
    _check_size(images, first.rows * first.columns)  # a byte a pixel at least
    found: list[_Read] = []
    exclusions: list[Exclusion] = []
    lost: list[Vector] = []
    for done, (source, made) in enumerate(_read(images, decoders)):
        if progress:
            progress(done, len(images.planes))
        if isinstance(made, _Read):
            _check_size(images, made.plane.stored.nbytes)
            found.append(made)
        else:
            exclusions.append(made)
            lost.append((source.frame.place or _NOWHERE).position)
    if not found:
        why = exclusions[0]
        detail = f"none of its {len(exclusions)} planes can be read: {why.what}: {why.detail}"
        raise Refused(why.reason, f"stack {images.key}", detail)
    stack = Stack(
        key=images.key,
        series_uid=images.series_uid,
        study_uid=images.study_uid,
        modality=images.modality,
        frame_of_reference_uid=images.frame_of_reference_uid,
        planes=tuple(one.plane for one in found),
        facts=frozenset(),
        exclusions=tuple(exclusions),
        lost=tuple(lost),
        body_part=found[0].body_part,
    )
    return replace(stack, facts=_facts(images, stack))


def _check_size(images: StackImages, plane: int) -> None:
    """Refuse a stack whose planes of `plane` bytes each are more than fits."""
    if len(images.planes) * plane > MOST_BYTES:
        first = images.planes[0].image
        detail = f"{len(images.planes)} planes of {first.rows} x {first.columns} pixels are more than 8 GiB"
        raise Refused(Reason.LIMIT, f"stack {images.key}", detail)


def _facts(images: StackImages, stack: Stack) -> frozenset[Fact]:
    if stack.frame_of_reference_uid is None:
        return frozenset({Fact.CINE if images.is_cine else Fact.SINGLE_PLANE, Fact.NO_FRAME_OF_REFERENCE})
    positions = np.array([plane.position for plane in stack.planes])
    return facts_of(positions, stack.normal, stack.thicknesses())


class _Read(NamedTuple):
    """A plane, and Body Part Examined in its header."""

    plane: Plane
    body_part: str


def _read(images: StackImages, decoders: Decoders) -> Iterator[tuple[PlaneSource, _Read | Exclusion]]:
    """Yield what each plane gave, in order; some are read side by side, ahead of the one that is wanted."""
    files: dict[Uid, _File] = {}
    left = Counter(source.image.sop_instance_uid for source in images.planes)
    waiting: deque[tuple[PlaneSource, Future[_Read | Exclusion]]] = deque()
    pool = ThreadPoolExecutor(usable_cpus(), "read")
    try:
        for source in images.planes:
            uid = source.image.sop_instance_uid
            file = files.setdefault(uid, _File(source.image, decoders))
            waiting.append((source, pool.submit(file.plane, source)))
            left[uid] -= 1
            if not left[uid]:
                del files[uid]  # let go when its last plane is read
            if len(waiting) > _AHEAD:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _result(source: PlaneSource, future: Future[_Read | Exclusion]) -> tuple[PlaneSource, _Read | Exclusion]:
    return source, future.result()


class _File:
    """A file of the stack, opened when its first plane is wanted."""

    def __init__(self, image: ImageInstance, decoders: Decoders) -> None:
        self._image = image
        self._decoders = decoders
        self._lock = Lock()
        self._opened: PixelFile | Refused | None = None

    def plane(self, source: PlaneSource) -> _Read | Exclusion:
        """Return the plane of `source`, or why it cannot be read."""
        try:
            file = self._open()
            return _Read(_plane(source, file), text(file.header, "BodyPartExamined").upper())
        except Refused as error:
            return Exclusion.of(error)  # the error itself would keep, by its traceback, all that was read

    def _open(self) -> PixelFile:
        with self._lock:
            if self._opened is None:
                try:
                    self._opened = open_pixels(self._image.path, self._decoders)
                except Refused as error:
                    self._opened = error
        if isinstance(self._opened, Refused):
            raise self._opened
        return self._opened


def _plane(source: PlaneSource, file: PixelFile) -> Plane:
    image, frame = source
    what = str(image.path) + (f" frame {frame.number}" if frame.number else "")
    stored = file.frame(frame.number or 1)
    if stored.shape[:2] != (image.rows, image.columns):
        detail = f"its pixels are {stored.shape[:2]}, its header says {(image.rows, image.columns)}"
        raise Refused(Reason.INVALID_HEADER, what, detail)
    place = frame.place or _NOWHERE
    measures = measures_of(file.header, frame.number, what)
    stored, padding = through_table(stored, _padding(file.header, what), file.header, what)
    return Plane(
        key=source.key,
        source=image.path,
        position=place.position,
        orientation=place.orientation,
        spacing=frame.spacing,
        thickness=measures.thickness,
        stored=stored,
        slope=measures.slope,
        intercept=measures.intercept,
        inverted=text(file.header, "PhotometricInterpretation") == "MONOCHROME1",
        padding=padding,
    )


def _padding(ds: Dataset, what: str) -> tuple[int, int] | None:
    """Return the closed range of stored values that are padding (PS3.3 C.7.5.1.1.2)."""
    value = numbers(ds, "PixelPaddingValue", 1, what)
    if value is None:
        return None
    limit = numbers(ds, "PixelPaddingRangeLimit", 1, what) or value
    low, high = sorted(_stored(ds, int(end), what) for end in (value[0], limit[0]))
    return low, high


def _stored(ds: Dataset, value: int, what: str) -> int:
    """Return `value` in the sign that pixels are stored in: some write it in the other (63536 for -2000)."""
    bits = int((numbers(ds, "BitsAllocated", 1, what) or (16.0,))[0])
    signed = (numbers(ds, "PixelRepresentation", 1, what) or (0.0,))[0] == 1
    if signed and value >= 1 << (bits - 1):
        return value - (1 << bits)
    return value + (1 << bits) if value < 0 and not signed else value
