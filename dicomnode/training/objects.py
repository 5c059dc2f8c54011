"""Take objects of label maps on planes and sections of their volumes, bent and degraded a little."""

from collections.abc import Iterable, Sequence
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


class Labelled(NamedTuple):
    """A volume and what each of its voxels is: (plane, row, column) float32 and int, 0 for nothing; `group` its kind.

    An image of one plane has a first axis of 1.
    """

    group: str
    image: NDArray[np.float32]
    labels: NDArray[np.integer]


class _Place(NamedTuple):
    """One object on one section: across which axis and where; the first and last of its rows and columns."""

    axis: int
    number: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Objects:
    """All objects of some volumes; each group, in it each volume, and in it each label comes as often as the others."""

    groups: tuple[tuple["_Volume", ...], ...]

    @classmethod
    def of(cls, volumes: Iterable[Labelled]) -> "Objects":
        """Return the objects of `volumes`, those that are large enough on some section."""
        groups: dict[str, list[_Volume]] = {}
        for one in volumes:
            found = _Volume.of(one)
            if found.places:
                groups.setdefault(one.group, []).append(found)
        return cls(tuple(tuple(groups[name]) for name in sorted(groups)))

    @property
    def digest(self) -> str:
        """Return the sha256 of all volumes."""
        digest = sha256()
        for volume in (one for group in self.groups for one in group):
            digest.update(volume.labelled.image.tobytes())
            digest.update(volume.labelled.labels.tobytes())
        return digest.hexdigest()

    def drawn(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return what lies about one object, (row, column) float32, and what of it is inside, bool; never nothing."""
        while True:
            group = self.groups[generator.integers(len(self.groups))]
            image, truth = group[generator.integers(len(group))].drawn(generator)
            if np.count_nonzero(truth) >= LEAST_PIXELS:
                return _degraded(generator, image), truth


@dataclass(frozen=True, slots=True, eq=False)
class _Volume:
    labelled: Labelled
    places: tuple[tuple[int, tuple[_Place, ...]], ...]  # label, where it is

    @classmethod
    def of(cls, labelled: Labelled) -> "_Volume":
        values = [int(value) for value in np.unique(labelled.labels) if value]
        found = ((value, tuple(_places(labelled.labels == value))) for value in values)
        return cls(labelled, tuple((value, places) for value, places in found if places))

    def drawn(self, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        value, places = self.places[generator.integers(len(self.places))]
        place = places[generator.integers(len(places))]
        image = self.labelled.image.take(place.number, place.axis)
        inside = self.labelled.labels.take(place.number, place.axis) == value
        return _bent(generator, image, inside, place)


def _places(inside: NDArray[np.bool_]) -> Iterable[_Place]:
    """Yield where `inside`, (plane, row, column) bool, is large enough, on the sections across each axis."""
    for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
        for number in np.flatnonzero(inside.any(axis=others)):
            section = inside.take(number, axis)
            rows, columns = np.flatnonzero(section.any(axis=1)), np.flatnonzero(section.any(axis=0))
            sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
            if np.count_nonzero(section) >= LEAST_PIXELS and min(sides) >= LEAST_SIDE:
                yield _Place(axis, int(number), (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1])))


def _bent(
    generator: np.random.Generator, image: NDArray[np.float32], inside: NDArray[np.bool_], place: _Place
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return what lies about `place`, turned, stretched, bent and perhaps coarser."""
    middle = np.array([sum(place.rows) / 2, sum(place.columns) / 2])
    extent = np.array([np.ptp(place.rows) + 1.0, np.ptp(place.columns) + 1.0]) * SURROUNDINGS
    finest = min(1.0, MOST_SIDE / extent.max())
    coarser = np.exp(generator.uniform(0, np.log(COARSEST))) if extent.min() * finest > MOST_SIDE / 4 else 1.0
    shape = np.maximum(np.rint(extent * finest / coarser), 8).astype(int)
    at = np.stack(np.meshgrid(*(np.linspace(-0.5, 0.5, side) for side in shape), indexing="ij"))
    at = at + BEND * np.stack([_smooth(generator, shape) for _ in range(2)])
    turn, stretch = generator.normal(0, TURN / 2), np.exp(generator.normal(0, STRETCH / 2, 2))
    at = at * (extent * stretch)[:, None, None]
    across, down = np.cos(turn), np.sin(turn)
    rows = middle[0] + across * at[0] - down * at[1]
    columns = middle[1] + down * at[0] + across * at[1]
    footprint = max(1, round(float(coarser / finest)))
    return (
        _sampled(_averaged(image, footprint), rows, columns),
        _sampled(_averaged(inside.astype(np.float32), footprint), rows, columns) > 0.5,  # noqa: PLR2004 - half of a pixel
    )


def _smooth(generator: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return numbers of deviation 1 that change smoothly over `shape`: (row, column)."""
    values = generator.standard_normal((KNOTS, KNOTS))
    for side in shape:
        places = np.linspace(0, KNOTS - 1, side)
        values = np.stack([np.interp(places, np.arange(KNOTS), one) for one in values.T])
    return np.asarray(values)


def _averaged(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return the mean of `image` about each pixel over `width` x `width` of them, (row, column) float32."""
    for axis in (0, 1):
        if width > 1:
            parts = [np.roll(image, step, axis) for step in range(-(width // 2), width - width // 2)]
            image = np.mean(parts, axis=0, dtype=np.float32)
    return image


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
    sampled: NDArray[np.float32] = upper * (1 - down) + lower * down
    return sampled


def _degraded(generator: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `image` with another gamma, some noise, and sometimes turned over."""
    low, high = np.quantile(image, (0.005, 0.995))
    if not high > low:
        return image
    grey = np.clip((image - low) / (high - low), 0, 1) ** np.exp(generator.normal(0, GAMMA))
    noise = NOISE * generator.random() ** 3 * grey.std()
    grey = grey + noise * generator.standard_normal(grey.shape, np.float32)
    return np.asarray(1 - grey if generator.random() < INVERTED else grey, np.float32)
