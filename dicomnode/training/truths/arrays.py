"""Make a stack of the voxels of a file that is no DICOM, so that it is seen as a stack of DICOM planes is."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Plane, PlaneKey, Stack, Uid
from dicomnode.errors import Reason, Refused

CT, OTHER = "CT", "OT"  # modalities (PS3.3 C.7.3.1.1.1)
_AIR = -500.0  # Hounsfield units: what has less, and is whole numbers, is taken for a CT
_LEVELS = 65535
_COLOUR = 4  # axes of planes with colours


def stack_of_voxels(voxels: NDArray[Any], modality: str, path: Path) -> Stack:
    """Return the stack of `voxels`, (plane, row, column) numbers or (plane, row, column, 3) uint8, in the file `path`.

    Without a modality it is CT where values go below -500, else OT. Numbers that are not whole are kept in 65536
    levels; what is no number becomes the least value. Refuses with INVALID_HEADER what holds no number at all.
    """
    slope, intercept = 1.0, 0.0
    if voxels.ndim != _COLOUR:
        voxels = _finite(voxels, path)
        modality = modality or (CT if voxels.min() < _AIR else OTHER)
        if not np.issubdtype(voxels.dtype, np.integer):
            voxels, slope, intercept = _levels(voxels)
    planes = tuple(_plane(pixels, number, (slope, intercept), path) for number, pixels in enumerate(voxels))
    return Stack(
        key=path.name,
        series_uid=Uid(path.name),
        study_uid=Uid(path.name),
        modality=modality or OTHER,
        frame_of_reference_uid=None,
        planes=planes,
        facts=frozenset(),
    )


def _finite(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    known = np.isfinite(voxels)
    if not known.any():
        raise Refused(Reason.INVALID_HEADER, str(path), "it holds no number")
    return voxels if known.all() else np.where(known, voxels, voxels[known].min())


def _levels(voxels: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """Return whole numbers, and the slope and intercept that make `voxels` of them: exactly where those are whole."""
    low, high = float(voxels.min()), float(voxels.max())
    if low >= np.iinfo(np.int32).min and high <= np.iinfo(np.int32).max and (np.rint(voxels) == voxels).all():
        return voxels.astype(np.int32), 1.0, 0.0
    slope = (high - low) / _LEVELS
    return np.rint((voxels.astype(np.float64) - low) / slope).astype(np.uint16), slope, low


def _plane(pixels: NDArray[Any], number: int, scale: tuple[float, float], path: Path) -> Plane:
    return Plane(
        key=PlaneKey(Uid(path.name), number + 1),
        source=path,
        position=(0.0, 0.0, float(number)),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        spacing=(1.0, 1.0),
        thickness=None,
        stored=pixels,
        slope=scale[0],
        intercept=scale[1],
        inverted=False,
        padding=None,
    )


def masks_of_labels(labels: NDArray[Any], name: str, path: Path) -> dict[str, dict[int, NDArray[np.bool_]]]:
    """Return a structure for each number above 0 in `labels`, (plane, row, column), by `name` and its number.

    Refuses with INVALID_HEADER what is no label map.
    """
    if not (np.isfinite(labels).all() and (np.rint(labels) == labels).all() and labels.min() >= 0):
        raise Refused(Reason.INVALID_HEADER, str(path), "it is no label map: a label is a whole number, 0 or more")
    numbers = [int(number) for number in np.unique(labels) if number]
    alone = name if len(numbers) == 1 and name else ""
    return {
        alone or f"{name} label {number}".strip(): {
            index: plane == number for index, plane in enumerate(labels) if (plane == number).any()
        }
        for number in numbers
    }
