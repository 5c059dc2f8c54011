"""The stack of planes: the core geometry."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain.received import Exclusion, Orientation, PlaneKey, Vector
from dicomnode.domain.uid import Uid

_COLOUR_AXES = 3  # row, column, colour


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plane:
    """One plane of a stack: where it lies, where it came from, and its stored pixels.

    `stored` is (row, column) integers as stored in the file, or as the file's table of the modality's values has them,
    which `values()` rescales on use; of a colour image it is
    (row, column, 3) uint8 RGB. A plane of a stack without frame of reference has no place: its position is the origin.
    `padding` is the closed range of stored values that are no measurement (PS3.3 C.7.5.1.1.2).
    """

    key: PlaneKey
    source: Path
    position: Vector
    orientation: Orientation
    spacing: tuple[float, float]
    thickness: float | None
    stored: NDArray[np.integer[Any]] = field(repr=False)
    slope: float
    intercept: float
    inverted: bool
    padding: tuple[int, int] | None

    @property
    def is_colour(self) -> bool:
        """Return whether the plane has colours, which are not values of a modality."""
        return self.stored.ndim == _COLOUR_AXES

    def shown(self) -> NDArray[Any]:
        """Return what is shown: (row, column) float32, MONOCHROME1 turned round, or the colours as they are."""
        if self.is_colour:
            return self.stored
        return -self.values() if self.inverted else self.values()

    def values(self) -> NDArray[np.float32]:
        """Return the modality's values, (row, column) float32; padding becomes the true value that is shown darkest."""
        values = self.stored * np.float32(self.slope) + np.float32(self.intercept)
        if self.padding is not None:
            low, high = self.padding
            padded = (self.stored >= low) & (self.stored <= high)
            if padded.any() and not padded.all():
                true = values[~padded]
                values[padded] = true.max() if self.inverted else true.min()
        return values.astype(np.float32, copy=False)


class Fact(StrEnum):
    """What later steps may ask of a stack's geometry."""

    REGULAR = "REGULAR"
    IRREGULAR = "IRREGULAR"
    SHEARED = "SHEARED"
    MISSING_SLICES = "MISSING_SLICES"
    SINGLE_PLANE = "SINGLE_PLANE"
    NO_FRAME_OF_REFERENCE = "NO_FRAME_OF_REFERENCE"
    CINE = "CINE"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stack:
    """Ordered planes of one acquisition; `planes` ascend along the normal (row x column direction).

    Without a frame of reference its planes lie nowhere: one image, or the frames of one in their order.
    `exclusions` are the images of it that could not be read, `lost` the positions where their planes lie; `body_part`
    is Body Part Examined as the first plane has it, in capitals, '' where it says none.
    """

    key: str
    series_uid: Uid
    study_uid: Uid
    modality: str
    frame_of_reference_uid: Uid | None
    planes: tuple[Plane, ...]
    facts: frozenset[Fact]
    exclusions: tuple[Exclusion, ...] = ()
    lost: tuple[Vector, ...] = ()
    body_part: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (planes, rows, columns)."""
        rows, columns = self.planes[0].stored.shape[:2]
        return len(self.planes), rows, columns

    @property
    def normal(self) -> NDArray[np.float64]:
        """Return the unit vector the planes ascend along, (3,) float64 in the patient's axes."""
        return normal_of(self.planes[0].orientation)

    def heights(self) -> NDArray[np.float64]:
        """Return each plane's position along the normal, (plane,) float64 in mm, ascending."""
        return np.array([plane.position for plane in self.planes]) @ self.normal

    def thicknesses(self) -> NDArray[np.float64]:
        """Return each plane's slice thickness, (plane,) float64 in mm, NaN where it is not known."""
        return np.array([plane.thickness or np.nan for plane in self.planes])

    def gaps(self) -> NDArray[np.float64]:
        """Return the distances between neighbouring planes, (plane - 1,) float64 in mm."""
        return np.diff(self.heights())


def normal_of(orientation: Orientation) -> NDArray[np.float64]:
    """Return the unit normal, row direction x column direction, (3,) float64."""
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)
