"""Write masks as NIfTI-1 volumes, for researchers."""

import gzip
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicomnode import __version__
from dicomnode.domain import Mask, Stack, WrittenVolume
from dicomnode.errors import Reason, Refused
from dicomnode.geometry import affine_of

_HEADER_BYTES = 348
_VOXELS_AT = 352.0  # bytes: the header, and that nothing extends it
_UINT8, _SCANNER, _MILLIMETRES = 2, 1, 2  # codes of NIfTI-1: of the type, of the space, of the unit
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # the axes of DICOM and those of NIfTI
_SAME_PLACE = 0.1  # of a voxel's shortest side
_LEVEL = 6  # of compression


def write_volumes(masks: Sequence[Mask], stack: Stack) -> tuple[WrittenVolume, ...]:
    """Return a compressed NIfTI-1 file for each of `masks`: uint8, 1 inside and 0 elsewhere, on the grid of `stack`.

    Voxels are (column, row, plane), as the source has them. Refuses with NOT_REGULAR a stack that is not regular: its
    voxels lie on no grid.
    """
    affine = affine_of(stack)
    if affine is None:
        detail = f"no NIfTI volume: a grid has planes that are REGULAR, and the facts here are {_facts(stack)}"
        raise Refused(Reason.NOT_REGULAR, f"stack {stack.key}", detail)
    header = _header(stack.shape, _LPS_TO_RAS @ affine)
    return tuple(
        WrittenVolume(segment=number, content=gzip.compress(header + _voxels(mask, stack.shape), _LEVEL, mtime=0))
        for number, mask in enumerate(masks, start=1)
    )


def _facts(stack: Stack) -> str:
    return ", ".join(sorted(stack.facts))


def _voxels(mask: Mask, shape: tuple[int, int, int]) -> bytes:
    """Return the voxels of `mask`, uint8, the column counting fastest and the plane slowest."""
    volume = np.zeros(shape, dtype=np.uint8)
    for index, inside in mask.planes.items():
        volume[index] = inside
    return volume.tobytes()


def _header(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> bytes:
    """Return the header of a uint8 volume of `shape`, (plane, row, column), where `affine` has it in RAS.

    The affine stands in it as it is (sform). The rotation (qform), which some programs prefer, is stated where it puts
    each corner at the same place: it cannot say that axes are not at right angles. SimpleITK would write one for both.
    """
    planes, rows, columns = shape
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    rotation = _nearest_rotation(affine[:3, :3] / spacing)
    corners = (affine[:3, :3] - rotation * spacing) @ np.diag([columns, rows, planes])
    turned = bool(np.abs(corners).sum(axis=1).max() < _SAME_PLACE * spacing.min())
    parts = (
        struct.pack("<i35xB", _HEADER_BYTES, 0),
        struct.pack("<8h", 3, columns, rows, planes, 1, 1, 1, 1),
        struct.pack("<14x3h", _UINT8, 8, 0),
        struct.pack("<8f", 1.0, *spacing, 0.0, 0.0, 0.0, 0.0),
        struct.pack("<3fhBB24x", _VOXELS_AT, 1.0, 0.0, 0, 0, _MILLIMETRES),
        struct.pack("<80s24s", f"dicomnode {__version__}".encode(), b""),
        struct.pack("<2h", _SCANNER if turned else 0, _SCANNER),
        struct.pack("<6f", *_quaternion(rotation), *affine[:3, 3]),
        struct.pack("<12f", *affine[:3].ravel()),
        struct.pack("<16s4s4x", b"", b"n+1"),
    )
    return b"".join(parts)


def _nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation that is nearest to `matrix`, (3, 3) float64."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)


def _quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return b, c, d of the unit quaternion of `rotation`, whose first part a is not negative.

    It is the eigenvector of the largest eigenvalue of a symmetric matrix made of the rotation.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    symmetric = [
        [xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, yy - xx - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, zz - xx - yy],
    ]
    a, b, c, d = np.linalg.eigh(np.array(symmetric))[1][:, -1].tolist()
    sign = -1.0 if a < 0 else 1.0
    return sign * b, sign * c, sign * d
