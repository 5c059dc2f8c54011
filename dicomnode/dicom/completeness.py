"""Say what the annotations of a study tell of whether its images are all here, from headers alone."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from dicomnode.dicom.coverage import outside
from dicomnode.domain import Annotation, Content, Pair, SeriesCount, StackImages, Uid, normal_of
from dicomnode.geometry import multiples


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What annotations name: images, other annotations that they need, and series."""

    images: frozenset[Uid]
    objects: frozenset[Uid]
    series: tuple[Uid, ...]

    def without(self, known: Collection[Uid]) -> "Named":
        """Return what of it is not `known`, with the series."""
        return Named(images=self.images.difference(known), objects=self.objects.difference(known), series=self.series)


def named_by(annotations: Iterable[Annotation]) -> Named:
    """Return what `annotations` name, drawn on or only listed."""
    every = tuple(annotations)
    return Named(
        images=frozenset(chain.from_iterable(map(_images_of, every))),
        objects=frozenset(uid for one in every for uid in one.objects),
        series=tuple(dict.fromkeys(uid for one in every for uid in one.referenced_series)),
    )


def content_of(
    images: int, annotations: int, pairs: Collection[Pair], named: Named, absent: Named, here: Mapping[Uid, int]
) -> Content:
    """Return what is here: so many `images` and `annotations`, the `pairs` that they make, and what is `absent`.

    `here` is how many instances of each series that a pair means are here.
    """
    stacks = {pair.images.key: pair.images for pair in pairs}.values()
    series = {stack.series_uid: stack.study_uid for stack in stacks}
    return Content(
        images=images,
        annotations=annotations,
        pairs=len(pairs),
        named=len(named.images),
        absent=len(absent.images),
        objects=len(absent.objects),
        gaps=sum(map(_gaps, stacks)),
        beyond=sum(map(_beyond, pairs)),
        listed=bool(stacks) and all(_is_listed(stack, pairs) for stack in stacks),
        series=tuple(SeriesCount(series_uid=uid, study_uid=study, here=here[uid]) for uid, study in series.items()),
    )


def _images_of(annotation: Annotation) -> Iterator[Uid]:
    yield from annotation.listed
    yield from (plane.sop_instance_uid for plane, _ in annotation.references)


def _gaps(stack: StackImages) -> int:
    """Return how many slices are missing between the planes of `stack`; its thicknesses are not known here."""
    places = [plane.frame.place for plane in stack.planes if plane.frame.place]
    if len(places) < 2:  # noqa: PLR2004
        return 0
    distances = np.diff(np.array([one.position for one in places]) @ normal_of(places[0].orientation))
    return int(np.sum(multiples(distances, np.full(len(places), np.nan)) - 1))


def _beyond(pair: Pair) -> int:
    """Return how many of the points of the regions that mean the stack of `pair` lie on none of its slices."""
    regions = [one for one in pair.annotation.regions if one.item not in pair.elsewhere]
    samples = tuple(point for one in regions for point in one.samples)
    return outside(samples if pair.annotation.regions else pair.annotation.samples, pair.images)


def _is_listed(stack: StackImages, pairs: Iterable[Pair]) -> bool:
    """Return whether an annotation lists every image of `stack`, and one that nothing is drawn on.

    One that lists only what it is drawn on says nothing of the rest of the series.
    """
    images = {image.sop_instance_uid for image in stack.images}
    for annotation in (one for pair in pairs if pair.images.key == stack.key for one in _of(pair)):
        drawn = {plane.sop_instance_uid for one in annotation.regions or (annotation,) for plane, _ in one.references}
        if images <= set(annotation.listed) and images - drawn:
            return True
    return False


def _of(pair: Pair) -> tuple[Annotation, ...]:
    return pair.annotation, *pair.companions
