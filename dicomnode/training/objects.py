"""Take objects of label maps on planes and sections of their volumes, bent and degraded a little."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicomnode.training.bending import Bend
from dicomnode.training.repainting import repainted
from dicomnode.training.scenes.choosing import chosen, often

# An object on a section has at least so many pixels and is so many wide and high.
LEAST_PIXELS, LEAST_SIDE = 20, 4
# How often an object is taken on a plane, and on the sections across rows and columns, where it is large enough there.
AXES = {0: 0.5, 1: 0.25, 2: 0.25}
# Gamma (log deviation), noise (share of the values' deviation at the most), and how often values are turned over.
GAMMA, NOISE, INVERTED = 0.25, 0.3, 0.1
# How often structures get other values, how many of those beside the object at the most, and how far they change
# (deviation, in deviations of the image); and how often all of a section is painted anew instead.
REPAINTED = 0.4
RECOLOURED, MOST_RECOLOURED, COLOUR = 0.4, 8, 0.5


class Labelled(NamedTuple):
    """An image and the structures on it: (plane, row, column) float32, and by structure and plane (row, column) bool.

    `kind` is what some images have in common, such as their modality and where they come from.
    """

    kind: str
    image: NDArray[np.float32]
    masks: Sequence[Mapping[int, NDArray[np.bool_]]]


class _Place(NamedTuple):
    """A structure on one section, by its own voxels: across which axis and where; first and last rows and columns."""

    axis: int
    number: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Objects:
    """All objects of some volumes: in a kind each volume, and in it each structure comes as often as others.

    A kind comes the more often, the more structures it has: by their root.
    """

    kinds: tuple[tuple["_Volume", ...], ...]

    @classmethod
    def of(cls, volumes: Iterable[Labelled]) -> "Objects":
        """Return the objects of `volumes`, those that are large enough on some section."""
        kinds: dict[str, list[_Volume]] = {}
        for one in volumes:
            found = _Volume.of(one)
            if found.structures:
                kinds.setdefault(one.kind, []).append(found)
        return cls(tuple(tuple(kinds[name]) for name in sorted(kinds)))

    @property
    def shares(self) -> dict[tuple["_Volume", ...], float]:
        """Return how often each kind comes: by the root of how many structures there are to learn."""
        return {kind: sum(len(volume.structures) for volume in kind) ** 0.5 for kind in self.kinds}

    @property
    def digest(self) -> str:
        """Return the sha256 of all volumes."""
        digest = sha256()
        for volume in (one for kind in self.kinds for one in kind):
            digest.update(volume.image.tobytes())
            for structure in volume.structures:
                digest.update(repr(structure.first).encode() + structure.inside.tobytes())
        return digest.hexdigest()

    def drawn(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return what lies about one object, (row, column) float32, and what of it is inside, bool; never nothing."""
        while True:
            kind = chosen(generator, self.shares)
            image, truth = kind[generator.integers(len(kind))].drawn(generator)
            if np.count_nonzero(truth) >= LEAST_PIXELS:
                return image, truth


@dataclass(frozen=True, slots=True, eq=False)
class _Structure:
    """A structure where it is: `inside` is (plane, row, column) bool from the voxel `first` on."""

    first: tuple[int, int, int]
    inside: NDArray[np.bool_]
    places: tuple[_Place, ...]

    @classmethod
    def of(cls, masks: Mapping[int, NDArray[np.bool_]]) -> "_Structure | None":
        """Return the structure with these masks by plane; None where it is nowhere large enough."""
        on = sorted(index for index, mask in masks.items() if mask.any())
        if not on:
            return None
        seen = np.logical_or.reduce([masks[index] for index in on])
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        inside = np.zeros((on[-1] - on[0] + 1, np.ptp(rows) + 1, np.ptp(columns) + 1), np.bool_)
        for index in on:
            inside[index - on[0]] = masks[index][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        places = tuple(_places(inside))
        return cls((on[0], int(rows[0]), int(columns[0])), inside, places) if places else None

    def drawn_place(self, generator: np.random.Generator) -> _Place:
        """Return one of the places: on a plane as often as on the sections across rows and columns together."""
        across = {axis: [one for one in self.places if one.axis == axis] for axis in range(len(self.first))}
        there = chosen(generator, {axis: share for axis, share in AXES.items() if across[axis]})
        return across[there][generator.integers(len(across[there]))]


@dataclass(frozen=True, slots=True, eq=False)
class _Volume:
    image: NDArray[np.float32]
    structures: tuple[_Structure, ...]

    @classmethod
    def of(cls, labelled: Labelled) -> "_Volume":
        found = (_Structure.of(masks) for masks in labelled.masks)
        return cls(labelled.image, tuple(one for one in found if one))

    def drawn(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        structure = self.structures[generator.integers(len(self.structures))]
        place = structure.drawn_place(generator)
        bend = Bend.drawn(generator, place.rows, place.columns)
        number = place.number + structure.first[place.axis]
        image = bend.seen(np.take(self.image, number, place.axis), _shift(structure, place.axis, 1))
        inside = np.take(structure.inside, place.number, place.axis)
        share, truth = bend.seen_mask(inside, (0, 0)), bend.truth(inside)
        beside = _Beside(structure, self.structures, bend, place.axis, number)
        if often(generator, REPAINTED) and truth.any():
            return repainted(generator, image, [*beside.shares(), share], truth), truth
        if often(generator, RECOLOURED):
            image = image + _other_colours(generator, [share, *beside.some(generator)]) * image.std()
        return _degraded(generator, image), truth


class _Beside(NamedTuple):
    """What lies beside `structure` of all `structures`, where `bend` looks at the section `number` across `axis`."""

    structure: _Structure
    structures: Sequence[_Structure]
    bend: Bend
    axis: int
    number: int

    def shares(self) -> list[NDArray[np.float32]]:
        """Return how much of each pixel is in each, (row, column) each."""
        return [self._share(one) for one in self._on()]

    def some(self, generator: np.random.Generator) -> list[NDArray[np.float32]]:
        """Return the shares of a few of them."""
        on = self._on()
        return [self._share(on[at]) for at in generator.permutation(len(on))[:MOST_RECOLOURED]]

    def _on(self) -> list[_Structure]:
        return [
            one
            for one in self.structures
            if one is not self.structure and 0 <= self.number - one.first[self.axis] < one.inside.shape[self.axis]
        ]

    def _share(self, one: _Structure) -> NDArray[np.float32]:
        rows, columns = _shift(self.structure, self.axis, 1)
        row, column = _shift(one, self.axis, -1)
        inside = np.take(one.inside, self.number - one.first[self.axis], self.axis)
        return self.bend.seen_mask(inside, (rows + row, columns + column))


def _other_colours(generator: np.random.Generator, shares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what makes the structures with these `shares` brighter or darker, as a share of the contrast."""
    changes = [np.float32(generator.normal(0, COLOUR)) * share for share in shares]
    return np.asarray(np.sum(changes, axis=0), np.float32)


def _shift(structure: _Structure, axis: int, way: int) -> tuple[int, int]:
    """Return the first row and column of `structure` on sections across `axis`, times `way`."""
    row, column = (way * first for number, first in enumerate(structure.first) if number != axis)
    return row, column


def _places(inside: NDArray[np.bool_]) -> Iterable[_Place]:
    """Yield where `inside`, (plane, row, column) bool, is large enough, on the sections across each axis."""
    for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
        for number in np.flatnonzero(np.any(inside, axis=others)):
            section = np.take(inside, number, axis)
            rows, columns = np.flatnonzero(section.any(axis=1)), np.flatnonzero(section.any(axis=0))
            sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
            if np.count_nonzero(section) >= LEAST_PIXELS and min(sides) >= LEAST_SIDE:
                yield _Place(axis, int(number), (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1])))


def _degraded(generator: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `image` with another gamma, some noise, and sometimes turned over."""
    low, high = np.quantile(image, (0.005, 0.995))
    if not high > low:
        return image
    grey = np.clip((image - low) / (high - low), 0, 1) ** np.exp(generator.normal(0, GAMMA))
    noise = NOISE * generator.random() ** 3 * grey.std()
    grey = grey + noise * generator.standard_normal(grey.shape, np.float32)
    return np.asarray(1 - grey if generator.random() < INVERTED else grey, np.float32)
