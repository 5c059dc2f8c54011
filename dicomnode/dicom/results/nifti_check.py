"""Prove that written NIfTI volumes hold just the masks, each voxel where its pixel lies."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Mask, Plane, Stack, WrittenVolume
from dicomnode.errors import Reason, Refused

_FIELDS = {  # of a NIfTI-1 header that say what the voxels are and where: type and offset in bytes
    "sizeof_hdr": ("<i4", 0),
    "dim": ("(8,)<i2", 40),
    "datatype": ("<i2", 70),
    "pixdim": ("(8,)<f4", 76),
    "vox_offset": ("<f4", 108),
    "scl_slope": ("<f4", 112),
    "xyzt_units": ("u1", 123),
    "qform_code": ("<i2", 252),
    "sform_code": ("<i2", 254),
    "quatern": ("(3,)<f4", 256),
    "qoffset": ("(3,)<f4", 268),
    "srow": ("(3,4)<f4", 280),
    "magic": ("S4", 344),
}
_HEADER = np.dtype(
    {
        "names": [*_FIELDS],
        "formats": [form for form, _ in _FIELDS.values()],
        "offsets": [offset for _, offset in _FIELDS.values()],
        "itemsize": 348,
    }
)
_FIRST_VOXEL = 352
_HALF = 0.5  # of a voxel: what lies farther off lies in another


def check_volumes(volumes: Sequence[WrittenVolume], masks: Sequence[Mask], stack: Stack) -> None:
    """Re-read the bytes of every volume; refuse with FAILED_CHECK what does not hold `masks` where `stack` has them.

    It is a plain reading of the files and shares no code with the writer.
    """
    numbers = [volume.segment for volume in volumes]
    if numbers != [*range(1, len(masks) + 1)]:
        detail = f"they are of segments {numbers}, and there are {len(masks)} masks"
        raise Refused(Reason.FAILED_CHECK, f"the volumes of stack {stack.key}", detail)
    for volume, mask in zip(volumes, masks, strict=True):
        what = f"the volume of segment {volume.segment}, {mask.prompt.label!r}"
        try:
            content = gzip.decompress(volume.content)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(Reason.FAILED_CHECK, what, f"{type(error).__name__}: {error}") from error
        _check_header(content, stack, what)
        _check_voxels(content, mask, stack, what)


def _check_header(content: bytes, stack: Stack, what: str) -> None:
    """Refuse another form than uint8 on the grid of `stack`, and a matrix that has a plane's corner in another one."""
    planes, rows, columns = stack.shape
    expected = _FIRST_VOXEL + planes * rows * columns
    if len(content) != expected:
        raise Refused(Reason.FAILED_CHECK, what, f"it has {len(content)} bytes, not {expected}")
    header = np.frombuffer(content, _HEADER, count=1)[0]
    stated = [*header["dim"][:4].tolist(), *(int(header[name]) for name in ("sizeof_hdr", "datatype", "vox_offset"))]
    meant = [3, columns, rows, planes, 348, 2, _FIRST_VOXEL]
    scaled = float(header["scl_slope"]) not in {0.0, 1.0}
    if stated != meant or header["magic"] != b"n+1" or header["xyzt_units"] & 7 != 2 or scaled:  # noqa: PLR2004 - mm
        raise Refused(Reason.FAILED_CHECK, what, f"its header says {stated}, not {meant}, or another unit or scale")
    for name, affine in _affines(header):
        off = max(_distance(affine, index, plane, (rows, columns)) for index, plane in enumerate(stack.planes))
        if not off < _HALF:
            raise Refused(Reason.FAILED_CHECK, what, f"by its {name} a pixel lies {off:.2f} voxels beside its voxel")


def _affines(header: Any) -> Iterator[tuple[str, NDArray[np.float64]]]:  # noqa: ANN401 - a record of numpy
    """Yield each matrix that `header` states, (3, 4) float64, from (column, row, plane, 1) to mm in RAS."""
    yield "sform", header["srow"].astype(np.float64) * bool(header["sform_code"])
    if header["qform_code"]:
        b, c, d = header["quatern"].astype(np.float64).tolist()
        a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        sides = header["pixdim"][1:4] * (1, 1, header["pixdim"][0])
        yield "qform", np.column_stack([rotation * sides, header["qoffset"]]).astype(np.float64)


def _distance(affine: NDArray[np.float64], index: int, plane: Plane, shape: tuple[int, int]) -> float:
    """Return how many voxels beside its own a corner pixel of `plane` lies at most, along an axis of the volume."""
    row_way, column_way = np.array(plane.orientation).reshape(2, 3)
    voxels = np.array([(x, y, index) for x in (0, shape[1] - 1) for y in (0, shape[0] - 1)], dtype=np.float64)
    across, down = voxels[:, :1] * plane.spacing[1], voxels[:, 1:2] * plane.spacing[0]
    places = (np.array(plane.position) + across * row_way + down * column_way) * (-1, -1, 1)
    if not np.linalg.det(affine[:, :3]):
        return float("inf")
    return float(np.abs(np.linalg.solve(affine[:, :3], (places - affine[:, 3]).T).T - voxels).max())


def _check_voxels(content: bytes, mask: Mask, stack: Stack, what: str) -> None:
    volume = np.frombuffer(content, np.uint8, offset=_FIRST_VOXEL).reshape(stack.shape)
    for index, voxels in enumerate(volume):
        inside = mask.planes.get(index)
        differing = np.count_nonzero(voxels if inside is None else voxels != inside)
        if differing:
            raise Refused(Reason.FAILED_CHECK, what, f"on plane {index} {differing} voxels differ from the mask")
