"""Regular stacks as volumes, to compare with what other tools make of the same files."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.geometry import affine_of
from tests.reading import Volume


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Difference:
    """How two volumes of the same voxels differ.

    `affine` is the largest difference of an element of the affines, in mm, `voxels` how many values differ. `ways` is
    (4, 4) float64 and takes the indices of the first volume to those of the second: NIfTI's axes often go other ways.
    """

    affine: float
    voxels: int
    ways: NDArray[np.float64]


def volume_of(stack: Stack) -> Volume:
    """Return the values of a regular stack before padding is set to air, (column, row, plane) float32."""
    affine = affine_of(stack)
    assert affine is not None
    values = np.stack([replace(plane, padding=None).values() for plane in stack.planes])
    return Volume(voxels=values.transpose(2, 1, 0), affine=affine)


def difference(ours: Volume, theirs: Volume) -> Difference:
    """Return how `theirs` differs from `ours`; they must have the same shape and lie less than half a voxel apart."""
    ways = np.rint(np.linalg.inv(theirs.affine) @ ours.affine)
    axes = [int(axis) for axis in np.abs(ways[:3, :3]).argmax(axis=0)]  # theirs for each of ours
    flipped = tuple(axis for axis in range(3) if ways[axes[axis], axis] < 0)
    voxels: NDArray[Any] = np.flip(theirs.voxels.transpose(axes), flipped)
    assert voxels.shape == ours.voxels.shape
    origin = [ours.voxels.shape[axis] - 1 if axis in flipped else 0 for axis in range(3)]
    assert ways[axes, 3].tolist() == origin, "they lie a whole voxel or more apart"
    return Difference(
        affine=float(np.abs(ours.affine @ np.linalg.inv(ways) - theirs.affine).max()),
        voxels=int(np.count_nonzero(voxels.astype(np.float32) != ours.voxels)),
        ways=ways,
    )
