"""Take specks out of masks, as the labels were cleaned that LiteMedSAM learnt from."""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its usual name
from numpy.typing import NDArray

LEAST_VOXELS, LEAST_PIXELS = 100, 10  # of a part in the volume, its voxels touching at corners too; and on a plane


def cleaned(masks: Mapping[int, NDArray[np.bool_]]) -> dict[int, NDArray[np.bool_]]:
    """Return `masks`, plane index -> (row, column) bool, without small parts, and without planes that are then empty.

    Parts of fewer than 100 voxels go, then on each plane those of fewer than 10 pixels; of one plane alone the latter.
    """
    volume = dict(masks)
    if len(volume) > 1:
        first, last = min(volume), max(volume)
        nothing = np.zeros_like(volume[first])
        whole = _large_parts(np.stack([volume.get(index, nothing) for index in range(first, last + 1)]), LEAST_VOXELS)
        volume = {index: whole[index - first] for index in volume}
    found = {index: _large_parts(mask, LEAST_PIXELS) for index, mask in volume.items()}
    return {index: mask for index, mask in found.items() if mask.any()}


def _large_parts(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Return those connected parts of `mask`, of 2 or 3 axes, that have at least so many pixels."""
    if not mask.any():
        return mask
    places = tuple(slice(int(along.min()), int(along.max()) + 1) for along in np.nonzero(mask))
    numbered = sitk.ConnectedComponent(sitk.GetImageFromArray(mask[places].astype(np.uint8)), True)  # noqa: FBT003 - SimpleITK's own
    kept = np.zeros_like(mask)
    kept[places] = sitk.GetArrayFromImage(sitk.RelabelComponent(numbered, least)) > 0
    return kept
