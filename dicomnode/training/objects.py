"""Take objects of label maps on planes and sections of their volumes, bent and degraded a little."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# An object on a section has at least so many pixels and is so many wide and high; of what lies about it, so many times
# its extent is seen.
LEAST_PIXELS, LEAST_SIDE, SURROUNDINGS = 20, 4, 2.2
# How far what is seen is turned (radians), stretched (log), and bent (share of its size), at the most or as deviation.
TURN, STRETCH, BEND, KNOTS = 0.5, 0.15, 0.03, 4
# How large what is seen is drawn, in pixels along its longest side, at the most; and how much coarser it is made.
MOST_SIDE, COARSEST = 160, 2.5
# Gamma (log deviation), noise (share of the values' deviation at the most), and how often values are turned over.
GAMMA, NOISE, INVERTED = 0.25, 0.3, 0.1
# How often structures get other values, how many of those beside the object at the most, and how far they change
# (deviation, in deviations of the image).
RECOLOURED, MOST_RECOLOURED, COLOUR = 0.4, 8, 0.5
_HALF = 0.5  # of a pixel is inside


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
    """All objects of some volumes: each kind, in it each volume, and in it each structure comes as often as others."""

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
            kind = self.kinds[generator.integers(len(self.kinds))]
            image, truth = kind[generator.integers(len(kind))].drawn(generator)
            if np.count_nonzero(truth) >= LEAST_PIXELS:
                return _degraded(generator, image), truth


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
        place = structure.places[generator.integers(len(structure.places))]
        bend = _Bend.drawn(generator, place)
        number = place.number + structure.first[place.axis]
        image = bend.seen(np.take(self.image, number, place.axis), _shift(structure, place.axis, 1))
        truth = bend.seen_mask(np.take(structure.inside, place.number, place.axis), (0, 0))
        if generator.random() < RECOLOURED:
            image = image + self._other_colours(generator, structure, bend, (place.axis, number)) * image.std()
        return image, truth > _HALF

    def _other_colours(
        self, generator: np.random.Generator, structure: _Structure, bend: "_Bend", section: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Return what makes `structure` and some of those beside it brighter or darker, as a share of the contrast."""
        axis, number = section
        on = [one for one in self.structures if 0 <= number - one.first[axis] < one.inside.shape[axis]]
        beside = [one for one in on if one is not structure]
        chosen = [structure, *(beside[at] for at in generator.permutation(len(beside))[:MOST_RECOLOURED])]
        rows, columns = _shift(structure, axis, 1)
        change = np.zeros(bend.rows.shape, np.float32)
        for one in chosen:
            row, column = _shift(one, axis, -1)
            inside = np.take(one.inside, number - one.first[axis], axis)
            strength = np.float32(generator.normal(0, COLOUR))
            change += strength * bend.seen_mask(inside, (rows + row, columns + column))
        return change


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


class _Bend(NamedTuple):
    """Where what lies about a place is looked at: rows and columns, (row, column) each, and over how many pixels."""

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    width: int

    @classmethod
    def drawn(cls, generator: np.random.Generator, place: _Place) -> "_Bend":
        """Return what lies about `place`, turned, stretched, bent and perhaps coarser."""
        middle = np.array([sum(place.rows) / 2, sum(place.columns) / 2])
        extent = np.array([np.ptp(place.rows) + 1.0, np.ptp(place.columns) + 1.0]) * SURROUNDINGS
        finest = min(1.0, MOST_SIDE / extent.max())
        coarse = np.exp(generator.uniform(0, np.log(COARSEST))) if extent.min() * finest > MOST_SIDE / 4 else 1.0
        shape = np.maximum(np.rint(extent * finest / coarse), 8).astype(int).tolist()
        at = np.stack(np.meshgrid(*(np.linspace(-0.5, 0.5, side) for side in shape), indexing="ij"))
        at = at + BEND * np.stack([_smooth(generator, shape) for _ in range(2)])
        turn, stretch = generator.normal(0, TURN / 2), np.exp(generator.normal(0, STRETCH / 2, 2))
        at = at * (extent * stretch)[:, None, None]
        cosine, sine = np.cos(turn), np.sin(turn)
        rows, columns = cosine * at[0] - sine * at[1], sine * at[0] + cosine * at[1]
        return cls(middle[0] + rows, middle[1] + columns, max(1, round(float(coarse / finest))))

    def seen(self, image: NDArray[np.float32], shift: tuple[int, int]) -> NDArray[np.float32]:
        """Return `image`, (row, column), as it is there, its rows and columns being so much further on."""
        return _sampled(_averaged(image, self.width), self.rows + shift[0], self.columns + shift[1])

    def seen_mask(self, inside: NDArray[np.bool_], shift: tuple[int, int]) -> NDArray[np.float32]:
        """Return the share of each pixel that is `inside`, (row, column) bool, beyond which nothing is."""
        wider = np.pad(inside, self.width).astype(np.float32)
        return self.seen(wider, (shift[0] + self.width, shift[1] + self.width))


def _smooth(generator: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return numbers of deviation 1 that change smoothly over `shape`: (row, column)."""
    values = generator.standard_normal((KNOTS, KNOTS))
    for side in shape:
        places = np.linspace(0, KNOTS - 1, side)
        values = np.stack([np.interp(places, np.arange(KNOTS), one) for one in values.T])
    return np.asarray(values)


def _averaged(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return the mean of `image` about each pixel over `width` x `width` of them, (row, column) float32.

    Its edge goes on beyond it.
    """
    if width == 1:
        return image
    rows, columns = image.shape
    padded = np.pad(image, (width // 2, (width - 1) // 2), mode="edge")
    lines = np.add.reduce([padded[step : step + rows] for step in range(width)]) / np.float32(width)
    mean: NDArray[np.float32] = np.add.reduce([lines[:, step : step + columns] for step in range(width)]) / np.float32(
        width
    )
    return mean


def _sampled(
    image: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return `image` between its pixels at `rows` and `columns`, linearly; its edge goes on beyond it."""
    rows, columns = (np.clip(at, 0, side - 1.001) for at, side in zip((rows, columns), image.shape, strict=True))
    row, column = np.maximum(rows.astype(np.intp), 0), np.maximum(columns.astype(np.intp), 0)
    down, across = (rows - row).astype(np.float32), (columns - column).astype(np.float32)
    below, right = np.minimum(row + 1, image.shape[0] - 1), np.minimum(column + 1, image.shape[1] - 1)
    upper = image[row, column] * (1 - across) + image[row, right] * across
    lower = image[below, column] * (1 - across) + image[below, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _degraded(generator: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `image` with another gamma, some noise, and sometimes turned over."""
    low, high = np.quantile(image, (0.005, 0.995))
    if not high > low:
        return image
    grey = np.clip((image - low) / (high - low), 0, 1) ** np.exp(generator.normal(0, GAMMA))
    noise = NOISE * generator.random() ** 3 * grey.std()
    grey = grey + noise * generator.standard_normal(grey.shape, np.float32)
    return np.asarray(1 - grey if generator.random() < INVERTED else grey, np.float32)
